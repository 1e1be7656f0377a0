#include "proto/link/outbox.h"

namespace coffer::link {

int Outbox::Push(bool bulk, Encoded message) {
  MutexLock lock(mutex_);
  if (bytes_ + message.bytes > queue_bytes_) return -1;
  bytes_ += message.bytes;
  const int lane = bulk && bulk_open_ ? kBulkLane : kMainLane;
  lanes_[lane].push_back(std::move(message));
  return lane;
}

std::optional<Outbox::Frame> Outbox::Next(int lane, std::uint64_t number) {
  FrameBuilder builder;
  Frame frame;
  {
    MutexLock lock(mutex_);
    auto& queue = lanes_[lane];
    while (!queue.empty() && (frame.messages == 0 || builder.bytes() + queue.front().bytes <= frame_bytes_)) {
      builder.Add(std::move(queue.front()));
      queue.pop_front();
      ++frame.messages;
    }
  }
  if (frame.messages == 0) return std::nullopt;
  frame.bytes = builder.bytes();
  frame.buffer = builder.Take(number);
  return frame;
}

void Outbox::Written(std::size_t bytes) {
  MutexLock lock(mutex_);
  bytes_ -= bytes;
}

void Outbox::SetBulkOpen(bool open) {
  MutexLock lock(mutex_);
  bulk_open_ = open;
  if (open) return;
  for (auto& message : lanes_[kBulkLane]) lanes_[kMainLane].push_back(std::move(message));
  lanes_[kBulkLane].clear();
}

std::size_t Outbox::Clear() {
  MutexLock lock(mutex_);
  std::size_t lost = 0;
  for (auto& lane : lanes_) {
    lost += lane.size();
    for (const auto& message : lane) bytes_ -= message.bytes;
    lane.clear();
  }
  return lost;
}

std::size_t Outbox::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace coffer::link
