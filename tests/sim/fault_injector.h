// Carries a scenario's faults out on the simulated cluster, and ends them all.
//
// It destroys no more than the cluster is built to survive: a disk is lost only while every partition has another in_sync member and a
// quorum of voters remains; bits flip on one node only, in records and lines of logs that another in_sync member has, or where that ends
// its copy, as when its disk is lost.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "sim/check_layouts.h"
#include "sim/scenario.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

class FaultInjector {
 public:
  FaultInjector(SimCluster& cluster, const LayoutChecker& layouts, const Scenario& scenario)
      : cluster_(cluster), layouts_(layouts), scenario_(scenario), damage_(static_cast<std::uint64_t>(scenario.knob("seed")) ^ 0xda3a9e) {
    cluster_.may_fail = [this](std::size_t node) { return MayFail(node); };
  }

  // Schedules everything from now on.
  void Begin();
  // Ends all faults: everybody is up, connected, quick, but some (`stay_off`) without whom there still is a core (I20): a quorum of voters
  // and an in_sync member per partition, by the newest layout and by each that was accepted after it. What is lost stays lost.
  void Heal();
  // The rest starts, too. False: nobody was left off.
  bool HealRest();
  // A decision that was under way at the heal has made those who stay off necessary.
  bool NeedsRest() const;

  // After the heal: who retired its id starts again. A header that is damaged on the last in_sync copy is beyond repair (S9); it is given back, as from a backup.
  void GiveBack();

  const std::map<std::string, std::uint64_t>& counts() const { return counts_; }
  bool lost_disk() const { return lost_disk_; }
  // Everybody who was given up by force is back under another id.
  bool AllReturned() const;
  // There is a newer layout.
  void LayoutDecided();
  // More disks were lost than the cluster is built to survive: a removal that was under way left nobody but who lost its disk. One that
  // is decided later than anything can have been under way for is no excuse.
  bool TooMuchLost() const;
  const std::set<PartitionId>& damaged() const { return damaged_; }

 private:
  void Carry(const Fault& fault, std::size_t sender, std::size_t receiver);
  void Process(const std::string& what, std::size_t n, const std::vector<std::int64_t>& arguments);
  void PauseFor(std::size_t n, std::int64_t microseconds);
  void Network(const std::string& what, std::size_t n, std::size_t m, const std::vector<std::int64_t>& arguments);
  void Disk(const std::string& what, std::size_t n, const std::vector<std::int64_t>& arguments);
  void Operator(const std::string& what, std::size_t n, const std::vector<std::int64_t>& arguments);
  void Router(const std::string& what, const std::vector<std::int64_t>& arguments);
  void Start(std::size_t n);
  void Kill(std::size_t n);
  void Force(Epoch before, std::uint64_t call);
  // A change that an operator asks some living node for.
  void Ask(PeerMessage message);
  void FreeResync(Instant until);
  void Restore(std::size_t node);
  bool Intact(const NodeId& id, const std::set<std::size_t>& but) const;
  bool Carries(const cluster::Layout& layout, const std::set<std::size_t>& without) const;
  bool HasRoomForTwo(const cluster::Layout& layout, const std::set<std::size_t>& without) const;
  void ChooseOff();
  bool MayLose(std::size_t node) const;
  void NoteLoss();
  // Whether a sync may fail now. It is what the sync was for that is lost with the disk, so this is asked when it ends.
  bool MayFail(std::size_t node);
  void Flip(std::size_t node);
  void FlipRecord(std::size_t node, PartitionId p, const cluster::Layout& newest);
  void FlipLog(std::size_t node, PartitionId p, const cluster::Layout& newest);
  void FlipEnd(std::size_t node, PartitionId p);
  void MendAll();

  SimCluster& cluster_;
  const LayoutChecker& layouts_;
  const Scenario& scenario_;
  Random damage_;  // draws what is damaged, so that all else of a run is as without it
  std::map<std::string, std::uint64_t> seen_;  // messages by kind
  std::map<std::string, std::uint64_t> counts_;
  std::map<std::size_t, SimFolder> copies_;  // of data folders
  std::set<PartitionId> damaged_;
  std::optional<std::size_t> flipped_;
  std::set<std::size_t> stated_off_;  // by an operator who forces the layout: off until the heal
  std::set<std::size_t> off_;         // at the heal, until all is well without them
  bool lost_disk_ = false;
  Instant last_loss_{};       // of a disk
  bool overtaken_ = false;    // by a decision that was under way then
  bool over_ = false;
};

}  // namespace coffer::sim
