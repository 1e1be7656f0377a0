// A member under the test's control: any frame, at any time.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "coffer/internal/v1/peer.grpc.pb.h"
#include "link_test_support.h"
#include "proto/link/handshake.h"
#include "test_support.h"

namespace coffer::link {

// Generated code, one blocking stream.
class Puppet {
 public:
  explicit Puppet(const std::string& address)
      : channel_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {
    context_.set_deadline(std::chrono::system_clock::now() + kPatience);
  }
  void Open() { stream_ = wire::PeerService::NewStub(channel_)->Link(&context_); }

  // The whole handshake as a good member would do it.
  void Introduce(const Identity& self) {
    Open();
    DiallerHandshake handshake("open sesame", self, {.address = "there"});
    WriteBytes(handshake.first_frame());
    REQUIRE(stream_->Read(&response_));
    WriteBytes(*handshake.OnFrame(response_.SerializeAsString()).send);
    REQUIRE(stream_->Read(&response_));
    REQUIRE(handshake.OnFrame(response_.SerializeAsString()).proven);
  }
  bool Write(const wire::LinkRequest& frame) { return stream_->Write(frame); }
  void WriteBytes(const std::string& bytes) {
    wire::LinkRequest frame;
    REQUIRE(frame.ParseFromString(bytes));
    REQUIRE(stream_->Write(frame));
  }
  // The next frame; nothing when the stream has ended.
  std::optional<wire::LinkResponse> Read() {
    if (!stream_->Read(&response_)) return std::nullopt;
    return response_;
  }
  grpc::Status Finish() {
    stream_->WritesDone();
    return stream_->Finish();
  }
  grpc::ClientContext& context() { return context_; }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<wire::LinkRequest, wire::LinkResponse>> stream_;
  wire::LinkResponse response_;
};

}  // namespace coffer::link
