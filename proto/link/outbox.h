// What waits to be sent to one peer: two lanes with one bound.
#pragma once

#include <deque>

#include "proto/link/envelope.h"
#include "proto/mutex.h"

namespace coffer::link {

inline constexpr int kLanes = 2;
inline constexpr int kMainLane = 0;
inline constexpr int kBulkLane = 1;

// Thread-safe.
class Outbox {
 public:
  // A frame closes at `frame_bytes`; `queue_bytes` bounds what waits and what is being written, both lanes together.
  Outbox(std::size_t queue_bytes, std::size_t frame_bytes) : queue_bytes_(queue_bytes), frame_bytes_(frame_bytes) {}

  // Appends to the bulk lane if `bulk` and that lane is open, else to the main one. The lane taken, or -1: full.
  int Push(bool bulk, Encoded message);

  struct Frame {
    grpc::ByteBuffer buffer;
    std::size_t bytes = 0;
    std::size_t messages = 0;
  };
  // Joins what waits in the lane into one frame: as many messages as fit frame_bytes, at least one. Nothing: empty.
  // The frame's bytes count as queued until Written. `number`: its own on its stream; 0: none.
  std::optional<Frame> Next(int lane, std::uint64_t number = 0);
  void Written(std::size_t bytes);

  // While the bulk lane is closed everything takes the main one; closing it moves over what waits.
  void SetBulkOpen(bool open);
  // Empties both lanes; the number of messages lost.
  std::size_t Clear();
  std::size_t bytes() const;

 private:
  const std::size_t queue_bytes_;
  const std::size_t frame_bytes_;

  mutable Mutex mutex_;
  std::deque<Encoded> lanes_[kLanes] ABSL_GUARDED_BY(mutex_);
  std::size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // waiting and in flight
  bool bulk_open_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace coffer::link
