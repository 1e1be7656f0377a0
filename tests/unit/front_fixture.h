// A front server over an Api whose answers the test gives, and a channel to it.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "router/front_server.h"
#include "router/front_state.h"
#include "tests/test_support.h"

namespace coffer::router {

// Longer than anything here takes; a wait that reaches it fails its test.
inline constexpr std::chrono::seconds kPatience{20};

// Keeps every call until the test answers it. A cancelled call ends CANCELLED, as the contract of Api says.
class FakeApi : public Api {
 public:
  struct Pending {
    std::string method;
    std::string request;  // but for the value of a put
    std::chrono::steady_clock::time_point deadline;
    Caller caller;
    std::shared_ptr<ResponseSink> sink;
    bool cancelled = false;

    void Answer(std::string response) {
      sink->OnResponse(std::move(response));
      End(Ok());
    }
    void End(Status status) {
      sink->OnEnd(std::move(status));
      sink.reset();
    }
  };

  std::shared_ptr<CallHandle> Invoke(Method method, RequestBytes request, std::chrono::steady_clock::time_point deadline,
                                     const Caller& caller, std::shared_ptr<ResponseSink> sink) override {
    auto call = std::make_shared<Pending>(
        Pending{std::string(NameOf(method)), std::move(request.bytes), deadline, caller, std::move(sink)});
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back(call);
      changed_.notify_all();
    }
    if (arrived) arrived();
    return std::make_shared<Handle>(this, call);
  }

  bool Serving() const override { return serving; }
  std::optional<Response> AnswerGetNow(std::string_view request, std::chrono::steady_clock::time_point) override {
    return at_once ? at_once(request) : std::nullopt;
  }

  // The next call that arrives, or has arrived.
  std::shared_ptr<Pending> Next() {
    std::unique_lock lock(mutex_);
    // Some tests call this on the front's thread, where Catch must not be asked.
    if (!changed_.wait_for(lock, kPatience, [this] { return !waiting_.empty(); })) throw std::runtime_error("no call arrived");
    auto call = waiting_.front();
    waiting_.pop_front();
    return call;
  }

  void AwaitCancel(const std::shared_ptr<Pending>& call) {
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, kPatience, [&] { return call->cancelled; }));
  }

  std::size_t waiting() const {
    std::lock_guard lock(mutex_);
    return waiting_.size();
  }

  std::atomic<bool> serving{true};
  // Runs on the front's own thread after each arrival; set before the first call.
  std::function<void()> arrived;
  // What can be answered without waiting; set before the first call.
  std::function<std::optional<Response>(std::string_view)> at_once;

 private:
  class Handle : public CallHandle {
   public:
    Handle(FakeApi* api, std::shared_ptr<Pending> call) : api_(api), call_(std::move(call)) {}
    void Cancel() override {
      std::shared_ptr<ResponseSink> sink;
      {
        std::lock_guard lock(api_->mutex_);
        call_->cancelled = true;
        sink.swap(call_->sink);
      }
      api_->changed_.notify_all();
      if (sink) sink->OnEnd(Cancelled());
    }

   private:
    FakeApi* api_;
    std::shared_ptr<Pending> call_;
  };

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Pending>> waiting_;
};

struct Front {
  explicit Front(FrontOptions options = {}) {
    options.listen = "127.0.0.1:0";
    server = FrontServer::Start(std::move(options), &api);
    channel = NewChannel();
  }

  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    const std::string address = "127.0.0.1:" + std::to_string(server->port());
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  }

  FakeApi api;
  std::unique_ptr<FrontServer> server;
  std::shared_ptr<grpc::Channel> channel;
};

// The details of a failed call.
inline Status DetailsOf(const grpc::Status& status) {
  Status details;
  REQUIRE(details.ParseFromString(status.error_details()));
  return details;
}

// Any method, bytes for bytes, blocking: for services whose classes are not installed.
inline grpc::Status Exchange(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                             const std::string& request, std::string* response,
                             grpc_compression_algorithm compression = GRPC_COMPRESS_NONE) {
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  context.set_compression_algorithm(compression);
  auto call = stub.PrepareCall(&context, method, &queue);
  const auto next = [&queue] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->StartCall(nullptr);
  next();
  call->WriteLast(BufferOf(request), {}, nullptr);
  next();
  call->Read(&answer, nullptr);
  if (next()) *response = BytesOf(answer);
  call->Finish(&status, nullptr);
  next();
  return status;
}

}  // namespace coffer::router
