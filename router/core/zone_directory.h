// Zone names to zone ids. Linearizable where it matters: "unknown" is said only by a look-up that began after the call that
// asks. A remembered id is looked up again after a while; as long as nobody answers that, it goes on being used: it is never
// given to another zone, and a node refuses one that was deleted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "router/core/errors.h"

namespace coffer::router {

struct ZoneDirectoryConfig {
  Duration ttl = std::chrono::seconds(5);  // a zone deleted elsewhere may be found in the cache this long; nodes refuse it
  Duration patience = std::chrono::milliseconds(250);  // with a look-up, before an older answer to it is used
  std::size_t max_entries = 10000;
};

// Single-threaded; owned by RouterCore, which carries the look-ups out.
class ZoneDirectory {
 public:
  using Waiter = std::uint64_t;
  struct Answer {
    Waiter waiter = 0;
    Status status;
    ZoneId id;
    bool old = false;  // from before: the look-up has not been answered
  };

  explicit ZoneDirectory(ZoneDirectoryConfig config) : config_(config) {}

  // Null when unknown, or too old and not yet looked up in vain.
  const ZoneId* Find(Instant now, const std::string& name) const;
  void Remember(Instant now, const std::string& name, const ZoneId& id);
  void Forget(const std::string& name) { known_.erase(name); }
  void ForgetId(const ZoneId& id) {
    std::erase_if(known_, [&](const auto& entry) { return entry.second.id == id; });
  }

  // The name under which an id is remembered, however old; empty when it is not.
  std::string NameOf(const ZoneId& id) const;

  // Whether an id is remembered, however old.
  bool Remembers(const std::string& name) const { return known_.contains(name); }

  // Adds a waiter. True: nobody looks this name up yet, so the owner has to begin a look-up.
  bool Wait(Instant now, const std::string& name, Waiter waiter);
  // Appends answers for those who have waited long enough for a look-up of a name that is remembered.
  void Overdue(Instant now, std::vector<Answer>* answers);
  // When Overdue has something to say.
  Instant NextOverdue() const;
  // A look-up ended: with an id, with NOT_FOUND, or with another failure. Appends what the waiters get. True: somebody still
  // waits, because they asked after it began or have time left; the owner has to begin another.
  bool Done(Instant now, const std::string& name, const Status& status, const ZoneId& id, std::vector<Answer>* answers);
  // Names that are remembered, and that are looked up now; of the latter some nobody waits for any more.
  std::size_t remembered() const { return known_.size(); }
  std::size_t looking_up() const { return lookups_.size(); }
  bool LooksUp(const std::string& name) const { return lookups_.contains(name); }

  // The waiter's call ended.
  void Abandon(Waiter waiter);

 private:
  struct Known {
    ZoneId id;
    Instant at;
  };
  struct Lookup {
    Instant began{};
    std::set<Waiter> first;  // asked before the look-up under way began
    std::set<Waiter> later;  // joined since
  };

  const ZoneDirectoryConfig config_;
  std::map<std::string, Known> known_;
  std::map<std::string, Lookup> lookups_;
};

}  // namespace coffer::router
