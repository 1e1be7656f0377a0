// What one link can carry at most: a stream of frames with nothing around it, no members, no checks, no disk.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <stdexcept>
#include <string>

#include "peers/load.h"

namespace coffer::peers {
namespace {

using grpc::ByteBuffer;

// What members put into one frame when more is waiting.
constexpr std::size_t kFrameBytes = 256u << 10;

// Writes frames one after the other until the plan's time is over; then waits for the number of bytes that arrived.
class Sender final : public grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  explicit Sender(const LoadPlan& plan) : watch_(plan), value_(plan.bytes, 'v') {}

  // Bytes that arrived.
  std::uint64_t Run(grpc::GenericStub* stub) {
    stub->PrepareBidiStreamingCall(&context_, "/coffer.bench.Frames/Send", {}, this);
    StartRead(&answer_);
    Write();
    StartCall();
    MutexLock lock(mutex_);
    while (!ended_) ended_now_.Wait(mutex_);
    if (!status_.ok()) throw std::runtime_error("the frames were not taken: " + status_.error_message());
    return arrived_;
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return;
    watch_.Over() ? StartWritesDone() : Write();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    grpc::Slice slice;
    if (answer_.DumpToSingleSlice(&slice).ok()) arrived_ = std::stoull(std::string(slice.begin(), slice.end()));
  }
  void OnDone(const grpc::Status& status) override {
    MutexLock lock(mutex_);
    status_ = status;
    ended_ = true;
    ended_now_.NotifyAll();
  }

 private:
  void Write() {
    std::vector<grpc::Slice> slices;
    for (std::size_t bytes = 0; bytes < kFrameBytes; bytes += value_.size()) slices.emplace_back(value_);
    frame_ = ByteBuffer(slices.data(), slices.size());
    StartWrite(&frame_);
  }

  const Stopwatch watch_;
  const std::string value_;
  grpc::ClientContext context_;
  ByteBuffer frame_, answer_;
  std::uint64_t arrived_ = 0;
  Mutex mutex_;
  Condition ended_now_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

double LoadFrames(const LoadPlan& plan) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetMaxReceiveMessageSize(64 << 20);
  grpc::GenericStub stub(grpc::CreateCustomChannel(plan.addresses.at(0), grpc::InsecureChannelCredentials(), args));
  LoadPlan whole = plan;
  whole.warm_up = 0;
  const Instant began = Stopwatch::Now();
  const std::uint64_t bytes = Sender(whole).Run(&stub);
  return static_cast<double>(bytes) / std::chrono::duration<double>(Stopwatch::Now() - began).count();
}

FrameCounter::FrameCounter() {
  StartRead(&frame_);
}

void FrameCounter::OnReadDone(bool ok) {
  if (ok) {
    bytes_ += frame_.Length();
    return StartRead(&frame_);
  }
  grpc::Slice slice(std::to_string(bytes_));
  frame_ = ByteBuffer(&slice, 1);
  StartWriteAndFinish(&frame_, {}, grpc::Status::OK);
}

}  // namespace coffer::peers
