// A client that works in several zones, through routers: it puts and reads blocks under ids that are the same in every zone, and makes
// and deletes the zones whose names it owns, again and again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sim/check_zones.h"
#include "sim/public_caller.h"

namespace coffer::sim {

// What the clients of zones share.
struct ZoneLoad {
  std::vector<std::string> names;
  std::vector<std::string> ids;   // of blocks: used in every zone, for chunks and chains
  Duration think{};
  ZoneChecker zones;
  std::uint64_t next_value = 1;
  std::uint64_t succeeded = 0, refused = 0, unknown = 0, created = 0, deleted = 0;
};

class ZoneClient {
 public:
  // It owns each name whose place in the list is `owner` modulo `owners`.
  ZoneClient(SimCluster& cluster, ZoneLoad& load, std::uint8_t number, std::size_t owner, std::size_t owners);

  void Go();
  // Nothing new is begun, but a create or delete that is under way is asked for until it is answered.
  void Stop() { going_ = false; }
  bool Idle() const { return caller_.Idle() && (going_ || Settled()); }
  std::string Describe() const { return name_ + " waits for " + (caller_.Idle() ? "zones to be made or deleted" : caller_.Describe()); }
  // Reads everything that was ever written to.
  void ReadBack();
  std::size_t left() const { return back_.size() + (caller_.Idle() ? 0 : 1); }

 private:
  // Of a name it owns.
  enum class Stage { kAbsent, kCreating, kThere, kDeleting };
  struct Owned {
    Stage stage = Stage::kAbsent;
    ZoneId id;
  };
  using Answered = std::function<void(const PublicAnswer&)>;
  void Poll();
  void Act();
  bool Settled() const;
  void Ask(PublicCall call, Answered done);
  // The next step in the life of a name: made if it is absent, deleted if it is there, asked again if it is under way.
  void Step(const std::string& name);
  void Create(const std::string& name, Owned& owned);
  void Delete(const std::string& name, Owned& owned);
  void Put(const std::string& zone, const std::string& id);
  void Get(const std::string& zone, const std::string& id);
  void Has(const std::string& zone, const std::string& id);
  void Append(const std::string& zone, const std::string& id);
  void Read(const std::string& zone, const std::string& id);
  void Found(const ZoneChecker::Token& token, const PublicAnswer& answer, const std::optional<std::string>& value, bool anywhere);
  void Report(const std::optional<std::string>& complaint) {
    if (complaint) cluster_.Violate(*complaint);
  }

  SimCluster& cluster_;
  ZoneLoad& load_;
  Random random_;
  const std::string name_;
  NodeId self_;
  PublicCaller caller_;
  std::map<std::string, Owned> owned_;
  bool going_ = false;
  std::vector<std::pair<std::string, std::string>> back_;
};

}  // namespace coffer::sim
