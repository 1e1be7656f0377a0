// Two members that do not see each other while a third sees both (L5.1 to L5.5): the row "one node isolated, two-way split, bridge,
// ring, one-way cut" of the fault matrix, and fault 21.
#include <map>
#include <memory>
#include <vector>

#include "sim/sim_steps.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kPartitions = 24;
constexpr int kClients = 6;

// A cluster of three under the load of several clients, and what they and the layouts went through.
class CutCluster {
 public:
  explicit CutCluster(std::uint64_t seed, std::size_t nodes = 3) : cluster(seed, kPartitions) {
    FormCluster(cluster, nodes);
    for (int i = 0; i < kClients; ++i) clients_.push_back(std::make_unique<SimClient>(cluster, static_cast<std::uint64_t>(i + 1)));
    last_.assign(kClients, cluster.now());
    counted_.assign(kClients, 0);
    Run(seconds(2));
    Begin();
  }

  // From here on, layouts and waits are counted.
  void Begin() {
    changes_.assign(kPartitions, 0);
    terms_.clear();
    for (PartitionId p = 0; p < kPartitions; ++p) terms_.push_back(cluster.Newest()->group(p).term);
    longest_wait = Duration(0);
    last_.assign(kClients, cluster.now());
  }

  void Run(Duration time) {
    for (const Instant end = cluster.now() + time; cluster.now() < end; cluster.RunFor(milliseconds(40))) {
      for (auto& client : clients_) client->Act();
      Look();
    }
    for (auto& client : clients_) CHECK_FALSE(client->broken().value_or("").size());
  }

  int MostChanges() const { return changes_.empty() ? 0 : *std::max_element(changes_.begin(), changes_.end()); }
  bool InOneGroup(std::size_t a, std::size_t b) const {
    const auto layout = cluster.Newest();
    const auto first = layout->IndexOf(cluster.node(a).id), second = layout->IndexOf(cluster.node(b).id);
    return std::any_of(layout->partitions.begin(), layout->partitions.end(),
                       [&](const cluster::Group& g) { return g.InSync(first) && g.InSync(second); });
  }
  std::size_t FewestCopies() const {
    std::size_t fewest = 100;
    for (const auto& group : cluster.Newest()->partitions) fewest = std::min(fewest, group.in_sync.size());
    return fewest;
  }
  void VerifyAll() {
    for (auto& client : clients_) Verify(cluster, *client);
  }

  SimCluster cluster;
  Duration longest_wait{};  // of a client between two acknowledgements, since Begin

 private:
  void Look() {
    const auto layout = cluster.Newest();
    for (PartitionId p = 0; p < kPartitions && p < terms_.size(); ++p) {
      if (layout->group(p).term == terms_[p]) continue;
      terms_[p] = layout->group(p).term;
      ++changes_[p];
    }
    for (std::size_t i = 0; i < kClients; ++i) {
      if (clients_[i]->acknowledged() != counted_[i]) {
        counted_[i] = clients_[i]->acknowledged();
        last_[i] = cluster.now();
      }
      longest_wait = std::max(longest_wait, cluster.now() - last_[i]);
    }
  }

  std::vector<std::unique_ptr<SimClient>> clients_;
  std::vector<Instant> last_;
  std::vector<std::uint64_t> counted_;
  std::vector<Term> terms_;
  std::vector<int> changes_;
};

// What is cut, and the whole course of it: writes wait at first, go on with the third, get their second copy there once the other is
// away for good, and come home when it is mended.
void CutAndMend(std::uint64_t seed, std::size_t nodes, bool there, bool back) {
  CutCluster c(seed, nodes);
  REQUIRE(c.InOneGroup(0, 1));
  if (there) c.cluster.CutOneWay(0, 1, true);
  if (back) c.cluster.CutOneWay(1, 0, true);
  c.Run(seconds(12));
  INFO("seed " << seed << " there " << there << " back " << back << "\n" << Tail(c.cluster));
  CHECK(c.longest_wait < seconds(8));  // 3 s of patience, a proposer's turn, and an operation that waited
  CHECK_FALSE(c.InOneGroup(0, 1));
  CHECK(c.FewestCopies() == 2);
  CHECK(c.MostChanges() <= 2);
  c.Begin();
  c.Run(seconds(20));
  CHECK(c.longest_wait < seconds(1));
  CHECK(c.MostChanges() == 0);  // no flapping
  c.cluster.Cut(0, 1, false);
  c.Run(seconds(20));
  CHECK(c.longest_wait < seconds(2));
  CHECK(c.cluster.Settled());
  CHECK(c.MostChanges() <= 2);
  c.VerifyAll();
}

TEST_CASE("L5.1 L5.5 two that do not see each other: writes go on, and each partition changes twice at most") {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) CutAndMend(seed, 3, true, true);
  for (std::uint64_t seed = 5; seed <= 5; ++seed) CutAndMend(seed, 5, true, true);
}

TEST_CASE("L5.1 a cut in one direction holds nothing up for longer") {
  for (std::uint64_t seed = 11; seed <= 12; ++seed) CutAndMend(seed, 3, true, false);
  for (std::uint64_t seed = 14; seed <= 15; ++seed) CutAndMend(seed, 3, false, true);
}

TEST_CASE("L5.2 who answers within the patience stays") {
  CutCluster c(21);
  const Epoch before = c.cluster.Newest()->epoch;
  c.cluster.Cut(0, 1, true);
  c.Run(milliseconds(2000));
  c.cluster.Cut(0, 1, false);
  c.Run(seconds(10));
  INFO(Tail(c.cluster));
  CHECK(c.cluster.Newest()->epoch == before);
  c.VerifyAll();
}

TEST_CASE("L5.4 a link that comes and goes does not make the layout flap") {
  CutCluster c(31);
  for (int round = 0; round < 6; ++round) {
    c.cluster.Cut(0, 1, true);
    c.Run(seconds(5));
    c.cluster.Cut(0, 1, false);
    c.Run(seconds(3));
  }
  INFO(Tail(c.cluster));
  CHECK(c.MostChanges() <= 2);
  c.Run(seconds(30));
  CHECK(c.cluster.Settled());
  c.VerifyAll();
}

TEST_CASE("L5.1 nobody is removed by who is alone, and afterwards all is as before") {
  CutCluster c(41);
  c.cluster.Kill(2);  // two voters of three are left, and do not see each other: nobody decides anything
  c.cluster.RunUntil([&] { return c.cluster.AllWritable(); }, seconds(10));
  c.cluster.Cut(0, 1, true);
  c.Run(seconds(15));
  c.cluster.Cut(0, 1, false);
  c.cluster.Start(2);
  c.Run(seconds(40));
  INFO(Tail(c.cluster));
  CHECK(c.cluster.Settled());
  c.VerifyAll();
}

}  // namespace
}  // namespace coffer::sim
