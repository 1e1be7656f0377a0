#include "proto/link/alarm.h"

namespace coffer::link {

Alarm::Alarm() : thread_([this] { Run(); }) {}

Alarm::~Alarm() {
  Stop();
}

Alarm::Key Alarm::At(Clock::time_point when, std::function<void()> run) {
  std::lock_guard lock(mutex_);
  const Key key{when, next_++};
  due_.emplace(key, std::move(run));
  changed_.notify_one();
  return key;
}

void Alarm::Cancel(const Key& key) {
  std::function<void()> dropped;  // destroyed outside the lock: it may own what calls us
  std::lock_guard lock(mutex_);
  auto found = due_.find(key);
  if (found == due_.end()) return;
  dropped = std::move(found->second);
  due_.erase(found);
}

void Alarm::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Alarm::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (due_.empty()) {
      if (stopping_) return;
      changed_.wait(lock);
      continue;
    }
    const auto when = due_.begin()->first.first;
    if (when > Clock::now()) {
      if (stopping_) break;
      changed_.wait_until(lock, when);
      continue;
    }
    auto run = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    lock.unlock();
    run();
    run = nullptr;
    lock.lock();
  }
  std::map<Key, std::function<void()>> rest;
  rest.swap(due_);
  lock.unlock();
  rest.clear();
}

}  // namespace coffer::link
