// What a node does when a part of its disk can't be read: what was not seen must not pass for nothing.
#include "cluster/sha256.h"
#include "google/rpc/error_details.pb.h"
#include "unit/solo_node.h"

namespace coffer::node {
namespace {

const ZoneId kZone = ZoneId::Must("a-zone-of-sixtee");

BlockId Id(int i) { return BlockId::Must(Sha256({std::to_string(i)}).view()); }

std::string ReasonOf(const wire::DataResponse& response) {
  google::rpc::ErrorInfo info;
  if (response.status().details_size() > 0) response.status().details(0).UnpackTo(&info);
  return info.reason();
}

wire::DataRequest CreateZone(const std::string& name, const ZoneId& id) {
  wire::DataRequest request = SoloNode::ForRegistry();
  request.mutable_create_zone()->mutable_zone()->set_name(name);
  request.mutable_create_zone()->mutable_zone()->set_id(id.str());
  return request;
}

std::uint64_t Blocks(const SoloNode& node) { return node.core->Report(node.now).self().blocks(); }

TEST_CASE("a chain or zone whose records can't be counted is not deleted, and is once they can") {
  SoloNode node;
  const BlockId chain = Id(1);
  wire::DataRequest append = node.For(kZone, chain);
  append.mutable_append()->set_chain(chain.str());
  REQUIRE(node.Ask(append, {std::make_shared<const std::string>("entry")}).status().code() == 0);
  REQUIRE(node.Put(kZone, Id(2), "chunk").status().code() == 0);
  REQUIRE(Blocks(node) == 2);

  wire::DataRequest remove_chain = node.For(kZone, chain);
  remove_chain.mutable_delete_chain()->set_chain(chain.str());
  wire::DataRequest drop_zone = node.For(kZone, Id(2));
  drop_zone.mutable_drop_zone();

  node.reads.scan = ReadOutcome::kFailed;
  CHECK(ReasonOf(node.Ask(remove_chain)) == "DISK_READ_FAILED");
  CHECK(ReasonOf(node.Ask(drop_zone)) == "DISK_READ_FAILED");
  CHECK(Blocks(node) == 2);

  node.reads.scan = ReadOutcome::kFound;
  CHECK(node.Ask(remove_chain).status().code() == 0);
  CHECK(node.Ask(drop_zone).status().code() == 0);
  CHECK(Blocks(node) == 0);
}

TEST_CASE("a registry that can't be read to its end is no list of zones") {
  SoloNode node;
  for (const char* name : {"a", "b", "c"}) {
    REQUIRE(node.Ask(CreateZone(name, ZoneId::Must(std::string(16, name[0])))).status().code() == 0);
  }
  wire::DataRequest list = SoloNode::ForRegistry();
  list.mutable_list_zones();
  node.reads.scan = ReadOutcome::kFailed;
  const auto failed = node.Ask(list);
  CHECK(ReasonOf(failed) == "DISK_READ_FAILED");
  CHECK(failed.zones().zones_size() == 0);
  node.reads.scan = ReadOutcome::kFound;
  CHECK(node.Ask(list).zones().zones_size() == 3);
}

TEST_CASE("a deletion begun before a restart goes on once the registry can be read again") {
  SoloNode node;
  REQUIRE(node.Ask(CreateZone("z", kZone)).status().code() == 0);
  REQUIRE(node.Put(kZone, Id(2), "chunk").status().code() == 0);
  // The deletion is ordered, and stops before any partition has dropped the zone: none can be counted.
  node.reads.scan = ReadOutcome::kFailed;
  wire::DataRequest remove = SoloNode::ForRegistry();
  remove.mutable_delete_zone()->set_name("z");
  remove.mutable_delete_zone()->set_zone(kZone.str());
  node.Tell(remove);
  node.Restart();
  node.Run(std::chrono::seconds(5));
  CHECK(Blocks(node) == 1);
  node.reads.scan = ReadOutcome::kFound;
  node.Run(std::chrono::seconds(10));
  CHECK(Blocks(node) == 0);
  wire::DataRequest list = SoloNode::ForRegistry();
  list.mutable_list_zones();
  CHECK(node.Ask(list).zones().zones_size() == 0);
}

TEST_CASE("L11.1 a node says how its disk is, in gossip and in its report, from its start on") {
  SoloNode node;
  const auto pace = [&] {
    for (const auto& [id, member] : *node.core->members()) {
      if (member.facts.role() == coffer::v1::MEMBER_ROLE_STORAGE) return member.facts.disk_pace();
    }
    return wire::DISK_PACE_UNSPECIFIED;
  };
  CHECK(pace() == wire::DISK_PACE_USUAL);  // a version that knows nothing of it says nothing (L11.5)
  std::string said;
  const auto tell = [&](bool slow) {
    node.store.SetSlow(slow);
    said.clear();
    for (const NodeEvent& event : node.core->SetHealth(node.now, node.store.Health()).events) said += event.text;
  };
  tell(true);
  CHECK(pace() == wire::DISK_PACE_SLOW);
  CHECK(node.core->Report(node.now).self().disk_slow());
  CHECK_FALSE(node.core->Report(node.now).self().read_only());
  CHECK(said.find("takes long to sync") != std::string::npos);
  tell(true);
  CHECK(said.empty());
  tell(false);
  CHECK(pace() == wire::DISK_PACE_USUAL);
  CHECK_FALSE(node.core->Report(node.now).self().disk_slow());
  CHECK(said.find("as it should again") != std::string::npos);
}

TEST_CASE("a node whose log has an end that can't be read does not serve") {
  SoloNode node;
  REQUIRE(node.Put(kZone, Id(2), "chunk").status().code() == 0);
  SECTION("the disk answers with an error: it stops and may try again") {
    node.reads.log = ReadOutcome::kFailed;
    node.Restart();
    CHECK(node.stopped);
    CHECK_FALSE(node.retired);
  }
  SECTION("it does not verify: this identity is over") {
    node.reads.log = ReadOutcome::kDamaged;
    node.Restart();
    CHECK(node.retired);
  }
}

}  // namespace
}  // namespace coffer::node
