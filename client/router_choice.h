// Which router an attempt goes to, and which connection is given up as dead: pure decisions, fed with events and times.
// No clock, no thread, no I/O; the engine (engine.h) and the simulator's clients do what they say.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "cluster/ids.h"

namespace coffer::client {

// How a router's connection looks: never made or ended, being made, usable, could not be made the last time.
enum class RouterState { kIdle, kConnecting, kUp, kFailed };

// How long silence is borne. Larger values: fewer changes of router, slower recovery.
struct RouterPolicy {
  // A router that has said nothing since an attempt was sent, for so long, is not preferred for `penalty`.
  Duration patience = std::chrono::seconds(2);
  // The same after it lost calls: it may not be back yet.
  Duration penalty = std::chrono::seconds(3);
  // A connection on which attempts have waited beyond `patience`, over so long a time and with nothing said on it, is replaced
  // by a new one; what is open on it is lost then. More than penalty + patience, or a router that is avoided is never found out.
  Duration dead_after = std::chrono::seconds(8);
};

// An attempt that nobody has answered yet.
struct OpenTry {
  std::size_t router = 0;
  Instant since{};    // when it was handed to the connection
  bool bulk = false;  // what it moves may take long: without an answer its router is slow, which does not make its connection dead
};

// What one client knows of its routers, which it names by their place in its list. Single-threaded. Times never run backwards.
class RouterChoice {
 public:
  RouterChoice(std::size_t routers, const RouterPolicy& policy);

  // Anything came from the router: what was sent before does not speak against it any more.
  void OnHeard(std::size_t router, Instant now) { routers_[router].settled = now; }
  // A connection to the router ended, or could not be made, and calls with it.
  void OnLost(std::size_t router, Instant now);
  // Judges the routers by one operation that may be repeated, whose open attempts these are: whoever keeps them waiting beyond the
  // patience is not preferred for a while. To be asked at least whenever the operation's patience is over, and as long as it lasts.
  // Returns those whose connection is to be made anew, each once: attempts from before are not held against the new one.
  std::vector<std::size_t> Judge(Instant now, std::span<const OpenTry> open);
  // The router for the next attempt of an operation: one that is connected, not avoided and has no open attempt of it, as far as there
  // is one, else the least bad; among equals the first in the list. `last`: whom its attempt before went to; `elsewhere`: rather
  // not there again. When none is known to work they are taken in turn. `states` has one entry per router.
  std::size_t Choose(Instant now, std::span<const RouterState> states, std::span<const OpenTry> open, std::optional<std::size_t> last,
                     bool elsewhere) const;

 private:
  struct Router {
    Instant avoided_until{};
    Instant settled{};  // last heard, or given up: silence is counted from later attempts only
    // Its present silence, if silent_seen > settled: the oldest attempt that became overdue in it, and when that was last noticed.
    Instant silent_from{};
    Instant silent_seen{};
  };

  const RouterPolicy policy_;
  std::vector<Router> routers_;
};

}  // namespace coffer::client
