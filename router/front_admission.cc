#include "router/front_admission.h"

#include <utility>

namespace coffer::router {

Admission::Permit& Admission::Permit::operator=(Permit&& other) noexcept {
  if (this == &other) return *this;
  Release();
  owner_ = std::exchange(other.owner_, nullptr);
  peer_ = std::move(other.peer_);
  bytes_ = other.bytes_;
  return *this;
}

void Admission::Permit::Release() {
  if (Admission* owner = std::exchange(owner_, nullptr)) owner->Leave(peer_, bytes_);
}

Status Admission::Permit::Add(std::uint64_t bytes) {
  Status status = owner_->Grow(peer_, bytes);
  if (IsOk(status)) bytes_ += bytes;
  return status;
}

Status Admission::Grow(const std::string& peer, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  Use& mine = peers_[peer];
  if (all_.bytes + bytes > limits_.bytes) return TooManyBytes(limits_.bytes);
  if (mine.bytes + bytes > limits_.peer_bytes) return TooManyBytes(limits_.peer_bytes);
  all_.bytes += bytes;
  mine.bytes += bytes;
  return Ok();
}

Status Admission::Enter(const std::string& peer, std::uint64_t bytes, Permit* permit) {
  MutexLock lock(mutex_);
  const auto found = peers_.find(peer);
  const Use mine = found == peers_.end() ? Use{} : found->second;
  if (all_.calls >= limits_.calls) return TooManyCalls(limits_.calls);
  if (mine.calls >= limits_.peer_calls) return TooManyCalls(limits_.peer_calls);
  if (all_.bytes + bytes > limits_.bytes) return TooManyBytes(limits_.bytes);
  if (mine.bytes + bytes > limits_.peer_bytes) return TooManyBytes(limits_.peer_bytes);
  all_.calls += 1;
  all_.bytes += bytes;
  peers_[peer] = {mine.calls + 1, mine.bytes + bytes};
  Permit entered;
  entered.owner_ = this;
  entered.peer_ = peer;
  entered.bytes_ = bytes;
  *permit = std::move(entered);
  return Ok();
}

void Admission::Leave(const std::string& peer, std::uint64_t bytes) {
  MutexLock lock(mutex_);
  all_.calls -= 1;
  all_.bytes -= bytes;
  const auto mine = peers_.find(peer);
  mine->second.calls -= 1;
  mine->second.bytes -= bytes;
  if (mine->second.calls == 0) peers_.erase(mine);
}

Admission::Use Admission::InUse() const {
  MutexLock lock(mutex_);
  return all_;
}

}  // namespace coffer::router
