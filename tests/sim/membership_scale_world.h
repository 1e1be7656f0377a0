// The shipping Membership, many times over, on a network of virtual time: what membership_scale measures.
//
// Every message goes through its real encoding. All members are linked from the start: a running cluster is measured.
#pragma once

#include <google/protobuf/arena.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "cluster/membership.h"
#include "cluster/random.h"

namespace coffer::cluster {

// Members that run, stand still or are gone, and what they send each other.
class World {
 public:
  // At rest: the news of the start has been told.
  World(std::uint32_t size, std::uint64_t seed);

  struct Death {
    Instant at;
    std::uint32_t by;
    std::uint32_t of;
  };

  // ---- faults
  // The process dies. Refused: its host answers that nobody listens there; otherwise it is silent.
  void Kill(std::uint32_t n, bool refused);
  int loss_permille = 0;
  // Messages between the two halves vanish; links seem to stand.
  bool halved = false;
  // From now on member n stands still for `stop` and runs for `run`, again and again, from a random moment on.
  void Hiccup(std::uint32_t n, Duration stop, Duration run);

  // ---- time
  // Until `done` or the limit; whether it was done.
  template <class F>
  bool RunUntil(Instant limit, F done) {
    while (!done()) {
      const Instant next = events_.empty() ? kNever : events_.top().at;
      if (next > limit) {
        now_ = limit;
        return done();
      }
      now_ = std::max(now_, next);
      const Event event = events_.top();
      events_.pop();
      Happen(event);
    }
    return true;
  }
  void RunFor(Duration d) {
    RunUntil(now_ + d, [] { return false; });
  }

  // ---- what is seen
  Instant now() const { return now_; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(members_.size()); }
  std::uint32_t alive() const;
  // Of whose death the members are counted that know of it since `Await`.
  void Await(std::uint32_t victim);
  std::uint32_t told() const { return told_; }
  bool slow(std::uint32_t n) const { return members_[n].slow; }
  std::vector<Death> deaths;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  bool AllAlive() const;

 private:
  struct Event {
    enum Kind : std::uint8_t { kTick, kMessage, kLinkDown, kDialRefused, kStop, kGo };
    Kind kind = kTick;
    std::uint32_t to = 0;
    std::uint32_t from = 0;
    std::uint32_t message = 0;  // index into texts_
    Instant at{};
    std::uint64_t order = 0;
    bool operator<(const Event& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
  };
  struct Member {
    std::unique_ptr<Membership> machine;  // null: dead
    bool slow = false;
    bool stopped = false;
    Instant due = kNever;        // of the tick that counts
    std::vector<Event> waiting;  // while stopped
  };

  Duration Delay();
  void At(Instant at, Event event);
  void Reschedule(std::uint32_t n);
  // Until the news of the start has been told.
  void Settle();
  void Happen(const Event& event);
  Membership::Output Call(Membership& machine, const Event& event);
  // The room of a message that arrived, or never will, is used again.
  void Drop(const Event& event);
  std::uint32_t Encode(const wire::Peer& message);
  void Carry(std::uint32_t from, const Membership::Output& out);

  Random random_;
  Instant now_{std::chrono::seconds(1000)};
  std::vector<Member> members_;
  std::vector<NodeId> ids_;  // of the members
  std::priority_queue<Event> events_;
  std::vector<std::string> texts_;                           // messages under way, encoded
  std::vector<std::uint32_t> free_texts_;                    // of texts_
  std::unordered_map<std::string, std::uint32_t> refusing_;  // dead members by their addresses, where nobody listens
  google::protobuf::Arena arena_;                            // of the message that is being received
  std::uint64_t order_ = 0;
  std::uint32_t awaited_ = UINT32_MAX;
  std::uint32_t told_ = 0;
  Duration stop_{}, run_{};
};

}  // namespace coffer::cluster
