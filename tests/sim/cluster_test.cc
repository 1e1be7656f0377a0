#include <cstdlib>

#include "sim/scenario.h"
#include "sim/sim_steps.h"
#include "tests/rounds.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("one node serves with one copy") {
  SimCluster c(1, 24);
  FormCluster(c, 1);
  SimClient client(c, 1);
  Load(c, client, seconds(2));
  CHECK(client.acknowledged() > 100);
  CHECK(client.unknown() == 0);
  Verify(c, client);
}

TEST_CASE("three nodes that start together end at plain modulo") {
  SimCluster c(2, 24);
  FormCluster(c, 3);
  const auto layout = c.Newest();
  for (PartitionId p = 0; p < 24; ++p) CHECK(layout->group(p).primary == layout->group(p % 3).primary);
  SimClient client(c, 1);
  Load(c, client, seconds(2));
  CHECK(client.acknowledged() > 100);
  INFO(Tail(c));
  Verify(c, client);
}

TEST_CASE("a killed node is replaced, returns, and nothing acknowledged is lost") {
  for (int seed = 10; seed < 10 + Rounds(20); ++seed) {
    SimCluster c(static_cast<std::uint64_t>(seed), 24);
    FormCluster(c, 3);
    SimClient client(c, 1);
    Load(c, client, seconds(2));
    const std::size_t victim = c.random().Below(3);
    c.Kill(victim);
    Load(c, client, seconds(8));
    INFO("seed " << seed << "\n" << Tail(c));
    CHECK(c.Settled());
    c.Start(victim);
    Load(c, client, seconds(6));
    CHECK(c.Settled());
    Verify(c, client);
  }
}

TEST_CASE("whoever is killed, and however often, all is writable again within 1.5 seconds") {
  SimCluster c(77, 240);
  FormCluster(c, 3);
  for (int round = 0; round < 6; ++round) {
    const std::size_t victim = static_cast<std::size_t>(round) % 3;
    const Instant killed = c.now();
    c.Kill(victim);
    c.RunFor(milliseconds(100));
    INFO("round " << round << "\n" << Tail(c));
    REQUIRE(c.RunUntil([&] { return c.AllWritable(); }, milliseconds(1400)));
    CHECK(c.now() - killed < milliseconds(1500));
    c.RunFor(seconds(static_cast<int>(c.random().Below(8))));
    c.Start(victim);
    REQUIRE(c.RunUntil([&] { return c.Settled(); }, seconds(30)));
    c.RunFor(seconds(2));
  }
}

// COFFER_SEED begins the walk elsewhere, COFFER_SEEDS makes it longer.
std::uint64_t FromEnvironment(const char* name, std::uint64_t usual) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : usual;
}

TEST_CASE("random kills and cuts under load") {
  const std::uint64_t first = FromEnvironment("COFFER_SEED", 100);
  const std::uint64_t count = FromEnvironment("COFFER_SEEDS", Rounds(20));
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SimCluster c(seed, 12);
    FormCluster(c, 3 + seed % 3);
    SimClient client(c, 1);
    SimClient other(c, 2);
    c.faults.lose_per_mille = static_cast<int>(c.random().Below(3) * 20);
    c.faults.repeat_per_mille = static_cast<int>(c.random().Below(3) * 20);
    c.faults.delay_long_per_mille = static_cast<int>(c.random().Below(3) * 20);
    for (int round = 0; round < 12; ++round) {
      const std::size_t victim = c.random().Below(c.size());
      switch (c.random().Below(6)) {
        case 0: {  // one node, or one link, is cut off or mended
          const bool cut = c.random().Chance(1, 2);
          const std::size_t only = c.random().Below(2 * c.size());
          for (std::size_t i = 0; i < c.size(); ++i) {
            if (i != victim && (only >= c.size() || only == i)) c.Cut(victim, i, cut);
          }
          break;
        }
        case 1:  // power loss everywhere
          if (c.random().Chance(1, 3)) {
            for (std::size_t i = 0; i < c.size(); ++i) c.Kill(i);
            for (std::size_t i = 0; i < c.size(); ++i) c.Start(i);
          }
          break;
        default:
          if (c.Up(victim)) c.Kill(victim);
          else c.Start(victim);
      }
      const Instant end = c.now() + milliseconds(200 + c.random().Below(4000));
      c.RunUntil([&] {
        client.Act();
        other.Act();
        return c.now() >= end || client.broken() || other.broken();
      }, seconds(5));
      INFO("seed " << seed << " round " << round << "\n" << Tail(c));
      REQUIRE_FALSE(client.broken().value_or("").size());
      REQUIRE_FALSE(other.broken().value_or("").size());
    }
    c.faults = {};
    for (std::size_t i = 0; i < c.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) c.Cut(i, j, false);
      c.Start(i);
    }
    c.RunUntil([&] { return c.Settled(); }, seconds(60));
    INFO("seed " << seed << "\n" << Tail(c));
    REQUIRE(c.Settled());
    Verify(c, client);
    Verify(c, other);
  }
}

