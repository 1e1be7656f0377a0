// A random walk: members that vote, propose, crash and restart over a network that loses, repeats, delays and splits, while
// every epoch names other voters. After every step small independent checkers look at wires and disks.
//
// COFFER_SEEDS is the number of walks (default below), COFFER_SEED the first. A failure prints the seed that repeats it.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

#include "agreement_fixture.h"
#include "cluster/random.h"
#include "coffer/internal/v1/layout.pb.h"
#include "rounds.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

// A broken invariant.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void Demand(bool ok, const std::string& what) {
  if (!ok) throw Violation(what);
}

// Knows every layout ever proposed, accepted or adopted, and what may and may not be said about them.
class Checker {
 public:
  explicit Checker(const Layout& first) { chosen_[1] = Encode(first); }

  // A message on the wire.
  void SeeSent(const NodeId& from, std::uint64_t boot, const wire::Peer& m, const AgreementState& disk) {
    if (m.has_prepare()) {
      SeeBallot(from, boot, m.prepare().ballot());
      Demand(disk.ballot_counter >= m.prepare().ballot().counter(), "a ballot is used before its counter is durable");
    }
    if (m.has_accept()) {
      SeeBallot(from, boot, m.accept().ballot());
      const auto [at, fresh] = asked_.try_emplace({m.accept().epoch(), Of(m.accept().ballot())}, m.accept().layout());
      Demand(at->second == m.accept().layout(), "one ballot asks for two values");
    }
    if (m.has_promise() && m.promise().granted()) {
      Demand(DiskEpoch(disk) + 1 != m.promise().epoch() || disk.promised >= Of(m.promise().ballot()),
             "a promise is answered that is not durable");
      Demand(DiskEpoch(disk) + 1 >= m.promise().epoch(), "a promise is answered without its layout");
    }
    if (m.has_accepted() && m.accepted().granted()) {
      Demand(DiskEpoch(disk) + 1 != m.accepted().epoch() || disk.accepted_ballot >= Of(m.accepted().ballot()),
             "an acceptance is answered that is not durable");
    }
  }

  // What a disk holds after a write, and what it held before.
  void SeeDisk(const NodeId& id, const AgreementState& before, const AgreementState& after) {
    const std::uint64_t epoch = DiskEpoch(after);
    Demand(epoch >= DiskEpoch(before), "an epoch falls");
    Demand(after.ballot_counter >= before.ballot_counter, "a ballot counter falls");
    Demand(after.promised >= after.accepted_ballot, "a ballot is accepted above the promise");
    if (epoch == DiskEpoch(before)) {
      Demand(after.promised >= before.promised, "a promise falls");
      Demand(after.accepted_ballot >= before.accepted_ballot, "an accepted ballot falls");
    }
    if (epoch != 0) SeeAdopted(epoch, after.layout);
    if (after.accepted_ballot.counter != 0) SeeDurableAcceptance(id, after);
  }

  // A layout a member treats as decided.
  void SeeAdopted(std::uint64_t epoch, const std::string& bytes) {
    const auto at = chosen_.find(epoch);
    Demand(at != chosen_.end(), "a layout is adopted that no quorum accepted");
    Demand(at->second == bytes, "a layout is adopted other than the one decided");
  }

  std::uint64_t epochs() const { return chosen_.rbegin()->first; }

  static std::uint64_t DiskEpoch(const AgreementState& disk) {
    if (disk.layout.empty()) return 0;
    wire::Layout layout;
    layout.ParseFromString(disk.layout);
    return layout.epoch();
  }

 private:
  static Ballot Of(const wire::Ballot& b) { return {b.counter(), NodeId::Must(b.node())}; }

  // A ballot belongs to one start of one member.
  void SeeBallot(const NodeId& from, std::uint64_t boot, const wire::Ballot& b) {
    Demand(b.node() == from.view(), "a member uses another's ballot");
    const auto [at, fresh] = drawn_.try_emplace(Of(b), boot);
    Demand(at->second == boot, "a ballot is used again after a restart");
  }

