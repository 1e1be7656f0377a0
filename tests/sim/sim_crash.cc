// What a killed process finds on its disk again of what was not synced: bytes that were torn and that came in any order, read as a start
// reads them.
#include <utility>

#include "cluster/planted_bug.h"
#include "sim/batch_journal.h"
#include "sim/power_loss.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

void SimCluster::LoseUnsynced(std::size_t i) {
  SimNode& n = *nodes_[i];
  // How much of them reached the disk before the first hole. What lies behind it is drawn apart: no later draw depends on it.
  const std::size_t batches = random_.Below(n.store.pending() + 1);
  const std::size_t saves = random_.Below(n.saves.size() + 1);
  Random disk(steps_ << 8 | i);
  if (n.store.pending() > 0) LoseBatches(i, batches, &disk);
  if (!n.saves.empty()) LoseSaves(i, saves, &disk);
  n.batches.clear();
  n.saves.clear();
  n.durable_tickets.clear();
  n.batch_sync = n.save_sync = false;
  if (on_batches) on_batches(i);
}

void SimCluster::LoseBatches(std::size_t i, std::size_t whole, Random* disk) {
  SimNode& n = *nodes_[i];
  constexpr std::uint64_t kFirst = 1'000'000;
  const std::size_t pending = n.store.pending();
  std::vector<std::string> frames;
  std::string written;
  std::size_t hole = 0;
  for (std::size_t k = 0; k < pending; ++k) {
    frames.push_back(EncodeBatch(kFirst + k, n.store.Pending(k)));
    written += frames.back();
    if (k < whole) hole = written.size();
  }
  // A new file, or one that is used again: what it held looks like batches, too.
  std::string before;
  for (std::size_t k = disk->Chance(1, 2) ? pending : 0; k > 0; --k) before += EncodeBatch(k, n.store.Pending(k - 1));
  if (whole < pending) hole = HoleWithin(before, written, hole, hole + frames[whole].size(), disk);
  std::vector<node::StoreBatch> found = ReadJournal(AfterPowerLoss(before, written, hole, disk), kFirst);
  bool same = found.size() == whole;
  for (std::size_t k = 0; k < whole && same; ++k) same = EncodeBatch(kFirst + k, found[k]) == frames[k];
  if (!same && !Planted(Bug::kTornBatchSkipped)) Violate("the disk of " + n.name + " gives back other batches than reached it whole and in order");
  n.store.Crash();
  for (auto& batch : found) n.store.Write(std::move(batch), nullptr);
  n.store.CompleteWrites();
}

// The second slot is written when the first is synced, so that one of them is always whole.
void SimCluster::LoseSaves(std::size_t i, std::size_t saved, Random* disk) {
  SimNode& n = *nodes_[i];
  const bool first_is_whole = saved > 0;
  const node::NodeDurable& wanted = n.saves[(first_is_whole ? saved : n.saves.size()) - 1].second;
  const std::string before = node::EncodeAgreementSlot({1, n.id, n.durable});
  const std::string written = node::EncodeAgreementSlot({2, n.id, wanted});
  const std::size_t size = written.size();
  const std::string first = AfterPowerLoss(before, written, first_is_whole ? size : HoleWithin(before, written, 0, size, disk), disk);
  const std::string second = first_is_whole ? AfterPowerLoss(before, written, disk->Below(size + 1), disk) : before;
  const auto found = node::NewerSlot(node::DecodeAgreementSlot(first), node::DecodeAgreementSlot(second));
  if (!found || found->owner != n.id || found->state != (first_is_whole ? wanted : n.durable)) {
    return Violate("what " + n.name + " had promised is not what its disk gives back");
  }
  if (!first_is_whole) return;
  const auto earlier = std::exchange(n.durable, found->state);
  if (on_durable) on_durable(i, earlier);
}

}  // namespace coffer::sim
