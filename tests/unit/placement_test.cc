// Where a block lives: hashes, partitions, and the fresh layout that is plain modulo.
#include "cluster/placement.h"

#include <algorithm>
#include <string>
#include <vector>

#include "cluster/random.h"
#include "cluster/sha256.h"
#include "layout_fixtures.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

constexpr std::uint32_t kPartitions = 5040;

BlockId RandomBlock(Random* random) {
  BlockId id;
  for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(random->Next());
  return id;
}

}  // namespace

TEST_CASE("SHA-256 of the standard's examples, at once and in pieces") {
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CHECK(Hex(Sha256({"abc"}).view()) == abc);
  CHECK(Hex(Sha256({"a", "", "bc"}).view()) == abc);
  CHECK(Hex(Sha256({}).view()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256Hasher hasher;
  CHECK(Hex(hasher.Update("a").Update("bc").Finish().view()) == abc);
  CHECK(Hex(hasher.Update("abc").Finish().view()) == abc);  // it started anew
}

TEST_CASE("a block's hash is the first 8 bytes, big-endian, of SHA-256 over zone and id") {
  ZoneId zone;
  zone.bytes[0] = 1;
  BlockId block;
  block.bytes[31] = 2;
  const Digest digest = Sha256({zone.view(), block.view()});
  std::uint64_t expected = 0;
  for (int i = 0; i < 8; ++i) expected = expected * 256 + digest.bytes[i];
  CHECK(BlockHash(zone, block) == expected);
  CHECK(PartitionOf(zone, block, kPartitions) == expected % kPartitions);
  CHECK(BlockHash(ZoneId{}, block) != expected);
  // Pinned: if these change, every block of every cluster is misplaced.
  CHECK(BlockHash(ZoneId{}, BlockId{}) == 0x17b0761f87b081d5);
  CHECK(RegistryPartition(kPartitions) == 0x17b0761f87b081d5 % kPartitions);
}

TEST_CASE(
    "fresh layouts of 1 to 10 nodes: the primary is exactly hash mod N, the replica follows the documented rule") {
  for (std::uint32_t n = 1; n <= 10; ++n) {
    for (std::uint32_t weight : {1u, 100u}) {
      std::vector<Member> members = TestMembers(n);
      for (Member& member : members) member.weight = weight;
      const std::vector<Goal> goals = FreshGoals(members, kPartitions);
      REQUIRE(goals.size() == kPartitions);
      for (PartitionId p = 0; p < kPartitions; ++p) {
        REQUIRE(goals[p].front() == p % n);
        REQUIRE(goals[p].size() == std::min(n, 2u));
        if (n > 1) REQUIRE(goals[p].back() == (p % n + 1 + (p / n) % (n - 1)) % n);
      }
    }
  }
}

TEST_CASE("the primary of a block in a fresh layout is its hash modulo the number of nodes") {
  Random random(2);
  for (std::uint32_t n = 1; n <= 10; ++n) {
    const std::vector<Goal> goals = FreshGoals(TestMembers(n), kPartitions);
    for (int i = 0; i < 200; ++i) {
      const BlockId block = RandomBlock(&random);
      const PartitionId p = PartitionOf(ZoneId{}, block, kPartitions);
      CHECK(goals[p].front() == BlockHash(ZoneId{}, block) % n);
    }
  }
}

TEST_CASE("only members that take data are counted, in the order of the list") {
  std::vector<Member> members = TestMembers(7);
  members[0].witness = true;
  members[2].draining = true;
  members[4].down = true;
  members[5].weight = 0;
  const std::vector<MemberIndex> nodes = {1, 3, 6};
  const std::vector<Goal> goals = FreshGoals(members, kPartitions);
  for (PartitionId p = 0; p < kPartitions; ++p) {
    REQUIRE(goals[p].front() == nodes[p % 3]);
    REQUIRE(goals[p].back() == nodes[(p % 3 + 1 + (p / 3) % 2) % 3]);
  }
  for (Member& member : members) member.down = true;
  for (const Goal& goal : FreshGoals(members, 12)) CHECK(goal.empty());
}

TEST_CASE("movement is counted in copies to be made and primaries that change") {
  const std::vector<Goal> from = {{0, 1}, {1, 2}, {2}, {}};
  CHECK(CountMovement(from, from).copies == 0);
  CHECK(CountMovement(from, from).primaries == 0);
  const Movement swap = CountMovement(from, {{1, 0}, {1, 2}, {2}, {}});
  CHECK(swap.copies == 0);
  CHECK(swap.primaries == 1);
  const Movement moves = CountMovement(from, {{0, 3}, {3, 2}, {2, 0}, {1, 0}});
  CHECK(moves.copies == 5);
  CHECK(moves.primaries == 2);
}

TEST_CASE("the least movement is what the theory says") {
  const std::vector<Member> members = TestMembers(5);
  const std::vector<Goal> goals = FreshGoals(TestMembers(4), 5040);
  CHECK(LeastCopies(goals, TestMembers(4)) == 0);
  CHECK(LeastCopies(goals, members) == 2 * 5040 / 5);
  std::vector<Member> lost = TestMembers(4);
  lost[1].down = true;
  CHECK(LeastCopies(goals, lost) == 2 * 5040 / 4);
  CHECK(LeastCopies(FreshGoals(TestMembers(1), 5040), TestMembers(2)) == 5040);
  CHECK(LeastCopies(goals, {}) == 0);
}

}  // namespace coffer::cluster
