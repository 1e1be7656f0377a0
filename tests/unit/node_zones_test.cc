// Zones as a node keeps them: the one that is always there, and what routers are told of deletes.
#include "cluster/sha256.h"
#include "node/core/default_zone.h"
#include "unit/solo_node.h"

namespace coffer::node {
namespace {

const ZoneId kZone = ZoneId::Must("a-zone-of-sixtee");

BlockId Id(int i) { return BlockId::Must(Sha256({std::to_string(i)}).view()); }

std::vector<wire::ZoneRecord> Zones(SoloNode& node) {
  wire::DataRequest list = SoloNode::ForRegistry();
  list.mutable_list_zones();
  const auto answer = node.Ask(list);
  REQUIRE(answer.status().code() == 0);
  return {answer.zones().zones().begin(), answer.zones().zones().end()};
}

wire::DataRequest DeleteZone(const wire::ZoneRecord& zone) {
  wire::DataRequest remove = SoloNode::ForRegistry();
  remove.mutable_delete_zone()->set_name(zone.name());
  remove.mutable_delete_zone()->set_zone(zone.id());
  return remove;
}

TEST_CASE("the zone default is there from formation on; one that was deleted does not come back") {
  SoloNode node(/*default_zone=*/true);
  const auto zones = Zones(node);
  REQUIRE(zones.size() == 1);
  CHECK(zones[0].name() == "default");
  CHECK(zones[0].id() == DefaultZone::IdIn(node.core->layout()->cluster).str());
  node.Restart();
  node.Run(std::chrono::seconds(3));
  CHECK(Zones(node).size() == 1);

  REQUIRE(node.Ask(DeleteZone(zones[0])).status().code() == 0);
  node.Run(std::chrono::seconds(10));
  CHECK(Zones(node).empty());
  node.Restart();
  node.Run(std::chrono::seconds(3));
  CHECK(Zones(node).empty());

  // The name is free for another zone, which is left alone.
  wire::DataRequest create = SoloNode::ForRegistry();
  create.mutable_create_zone()->mutable_zone()->set_name("default");
  create.mutable_create_zone()->mutable_zone()->set_id(kZone.str());
  REQUIRE(node.Ask(create).status().code() == 0);
  node.Restart();
  node.Run(std::chrono::seconds(3));
  REQUIRE(Zones(node).size() == 1);
  CHECK(Zones(node)[0].id() == kZone.str());
}

TEST_CASE("routers are told of deleted chunks and zones") {
  SoloNode node(/*default_zone=*/true);
  const wire::ZoneRecord zone = Zones(node).at(0);
  const ZoneId id = ZoneId::Must(zone.id());
  REQUIRE(node.Put(id, Id(1), "chunk").status().code() == 0);
  CHECK(node.forgotten.empty());
  wire::DataRequest remove = node.For(id, Id(1));
  remove.mutable_delete_chunk()->set_id(Id(1).str());
  REQUIRE(node.Ask(remove).status().code() == 0);
  REQUIRE(node.forgotten.size() == 1);
  CHECK(node.forgotten[0].zone() == zone.id());
  REQUIRE(node.forgotten[0].ids_size() == 1);
  CHECK(node.forgotten[0].ids(0) == Id(1).str());
  // Again, for who asked first may not have waited until it was acknowledged.
  REQUIRE(node.Ask(remove).status().code() == 0);
  REQUIRE(node.forgotten.size() == 2);
  CHECK(node.forgotten[1].ids_size() == 1);

  REQUIRE(node.Ask(DeleteZone(zone)).status().code() == 0);
  REQUIRE(node.forgotten.size() == 3);
  CHECK(node.forgotten[2].zone() == zone.id());
  CHECK(node.forgotten[2].ids().empty());
}

}  // namespace
}  // namespace coffer::node
