// Who may form a cluster.
#include <algorithm>

#include "node/cofferd/formation.h"
#include "tests/test_support.h"

namespace coffer::server {
namespace {

NodeId Id(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}

Sighting There(std::uint8_t id, bool in_cluster = false, std::uint32_t role = 1, bool may_form = true) {
  link::Identity peer;
  peer.id = Id(id);
  peer.name = "node-" + std::to_string(id);
  peer.address = peer.name + ":7701";
  peer.role = role;
  peer.may_form = may_form;
  if (in_cluster) peer.cluster.bytes[0] = 1;
  return {peer.address, {peer, {}}};
}
Sighting Refused(const std::string& address, const std::string& reason) { return {address, {std::nullopt, {reason, "because"}}}; }

TEST_CASE("who may form a cluster") {
  using Step = FormationStep;
  struct Case {
    const char* what;
    std::vector<Sighting> sightings;
    bool patience_over;
    Step step;
    const char* word;
  };
  for (const Case& c : std::vector<Case>{
           {"alone", {}, false, Step::kForm, "forming"},
           {"only itself is listed", {There(5)}, false, Step::kForm, "forming"},
           {"the hub says it is itself", {Refused("me:7701", "SELF")}, false, Step::kForm, "forming"},
           {"a cluster is there", {There(1, true), There(9)}, false, Step::kJoin, "node-1:7701"},
           {"a cluster is joined even when patience is over", {Refused("a:1", "TIMEOUT"), There(9, true)}, true, Step::kJoin, "node-9"},
           {"a router of a cluster counts too", {There(1, true, 3)}, false, Step::kJoin, "node-1"},
           {"the lowest id forms", {There(7), There(9), There(5)}, false, Step::kForm, "forming"},
           {"the others wait for it", {There(3), There(9)}, false, Step::kWait, "node-3"},
           {"and go on waiting", {There(3), There(9)}, true, Step::kWait, "node-3"},
           {"a router or witness does not form", {There(1, false, 3), There(2, false, 2)}, false, Step::kForm, "forming"},
           {"nobody waits for one that will not form", {There(1, false, 1, false), There(9)}, false, Step::kForm, "forming"},
           {"silent ones are waited for", {There(9), Refused("x:1", "REFUSED")}, false, Step::kWait, "x:1"},
           {"for all kinds of silence", {Refused("x:1", "UNREACHABLE"), Refused("y:1", "TIMEOUT")}, false, Step::kWait, "x:1, y:1"},
           {"but not for ever", {There(9), Refused("x:1", "REFUSED")}, true, Step::kForm, "x:1"},
           {"the lower id first, also then", {There(2), Refused("x:1", "REFUSED")}, true, Step::kWait, "node-2"},
           {"who refuses may have a cluster", {Refused("x:1", "WRONG_SECRET")}, true, Step::kWait, "WRONG_SECRET"},
           {"a wrong port is a mistake to be put right", {Refused("x:1", "MALFORMED")}, true, Step::kWait, "MALFORMED"},
       }) {
    CAPTURE(c.what);
    const FormationVerdict verdict = JudgeFormation(Id(5), c.sightings, c.patience_over);
    CHECK(verdict.step == c.step);
    CHECK_THAT(verdict.why, Catch::Contains(c.word));
  }
}

TEST_CASE("of nodes that see each other exactly one forms") {
  const std::vector<std::uint8_t> ids = {4, 2, 8, 6, 1};
  for (bool patience_over : {false, true}) {
    int forming = 0;
    for (std::uint8_t self : ids) {
      std::vector<Sighting> sightings;
      for (std::uint8_t id : ids) sightings.push_back(There(id));
      forming += JudgeFormation(Id(self), sightings, patience_over).step == FormationStep::kForm;
    }
    CHECK(forming == 1);
  }
}

}  // namespace
}  // namespace coffer::server
