// The loads of the side-by-side measurement. Closed loops from one thread each; a value of its own for every write.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <cstdint>
#include <string>
#include <vector>

#include "client/command/bench_histogram.h"
#include "proto/mutex.h"

namespace coffer::peers {

struct LoadPlan {
  std::string work;                    // see each load
  std::vector<std::string> addresses;  // host:port
  std::size_t bytes = 1024;
  std::size_t in_flight = 1;
  double seconds = 3;
  double warm_up = 0.5;
  std::size_t keys = 1000;  // stored before, for reading
};

struct LoadResult {
  command::Histogram latency;  // of what ended in the measured time
  std::uint64_t errors = 0;
  std::string first_error;
};

// Times what ends between warm-up and end.
class Stopwatch {
 public:
  explicit Stopwatch(const LoadPlan& plan);
  static Instant Now();
  void Ended(Instant began, LoadResult* result) const;
  bool Over() const { return Now() >= end_; }

 private:
  Instant from_, end_;
};

// Bytes that differ from one call to the next.
class Values {
 public:
  explicit Values(std::size_t bytes);
  const std::string& Next();

 private:
  std::string value_;
  std::uint64_t count_ = 0;
};

// "put": SET and WAIT 1 0 in one write; "get"; "last": LRANGE of the newest 20. One connection per request in flight.
LoadResult LoadRedis(const LoadPlan& plan);
// "etcd-put", "etcd-get" (linearizable); "coffer-put", "coffer-get" (unary calls, zone "default"); "echo". Two
// channels.
LoadResult LoadGrpc(const LoadPlan& plan);
// One stream of frames of `plan.bytes` each message for the whole of its time; bytes per second that arrived.
double LoadFrames(const LoadPlan& plan);

// The other end of LoadFrames: counts the bytes of a stream and says them at its end. Deletes itself.
class FrameCounter final : public grpc::ServerGenericBidiReactor {
 public:
  FrameCounter();
  void OnReadDone(bool ok) override;
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer frame_;
  std::uint64_t bytes_ = 0;
};

// Serves until standard input ends: answers with what it gets, or, with a `forward` address, with what that one
// answers; counts frames.
void ServeEcho(const std::string& listen, const std::string& forward);

}  // namespace coffer::peers