  // The oracle: a value is chosen once a majority of the voters ever held it durably accepted under one ballot.
  void SeeDurableAcceptance(const NodeId& id, const AgreementState& disk) {
    const std::uint64_t epoch = DiskEpoch(disk) + 1;
    auto& holders = accepted_[{epoch, disk.accepted_ballot, disk.accepted_layout}];
    if (!holders.insert(id).second) return;
    const auto current = DecodeLayout(chosen_.at(epoch - 1), nullptr);
    const auto votes = std::count_if(holders.begin(), holders.end(), [&](const NodeId& n) { return current->IsVoter(n); });
    if (static_cast<std::size_t>(votes) < current->Quorum()) return;
    const auto next = DecodeLayout(disk.accepted_layout, nullptr);
    Demand(next && !WhyIllegal(*current, *next), "an illegal layout is decided");
    const auto [at, fresh] = chosen_.try_emplace(epoch, disk.accepted_layout);
    Demand(at->second == disk.accepted_layout, "two layouts are decided for one epoch");
  }

  std::map<Ballot, std::uint64_t> drawn_;
  std::map<std::pair<std::uint64_t, Ballot>, std::string> asked_;
  std::map<std::tuple<std::uint64_t, Ballot, std::string>, std::set<NodeId>> accepted_;
  std::map<std::uint64_t, std::string> chosen_;
};

// What one walk draws.
struct Weather {
  int members;
  int loss, repeat;      // per cent
  int crash, split;      // per thousand steps
  int slow_disk;         // per cent of the chances to finish a write that are passed up
  int propose;           // per thousand steps
};

class Walk {
 public:
  explicit Walk(std::uint64_t seed) : random_(seed), first_(MakeFirst()), checker_(first_) {
    weather_ = {.members = static_cast<int>(first_.members.size()),
                .loss = Draw({0, 0, 5, 30}),
                .repeat = Draw({0, 10, 50}),
                .crash = Draw({0, 2, 8, 20}),
                .split = Draw({0, 3, 10}),
                .slow_disk = Draw({0, 50, 90}),
                .propose = Draw({5, 20, 80})};
    // The last member starts without a layout, as one that joins does.
    for (int i = 0; i < weather_.members; ++i) {
      const bool joins = i + 1 == weather_.members && !first_.IsVoter(Node(i));
      members_.push_back(std::make_unique<TestMember>(Node(i), seed * 64 + i, joins ? nullptr : &first_));
    }
    side_.assign(weather_.members, 0);
  }

  void Storm(int steps) {
    for (int i = 0; i < steps; ++i) {
      now_ += std::chrono::milliseconds(random_.Below(12));
      const int what = static_cast<int>(random_.Below(1000));
      if (what < weather_.propose) {
        ProposeSomething(Any());
      } else if (what < weather_.propose + weather_.crash) {
        CrashOrRestart(Any());
      } else if (what < weather_.propose + weather_.crash + weather_.split) {
        for (int& side : side_) side = static_cast<int>(random_.Below(2));
        if (random_.Chance(1, 2)) side_.assign(side_.size(), 0);
      } else if (what < 650) {
        DeliverOne();
      } else if (what < 880) {
        FinishWrite(Any());
      } else if (what < 980) {
        Tick(Any());
      } else {
        Gossip(Any(), Any());
      }
    }
  }

  // Leaves some members dead for good, heals everything else, and demands one more epoch, known to all who live.
  void HealAndDemandProgress() {
    storming_ = false;
    weather_ = {.members = weather_.members};
    side_.assign(side_.size(), 0);
    ChooseCore();
    const std::uint64_t before = checker_.epochs();
    std::uint64_t wanted = 0;
    const bool alone = random_.Chance(1, 2);  // only the lowest live voter proposes, as it is when nobody is impatient
    const Instant end = now_ + std::chrono::seconds(60);
    while (now_ < end) {
      now_ += std::chrono::milliseconds(5);
      CalmRound();
      if (wanted == 0 && checker_.epochs() > before && AllHave(checker_.epochs())) wanted = checker_.epochs();
      if (wanted == 0 && random_.Chance(1, 20)) ProposeAnew(alone ? LowestVoter() : Any());
      if (wanted != 0 && AllHave(checker_.epochs()) && network_.empty()) return;
    }
    Demand(false, wanted == 0 ? "after healing no further epoch is decided and known to all" : "after healing it does not get quiet");
  }

  std::uint64_t epochs() const { return checker_.epochs(); }