// Two storage nodes and a witness. Everybody wants to go on without the one that is away, and nobody hears a promise; then that one is
// back, and the other is gone with its disk.
TEST_CASE("L5 what is proposed follows what becomes of the members: it never removes who lives in favour of who died meanwhile") {
  for (int seed = 200; seed < 200 + Rounds(10); ++seed) {
    SimCluster c(static_cast<std::uint64_t>(seed), 6);
    c.AddNode();
    c.AddNode();
    c.AddNode(2);
    c.Start(0);
    c.Form(0);
    c.Start(1);
    c.Start(2);
    REQUIRE(c.RunUntil([&] { return c.Settled() && c.Newest()->settings.min_copies == 2 && c.Newest()->voters.size() == 3; }, seconds(30)));
    const std::size_t away = seed % 2, lost = 1 - away;
    c.Mute(*KindNumber("promise"), Instant::max());
    c.Kill(away);
    c.RunFor(seconds(8));
    c.Start(away);
    c.RunFor(seconds(2));
    c.Kill(lost);
    c.Wipe(lost);
    c.RunFor(seconds(5));
    c.Unmute();
    INFO("seed " << seed << "\n" << Tail(c));
    const NodeId survivor = c.node(away).id;
    REQUIRE(c.RunUntil([&] {
      const auto layout = c.Newest();
      const auto self = layout->IndexOf(survivor);
      return std::all_of(layout->partitions.begin(), layout->partitions.end(),
                         [&](const cluster::Group& g) { return g.primary == self && g.in_sync.size() == 1 && g.InSync(self); });
    }, seconds(30)));
    c.Start(lost);
    REQUIRE(c.RunUntil([&] { return c.Settled() && c.AllWritable(); }, seconds(60)));
  }
}

TEST_CASE("R4.6 what is committed is on the disk of every copy, a while after the last write") {
  SimCluster c(71, 24);
  FormCluster(c, 3);
  SimClient client(c, 1);
  Load(c, client, seconds(5));
  c.RunUntil([&] { return client.Idle(); }, seconds(10));
  c.RunFor(seconds(4));
  const auto layout = c.Newest();
  int written = 0;
  for (PartitionId p = 0; p < layout->partition_count(); ++p) {
    const auto& group = layout->group(p);
    for (const auto member : group.in_sync) {
      if (member == group.primary) continue;
      const auto* meta = c.node(*c.IndexOf(layout->members[member].id)).store.MetaOf(p);
      if (!meta || meta->last.seq == Seq{}) continue;
      ++written;
      INFO("partition " << p << " on " << layout->members[member].name);
      CHECK(meta->committed == meta->last.seq);
    }
  }
  CHECK(written > 10);
}

}  // namespace
}  // namespace coffer::sim
