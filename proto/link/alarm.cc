#include "proto/link/alarm.h"

namespace coffer::link {

Alarm::Alarm() : thread_([this] { Run(); }) {}

Alarm::~Alarm() {
  Stop();
}

Alarm::Key Alarm::At(Clock::time_point when, std::function<void()> run) {
  MutexLock lock(mutex_);
  const Key key{when, next_++};
  due_.emplace(key, std::move(run));
  changed_.NotifyOne();
  return key;
}

void Alarm::Cancel(const Key& key) {
  std::function<void()> dropped;  // destroyed outside the lock: it may own what calls us
  MutexLock lock(mutex_);
  auto found = due_.find(key);
  if (found == due_.end()) return;
  dropped = std::move(found->second);
  due_.erase(found);
}

void Alarm::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void Alarm::Run() {
  MutexLock lock(mutex_);
  while (true) {
    if (due_.empty()) {
      if (stopping_) return;
      changed_.Wait(mutex_);
      continue;
    }
    const auto when = due_.begin()->first.first;
    if (when > Clock::now()) {
      if (stopping_) break;
      changed_.WaitUntil(mutex_, when);
      continue;
    }
    auto run = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    lock.Unlock();
    run();
    run = nullptr;
    lock.Lock();
  }
  std::map<Key, std::function<void()>> rest;
  rest.swap(due_);
  lock.Unlock();
  rest.clear();
}

}  // namespace coffer::link
