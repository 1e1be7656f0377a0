// A disk a hundred times slower than the others (L11): the row "disk 100 x slower" of the fault matrix.
#include <map>
#include <memory>
#include <vector>

#include "sim/sim_steps.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kPartitions = 24;

// A cluster of three under load; what its layouts went through.
class SlowCluster {
 public:
  explicit SlowCluster(std::uint64_t seed) : cluster(seed, kPartitions) {
    FormCluster(cluster, 3);
    for (int i = 0; i < 6; ++i) clients_.push_back(std::make_unique<SimClient>(cluster, static_cast<std::uint64_t>(i + 1)));
    Run(seconds(5));
    Begin();
  }

  void Begin() {
    terms_.clear();
    for (const auto& group : cluster.Newest()->partitions) terms_.push_back(group.term);
    changes_.assign(kPartitions, 0);
  }
  void Run(Duration time) {
    for (const Instant end = cluster.now() + time; cluster.now() < end; cluster.RunFor(milliseconds(40))) {
      for (auto& client : clients_) client->Act();
      for (PartitionId p = 0; p < terms_.size(); ++p) {
        const Term term = cluster.Newest()->group(p).term;
        changes_[p] += term != terms_[p];
        terms_[p] = term;
      }
    }
    for (auto& client : clients_) CHECK_FALSE(client->broken().value_or("").size());
  }
  std::size_t Primaries(std::size_t node) const {
    const auto layout = cluster.Newest();
    const auto index = layout->IndexOf(cluster.node(node).id);
    return static_cast<std::size_t>(
        std::count_if(layout->partitions.begin(), layout->partitions.end(), [&](const auto& g) { return g.primary == index; }));
  }
  bool AllHaveTwo() const {
    const auto layout = cluster.Newest();
    return std::all_of(layout->partitions.begin(), layout->partitions.end(), [](const auto& g) { return g.in_sync.size() == 2; });
  }
  std::uint64_t acknowledged() const {
    std::uint64_t sum = 0;
    for (const auto& client : clients_) sum += client->acknowledged();
    return sum;
  }
  int MostChanges() const { return *std::max_element(changes_.begin(), changes_.end()); }
  void VerifyAll() {
    for (auto& client : clients_) Verify(cluster, *client);
  }

  SimCluster cluster;

 private:
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::vector<Term> terms_;
  std::vector<int> changes_;
};

TEST_CASE("L11.2 a disk a hundred times slower: its primaries move within 15 s, once, and return once when it is well") {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const std::size_t slow = seed % 3;  // the usual proposer's, too
    SlowCluster c(seed);
    REQUIRE(c.Primaries(slow) == kPartitions / 3);
    c.cluster.node(slow).disk.slower = 100;
    c.Run(seconds(15));
    INFO("seed " << seed << "\n" << Tail(c.cluster));
    CHECK(c.Primaries(slow) == 0);
    const std::uint64_t by_then = c.acknowledged();
    c.Run(seconds(60));
    CHECK(c.Primaries(slow) == 0);
    CHECK(c.AllHaveTwo());  // nothing was given up for it
    CHECK(c.MostChanges() == 1);
    CHECK(c.acknowledged() > by_then + 100);
    c.cluster.node(slow).disk.slower = 1;
    c.Run(seconds(30));
    CHECK(c.cluster.Settled());
    CHECK(c.Primaries(slow) == kPartitions / 3);
    CHECK(c.MostChanges() == 2);
    c.VerifyAll();
  }
}

TEST_CASE("L11.1 an idle cluster finds a slow disk by its probes") {
  SimCluster c(7, kPartitions);
  FormCluster(c, 3);
  c.node(1).disk.slower = 100;
  const auto slow = c.Newest()->IndexOf(c.node(1).id);
  CHECK(c.RunUntil([&] {
    const auto layout = c.Newest();
    return std::none_of(layout->partitions.begin(), layout->partitions.end(), [&](const auto& g) { return g.primary == slow; });
  }, seconds(15)));
}

TEST_CASE("L11.3 if all disks are slow, nothing moves") {
  SlowCluster c(11);
  for (std::size_t i = 0; i < 3; ++i) c.cluster.node(i).disk.slower = 100;
  c.Run(seconds(60));
  for (std::size_t i = 0; i < 3; ++i) c.cluster.node(i).disk.slower = 1;
  c.Run(seconds(40));
  INFO(Tail(c.cluster));
  CHECK(c.MostChanges() <= 2);  // they are not noticed, nor well again, at the same moment
  CHECK(c.cluster.Settled());
  c.VerifyAll();
}

TEST_CASE("L11.1 a disk that comes and goes does not make the layout flap") {
  SlowCluster c(21);
  for (int round = 0; round < 8; ++round) {
    c.cluster.node(1).disk.slower = 100;
    c.Run(seconds(8));
    c.cluster.node(1).disk.slower = 1;
    c.Run(seconds(8));
  }
  INFO(Tail(c.cluster));
  CHECK(c.MostChanges() <= 2);
  c.Run(seconds(40));
  CHECK(c.cluster.Settled());
  c.VerifyAll();
}

TEST_CASE("L11.4 a second copy that is wanted for a while goes to a disk that is not slow") {
  SimCluster c(31, kPartitions);
  c.resync_delay = seconds(600);  // nobody is given a place in the goals for the one that is killed
  FormCluster(c, 4);
  SimClient client(c, 1);
  c.node(3).disk.slower = 100;
  Load(c, client, seconds(15));
  c.Kill(1);
  Load(c, client, seconds(10));
  std::map<std::size_t, int> stand_ins;  // how many partitions each is written to without being one of the group
  const auto layout = c.Newest();
  for (PartitionId p = 0; p < kPartitions; ++p) {
    const auto& group = layout->group(p);
    for (std::size_t i : {0u, 2u, 3u}) {
      const auto* meta = c.node(i).store.MetaOf(p);
      if (group.in_sync.size() == 1 && !group.InSync(layout->IndexOf(c.node(i).id)) && meta) stand_ins[i] += meta->last.term == group.term;
    }
  }
  INFO(Tail(c));
  CHECK(stand_ins[0] + stand_ins[2] > 4);
  CHECK(stand_ins[3] == 0);
}

}  // namespace
}  // namespace coffer::sim