 private:
  struct Packet {
    int from, to;
    std::string bytes;
  };

  int Draw(std::initializer_list<int> of) { return of.begin()[random_.Below(of.size())]; }
  int Any() { return static_cast<int>(random_.Below(members_.size())); }

  MemberList DrawVoters(std::size_t members) {
    MemberList voters;
    for (std::size_t i = 0; i < members; ++i) voters.push_back(static_cast<MemberIndex>(i));
    for (std::size_t i = voters.size(); i > 1; --i) std::swap(voters[i - 1], voters[random_.Below(i)]);
    voters.resize(std::min<std::size_t>(members, 3 + random_.Below(5)));
    std::sort(voters.begin(), voters.end());
    return voters;
  }

  Layout MakeFirst() {
    const int members = 3 + static_cast<int>(random_.Below(6));
    return FirstOf(members, DrawVoters(members));
  }

  // A conflicting wish of its own: other voters, another mark, another primary, and now and then an illegal one.
  void ProposeSomething(int i) {
    TestMember& m = *members_[i];
    if (!m.up() || !m.agreement().layout()) return;
    m.now = now_;
    const Layout& current = *m.agreement().layout();
    Layout next = After(current, ++mark_);
    if (random_.Chance(2, 3)) next.voters = DrawVoters(next.members.size());
    Group& group = next.partitions[0];
    if (random_.Chance(1, 3)) {
      group.primary = group.in_sync[random_.Below(group.in_sync.size())];
      group.term = Term(next.epoch.value);
    }
    if (random_.Chance(1, 20)) group.term = Term(next.epoch.value + 5);
    m.Propose(next);
    Collect(i);
  }

  // As a calm owner does it: not while a proposal is under way.
  void ProposeAnew(int i) {
    if (members_[i]->up() && !members_[i]->agreement().proposing()) ProposeSomething(i);
  }

  int LowestVoter() const {
    for (int i = 0; i < weather_.members; ++i) {
      if (!members_[i]->up()) continue;
      const auto layout = members_[i]->agreement().layout();
      if (layout && layout->IsVoter(Node(i))) return i;
    }
    return 0;
  }

  // A crash loses what is not durable; a random number of the writes under way still becomes so, unanswered.
  void CrashOrRestart(int i) {
    TestMember& m = *members_[i];
    if (!m.up()) return m.Start();
    if (storming_ && random_.Chance(1, 2)) return;  // most are up most of the time
    const AgreementState before = m.disk();
    m.Crash(random_.Below(m.writes() + 1));
    checker_.SeeDisk(m.id(), before, m.disk());
  }

  void FinishWrite(int i) {
    TestMember& m = *members_[i];
    if (!m.up() || m.writes() == 0 || random_.Chance(weather_.slow_disk, 100)) return;
    m.now = now_;
    const AgreementState before = m.disk();
    m.Sync();
    checker_.SeeDisk(m.id(), before, m.disk());
    Collect(i);
  }

  void Tick(int i) {
    TestMember& m = *members_[i];
    if (!m.up() || m.agreement().NextDeadline() > now_) return;
    m.TickTo(now_);
    Collect(i);
  }

  void Gossip(int i, int about) {
    TestMember& m = *members_[i];
    if (!m.up() || side_[i] != side_[about]) return;
    m.now = now_;
    m.Run(m.agreement().PeerEpoch(now_, Node(about), Epoch(Checker::DiskEpoch(members_[about]->disk()))));
    Collect(i);
  }

  void DeliverOne() {
    if (network_.empty()) return;
    // Mostly in order, so that walks get anywhere; sometimes any.
    const std::size_t at = random_.Chance(3, 4) ? 0 : random_.Below(network_.size());
    const Packet packet = network_[at];
    const bool cut = side_[packet.from] != side_[packet.to];
    if (cut || !random_.Chance(weather_.repeat, 100)) network_.erase(network_.begin() + static_cast<std::ptrdiff_t>(at));
    TestMember& m = *members_[packet.to];
    if (cut || !m.up() || random_.Chance(weather_.loss, 100)) return;
    wire::Peer message;
    Demand(message.ParseFromString(packet.bytes), "a message can't be read");
    m.now = now_;
    m.Receive(Node(packet.from), message);
    Collect(packet.to);
  }

