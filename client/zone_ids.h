// Which zone a write means. A request that stands still on its way may arrive when its zone was deleted and another was made under
// its name; so every attempt at a write names the zone's id, and is refused then (docs/decisions/0008-writes-name-their-zone.md).
// Pure decisions, as in retry.h: no clock, no thread, no I/O.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "client/responses.h"
#include "client/retry.h"

namespace coffer::client {

// The ids of zones, as routers said them: never given to another zone, but the zone may be gone. Single-threaded.
class ZoneIds {
 public:
  // Empty: not known.
  std::string Find(const std::string& name) const;
  void Remember(const std::string& name, const std::string& id);
  // Unless another id has been remembered since.
  void Forget(const std::string& name, const std::string& id);

 private:
  static constexpr std::size_t kMost = 1000;
  std::map<std::string, std::string> ids_;
};

// Room that a serialised request needs for its zone's id.
inline constexpr std::size_t kZoneIdRoom = 1 + 1 + 16;
// The method that says which id a zone has.
inline constexpr char kResolveMethod[] = "coffer.v1.Zones/Resolve";

// The stages of one operation: a write into a named zone first finds out the zone's id unless it is known, and once more when that zone
// turns out to be gone. Any other operation has the one stage. Single-threaded.
class ZoneStages {
 public:
  // An empty `zone`: none is named.
  ZoneStages(std::string zone, Effect effect) : zone_(std::move(zone)), effect_(effect) {}

  // Begins a stage: the id goes into `request`, the serialised request of the operation; or it has to be asked for first.
  void Begin(const ZoneIds& known, std::string* request);
  // The zone's id is being asked for: kResolveMethod with this request.
  bool resolving() const { return resolving_; }
  std::string ResolveRequest() const;
  // What sending the present stage's request twice would do.
  Effect effect() const { return resolving_ ? Effect::kRead : effect_; }

  // How a stage ended: what the retry machine says, the error that decided, and the responses of the attempt that succeeded.
  struct End {
    RetryClass retry_class = RetryClass::kOk;
    bool timed_out = false;
    Status error;
    const Responses* responses = nullptr;
  };
  // True: another stage follows, Begin. False: the operation ended as `end` says, which may have been corrected.
  bool Next(End* end, ZoneIds* known);

 private:
  bool Resolved(End* end, ZoneIds* known);

  const std::string zone_;
  const Effect effect_;
  std::string id_;           // named in the request now
  std::optional<std::size_t> bare_;  // size of the request without an id
  bool resolving_ = false;
  bool unnamed_ = false;     // the router is of a version that knows no ids in requests
  bool in_doubt_ = false;    // an attempt may have taken effect in a zone that is gone since
};

}  // namespace coffer::client
