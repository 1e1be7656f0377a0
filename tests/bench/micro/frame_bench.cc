// Frames of many messages, by the number of bytes in the value of each: between members, and between clients and routers.
#include <benchmark/benchmark.h>

#include <deque>

#include "proto/link/envelope.h"
#include "router/front_frame.h"

namespace coffer {
namespace {

constexpr int kMessages = 16;

PeerMessage PutOf(std::size_t bytes) {
  PeerMessage message;
  auto* request = message.header.mutable_data_request();
  request->set_call(4711);
  request->set_zone(std::string(16, 'z'));
  request->set_deadline_ms(10'000);
  request->mutable_put_chunk()->set_id(std::string(32, 'i'));
  message.bodies.push_back(std::make_shared<const std::string>(bytes, 'v'));
  return message;
}

grpc::ByteBuffer FrameOf(const PeerMessage& message) {
  link::FrameBuilder builder;
  for (int i = 0; i < kMessages; ++i) builder.Add(link::Encode(message));
  return builder.Take();
}

void BM_LinkEncode(benchmark::State& state) {
  const PeerMessage message = PutOf(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(FrameOf(message));
  state.SetItemsProcessed(state.iterations() * kMessages);
  state.SetBytesProcessed(state.iterations() * kMessages * state.range(0));
}
BENCHMARK(BM_LinkEncode)->Arg(64)->Arg(1 << 10)->Arg(64 << 10);

void BM_LinkDecode(benchmark::State& state) {
  const grpc::ByteBuffer frame = FrameOf(PutOf(static_cast<std::size_t>(state.range(0))));
  for (auto _ : state) {
    grpc::ByteBuffer copy(frame);
    std::vector<PeerMessage> messages;
    if (link::Decode(&copy, 1 << 20, &messages) != link::FrameFault::kNone) state.SkipWithError("not decoded");
    benchmark::DoNotOptimize(messages);
  }
  state.SetItemsProcessed(state.iterations() * kMessages);
  state.SetBytesProcessed(state.iterations() * kMessages * state.range(0));
}
BENCHMARK(BM_LinkDecode)->Arg(64)->Arg(1 << 10)->Arg(64 << 10);

void BM_ReplyEncode(benchmark::State& state) {
  const std::string response(static_cast<std::size_t>(state.range(0)), 'v');
  const router::Status status;
  for (auto _ : state) {
    std::deque<router::EncodedReply> replies;
    for (std::uint64_t i = 0; i < kMessages; ++i) replies.push_back(router::EncodeReply(i, response, &status));
    std::size_t bytes = 0;
    benchmark::DoNotOptimize(router::TakeFrame(&replies, 8 << 20, &bytes));
  }
  state.SetItemsProcessed(state.iterations() * kMessages);
  state.SetBytesProcessed(state.iterations() * kMessages * state.range(0));
}
BENCHMARK(BM_ReplyEncode)->Arg(64)->Arg(1 << 10)->Arg(64 << 10);

}  // namespace
}  // namespace coffer