  // Takes what a member sent, and looks at it.
  void Collect(int i) {
    TestMember& m = *members_[i];
    Demand(m.after_without_persist() == 0, "an answer waits for a write that is not asked for");
    if (const auto adopted = std::exchange(m.adopted, nullptr)) {
      checker_.SeeAdopted(adopted->epoch.value, Encode(*adopted));
    }
    for (const Outgoing& o : m.TakeSent()) {
      Demand(o.to != m.id(), "a message to oneself leaves");
      checker_.SeeSent(m.id(), m.boot(), o.message.header, m.disk());
      const int to = o.to.bytes[0] - 1;
      network_.push_back({i, to, o.message.header.SerializeAsString()});
    }
    if (network_.size() > 2000) network_.erase(network_.begin());
    Demand(m.agreement().state().promised >= m.agreement().state().accepted_ballot, "accepted above the promise");
  }

  // Everything that can happen without anything going wrong.
  void CalmRound() {
    for (int i = 0; i < weather_.members; ++i) {
      Tick(i);
      FinishWrite(i);
      if (random_.Chance(1, 40)) Gossip(i, Any());
    }
    for (std::size_t n = network_.size(); n > 0; --n) DeliverOne();
  }

  // Invariant I20: a quorum of the voters of the newest layout anybody has, one member that has it, and a quorum of the
  // voters of every value that may have been decided after it, live; of the others some stay dead.
  void ChooseCore() {
    std::vector<bool> dead(members_.size());
    for (std::size_t i = 0; i < dead.size(); ++i) dead[i] = random_.Chance(1, 3);
    while (!IsCore(dead)) dead[random_.Below(dead.size())] = false;
    for (std::size_t i = 0; i < dead.size(); ++i) {
      if (members_[i]->up() == dead[i]) CrashOrRestart(static_cast<int>(i));
    }
  }

  bool IsCore(const std::vector<bool>& dead) const {
    std::uint64_t newest = 0;
    for (const auto& m : members_) newest = std::max(newest, Checker::DiskEpoch(m->disk()));
    bool known = false;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const AgreementState& disk = members_[i]->disk();
      if (Checker::DiskEpoch(disk) != newest) continue;
      known = known || !dead[i];
      for (const std::string* bytes : {&disk.layout, &disk.accepted_layout}) {
        if (!bytes->empty() && !HasQuorum(*DecodeLayout(*bytes, nullptr), dead)) return false;
      }
    }
    return known;
  }

  static bool HasQuorum(const Layout& layout, const std::vector<bool>& dead) {
    const auto alive = std::count_if(layout.voters.begin(), layout.voters.end(), [&](MemberIndex v) { return !dead[v]; });
    return static_cast<std::size_t>(alive) >= layout.Quorum();
  }

  bool AllHave(std::uint64_t epoch) const {
    return std::all_of(members_.begin(), members_.end(),
                       [&](const auto& m) { return !m->up() || Checker::DiskEpoch(m->disk()) == epoch; });
  }

  Random random_;
  Layout first_;
  Checker checker_;
  Weather weather_{};
  bool storming_ = true;
  Instant now_{};
  std::vector<std::unique_ptr<TestMember>> members_;
  std::vector<int> side_;  // of a network split in two; equal: connected
  std::vector<Packet> network_;
  std::uint64_t mark_ = 0;
};

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("A1 to A18: at most one layout per epoch, promises never fall, and a healed quorum goes on") {
  const std::uint64_t first = FromEnvironment("COFFER_SEED", 1);
  const std::uint64_t count = FromEnvironment("COFFER_SEEDS", Rounds(4000));
  std::uint64_t epochs = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    INFO("repeat with COFFER_SEED=" << seed << " COFFER_SEEDS=1");
    try {
      Walk walk(seed);
      walk.Storm(2500);
      epochs += walk.epochs() - 1;
      walk.HealAndDemandProgress();
    } catch (const Violation& violation) {
      FAIL(violation.what());
    }
  }
  // The storms must not be so bad that nothing is ever decided in them: then nothing would be tested.
  INFO(epochs << " epochs in " << count << " storms");
  CHECK((count < 100 || epochs >= 2 * count));
}

}  // namespace coffer::cluster
