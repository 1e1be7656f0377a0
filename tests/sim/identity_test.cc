// Data folders that were put back from a copy. R8, I2, I4, I13; faults 9, 10.
#include "sim/sim_steps.h"
#include "tests/rounds.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void Settle(SimCluster& c) {
  c.RunUntil([&] { return c.Settled(); }, seconds(60));
  REQUIRE(c.Settled());
}

bool AnyRetired(const SimCluster& c) {
  return std::any_of(c.log.begin(), c.log.end(), [](const std::string& line) { return line.find("RETIRES") != std::string::npos; });
}

// The refused node comes back under a new id, and nothing acknowledged is lost.
void ExpectRefused(SimCluster& c, SimClient& client, std::size_t victim) {
  c.RunUntil([&] {
    client.Act();
    return c.node(victim).retired.has_value() || client.broken();
  }, seconds(30));
  INFO(Tail(c));
  REQUIRE_FALSE(client.broken().value_or("").size());
  REQUIRE(c.node(victim).retired);
  c.RunFor(milliseconds(10));
  c.Start(victim);
  Load(c, client, seconds(5));
  Settle(c);
  Verify(c, client);
}

TEST_CASE("R8.1: a folder put back from a copy is refused, however often it was started since, though all restart at once") {
  for (int seed = 1; seed <= Rounds(12); ++seed) {
    SimCluster c(static_cast<std::uint64_t>(seed), 12);
    FormCluster(c, 3);
    SimClient client(c, 1);
    Load(c, client, seconds(2));
    const std::size_t victim = c.random().Below(3);
    c.Kill(victim);
    const SimFolder copy = c.CopyFolder(victim);
    c.Start(victim);
    Settle(c);
    Load(c, client, seconds(4));
    for (std::size_t i = 0; i < 3; ++i) c.Kill(i);
    c.PutFolder(victim, copy);
    // Starts that nobody sees make its boot counter as high as what the others remember, or higher.
    for (int n = seed % 4; n > 0; --n) {
      c.Start(victim);
      c.RunFor(milliseconds(c.random().Below(7000)));
      c.Kill(victim);
    }
    INFO("seed " << seed << "\n" << Tail(c));
    // It is up first, the others within its patience.
    c.Start(victim);
    for (std::size_t i = 0; i < 3; ++i) {
      c.RunFor(milliseconds(c.random().Below(2000)));
      if (i != victim) c.Start(i);
    }
    ExpectRefused(c, client, victim);
  }
}

TEST_CASE("R8.6: a copy made of a running node is refused, though the node was not started again in between") {
  for (int seed = 50; seed < 50 + Rounds(5); ++seed) {
    SimCluster c(static_cast<std::uint64_t>(seed), 12);
    FormCluster(c, 3);
    SimClient client(c, 1);
    const std::size_t victim = c.random().Below(3);
    Load(c, client, milliseconds(500 + c.random().Below(12'000)));
    const SimFolder copy = c.CopyFolder(victim);
    Load(c, client, seconds(12));  // one step at least
    const bool all = c.random().Chance(1, 2);
    for (std::size_t i = 0; i < 3; ++i) {
      if (all || i == victim) c.Kill(i);
    }
    c.PutFolder(victim, copy);
    for (std::size_t i = 0; i < 3; ++i) c.Start(i);
    INFO("seed " << seed << "\n" << Tail(c));
    ExpectRefused(c, client, victim);
  }
}

TEST_CASE("R8: a folder moved as it was, and a member away while the others start again and again, are no old copies") {
  for (int seed = 70; seed < 70 + Rounds(4); ++seed) {
    SimCluster c(static_cast<std::uint64_t>(seed), 12);
    FormCluster(c, 3);
    SimClient client(c, 1);
    Load(c, client, seconds(2));
    // The copy goes on where the original ended.
    c.Kill(0);
    c.PutFolder(0, c.CopyFolder(0));
    c.Start(0);
    Settle(c);
    // One misses many starts of another.
    c.Kill(2);
    for (int n = 0; n < 6; ++n) {
      Load(c, client, milliseconds(c.random().Below(3000)));
      c.Kill(1);
      Load(c, client, milliseconds(c.random().Below(3000)));
      c.Start(1);
    }
    c.Start(2);
    Load(c, client, seconds(8));
    Settle(c);
    INFO("seed " << seed << "\n" << Tail(c));
    CHECK_FALSE(AnyRetired(c));
    Verify(c, client);
  }
}

TEST_CASE("R8.4: a member that starts waits for those who may remember more, and not for ever") {
  SimCluster c(90, 12);
  FormCluster(c, 3);
  SimClient client(c, 1);
  Load(c, client, seconds(2));
  for (std::size_t i = 0; i < 3; ++i) c.Kill(i);
  const Instant began = c.now();
  c.Start(0);
  c.Start(1);
  INFO(Tail(c));
  // A majority is there, but the third may know what both forgot.
  CHECK_FALSE(c.RunUntil([&] { return c.node(0).core->Cleared() || c.node(1).core->Cleared(); }, milliseconds(4900)));
  CHECK(c.RunUntil([&] { return c.node(0).core->Cleared() && c.node(1).core->Cleared(); }, seconds(1)));
  CHECK(c.now() - began < seconds(6));
  Load(c, client, seconds(10));
  Verify(c, client);
}

TEST_CASE("R8.4: a member whose peers all answer is cleared without waiting") {
  SimCluster c(91, 12);
  FormCluster(c, 3);
  for (std::size_t i = 0; i < 3; ++i) c.Kill(i);
  for (std::size_t i = 0; i < 3; ++i) c.Start(i);
  CHECK(c.RunUntil([&] {
    return c.node(0).core->Cleared() && c.node(1).core->Cleared() && c.node(2).core->Cleared();
  }, milliseconds(100)));
}

}  // namespace
}  // namespace coffer::sim
