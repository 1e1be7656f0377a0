#include "sim/run.h"

#include <algorithm>

#include "cluster/placement.h"
#include "coffer/v1/zones.pb.h"
#include "sim/check_acks.h"
#include "sim/check_bounds.h"
#include "sim/check_copies.h"
#include "sim/check_identities.h"
#include "sim/check_layouts.h"
#include "sim/check_resync.h"
#include "sim/fault_injector.h"
#include "sim/load_client.h"
#include "sim/token_client.h"
#include "sim/zone_client.h"

namespace coffer::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Runner {
 public:
  Runner(const Scenario& scenario, Detail detail)
      : scenario_(scenario),
        cluster_(static_cast<std::uint64_t>(scenario.knob("seed")), static_cast<std::uint32_t>(scenario.knob("partitions"))),
        injector_(cluster_, layouts_, scenario),
        copies_(cluster_, Zone(), load_.chunks, load_.chains_seen, injector_.damaged()) {
    cluster_.timeline = detail != Detail::kResult;
    cluster_.messages = detail == Detail::kMessages;
    cluster_.voters_wanted = static_cast<std::uint32_t>(scenario.knob("voters"));
    cluster_.resync_delay = milliseconds(scenario.knob("resync_delay_ms"));
    cluster_.log_keep = static_cast<std::uint64_t>(scenario.knob("log_keep"));
    cluster_.max_waiting = static_cast<std::size_t>(scenario.knob("waiting"));
    cluster_.router_patience = milliseconds(scenario.knob("router_patience_ms"));
    load_.zone = Zone();
    load_.zone_name = "load";
    load_.layouts = &layouts_;
    load_.think = milliseconds(scenario.knob("think_ms"));
    load_.patience = milliseconds(scenario.knob("patience_ms"));
    load_.deletes_per_mille = static_cast<std::uint64_t>(scenario.knob("deletes"));
    for (int i = 0; i < scenario.knob("ids"); ++i) load_.ids.push_back(load_.NewId());
    for (int i = 0; i < scenario.knob("chains"); ++i) load_.chains.push_back(load_.NewId());
    load_.saw_chunk = [this](const std::string& id, const NodeId&) {
      if (layouts_.newest()) Report(copies_.Chunk(*layouts_.newest(), id, copies_due_ && !injector_.lost_disk() ? copies_due_ : 0));
    };
    load_.saw_chain = [this](const std::string& chain) {
      if (layouts_.newest()) Report(copies_.Chain(*layouts_.newest(), chain));
    };
    cluster_.on_durable = [this](std::size_t node, const node::NodeDurable& before) {
      const auto newest = layouts_.newest();
      Report(layouts_.Changed(cluster_, node, before));
      Report(identities_.Look(cluster_, node));
      if (layouts_.newest() != newest) OnLayout(newest);
    };
    cluster_.on_start = [this](std::size_t node) { Report(identities_.Look(cluster_, node)); };
    cluster_.on_id_over = [this](const NodeId& id) {
      identities_.Over(id);
      acks_.DiskLost();
    };
    cluster_.on_folder_put = [this] { acks_.DiskLost(); };
    cluster_.on_message = [this](const NodeId& from, const NodeId& to, const PeerMessage& message) { Report(acks_.Sent(from, to, message)); };
    for (int i = 0; i < scenario.knob("clients"); ++i) {
      clients_.push_back(std::make_unique<LoadClient>(cluster_, load_, static_cast<std::uint8_t>(200 + i), LoadClient::Kind::kDirect));
    }
    for (int i = 0; i < scenario.knob("readers"); ++i) {
      clients_.push_back(std::make_unique<LoadClient>(cluster_, load_, static_cast<std::uint8_t>(220 + i), LoadClient::Kind::kOnlyReads));
    }
    if (scenario.knob("routers") > 0) MakeRouters();
    if (scenario.knob("token_clients") > 0) tokens_ = std::make_unique<TokenClient>(cluster_, layouts_, scenario.knob("token_clients"));
  }

  RunResult Run() {
    Form();
    if (!Failed()) Safety();
    if (!Failed()) Liveness();
    if (!Failed() && !too_much_lost_) Rest();
    RunResult result;
    result.failure = cluster_.violation();
    result.hash = cluster_.hash();
    result.steps = cluster_.steps();
    result.simulated = cluster_.now().time_since_epoch();
    result.recovery = recovery_;
    result.faults = injector_.counts();
    if (forced_ > 0) result.faults["forced layouts"] = forced_;
    if (too_much_lost_) ++result.faults["runs that lost more disks than can be survived"];
    result.faults["lost messages"] += cluster_.lost();
    result.faults["repeated messages"] += cluster_.repeated();
    result.faults["late messages"] += cluster_.delayed();
    if (tokens_) result.faults["join tokens used"] = tokens_->used();
    if (zones_.zones.lives() > 0) result.faults["zones made"] = zones_.created;
    if (zones_.zones.lives() > 0) result.faults["zones deleted"] = zones_.deleted;
    result.succeeded = load_.succeeded + zones_.succeeded;
    result.refused = load_.refused + zones_.refused;
    result.unknown = load_.unknown + zones_.unknown;
    result.epochs = layouts_.epochs();
    result.timeline = std::move(cluster_.log);
    if (result.failure && cluster_.timeline) {
      result.timeline.push_back("BROKEN: " + *result.failure);
      result.timeline.push_back(cluster_.Describe());
    }
    return result;
  }

 private:
  // Routers, and the clients that go through them.
  void MakeRouters() {
    for (int i = 0; i < scenario_.knob("routers"); ++i) cluster_.AddRouter();
    for (int i = 0; i < scenario_.knob("routed"); ++i) {
      clients_.push_back(std::make_unique<LoadClient>(cluster_, load_, static_cast<std::uint8_t>(160 + i), LoadClient::Kind::kRouted));
    }
    for (int i = 0; i < scenario_.knob("zones"); ++i) zones_.names.push_back("zone-" + std::to_string(i));
    for (int i = 0; i < std::min<std::int64_t>(scenario_.knob("ids"), 8); ++i) zones_.ids.push_back(load_.NewId());
    zones_.think = load_.think;
    const auto owners = static_cast<std::size_t>(scenario_.knob("zone_clients"));
    for (std::size_t i = 0; i < owners; ++i) {
      zone_clients_.push_back(std::make_unique<ZoneClient>(cluster_, zones_, static_cast<std::uint8_t>(180 + i), i, owners));
    }
  }

  static ZoneId Zone() {
    ZoneId zone;
    zone.bytes.fill(3);
    return zone;
  }
  bool Failed() const { return cluster_.violation().has_value(); }
  void Report(const std::optional<std::string>& complaint) {
    if (complaint) cluster_.Violate(*complaint);
  }

  void OnLayout(const std::shared_ptr<const cluster::Layout>& before) {
    injector_.LayoutDecided();
    const auto& newest = *layouts_.newest();
    std::set<PartitionId> changed;
    for (PartitionId p = 0; p < newest.partition_count(); ++p) {
      if (!before || before->group(p).term != newest.group(p).term) changed.insert(p);
    }
    if (newest.forced_epoch == newest.epoch) Forgive(before, newest);
    Report(copies_.All(newest, &changed));
    if (!cluster_.timeline) return;
    std::string text = "epoch " + std::to_string(newest.epoch.value) + " is adopted:";
    for (const PartitionId p : changed) {
      const auto& group = newest.group(p);
      text += " p" + std::to_string(p) + "=" + newest.members[group.primary].name + "{";
      for (const auto m : group.in_sync) text += " " + newest.members[m].name;
      text += " }";
    }
    cluster_.Note(text);
  }

  // What `layout force` gives up is what no survivor holds, and no more.
  void Forgive(const std::shared_ptr<const cluster::Layout>& before, const cluster::Layout& forced) {
    const std::uint64_t step = forced.epoch.value - (before ? before->epoch.value : 0);
    const bool stale = step != 1 && step != 1 + cluster::kForcedEpochs;
    const auto chunks = copies_.LostChunks(forced, stale);
    const auto chains = copies_.LostChains(forced, stale);
    for (const auto& id : chunks) load_.chunks.Forgive(id);
    for (const auto& lost : chains) load_.chains_seen.Forgive(lost.chain, lost.length, lost.delete_lost);
    ++forced_;
    cluster_.Note("the layout is forced: " + std::to_string(chunks.size()) + " chunks and " + std::to_string(chains.size()) + " chains may have lost something");
  }

  // Looks at everything now and then, for as long as the run lasts.
  void Look() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      Report(layouts_.Effective(cluster_, i));
      Report(identities_.Look(cluster_, i));
      Report(resync_.Look(cluster_, i));
    }
    Report(WhyTooFull(cluster_));
    if (layouts_.newest()) {
      Report(copies_.All(*layouts_.newest(), nullptr, forced_ == 0 && !injector_.lost_disk() ? copies_due_ : 0));
      Report(copies_.Prefixes(*layouts_.newest()));
    }
    injector_.GiveBack();
    cluster_.At(milliseconds(scenario_.knob("look_ms")), [this] { Look(); });
  }

  // Looks every 50 ms; true if it came to hold.
  bool Wait(const std::function<bool()>& until, Duration at_most) {
    const Instant end = cluster_.now() + at_most;
    while (!Failed() && cluster_.now() < end) {
      if (until()) return true;
      cluster_.RunFor(milliseconds(50));
    }
    return !Failed() && until();
  }

  void Form() {
    const auto nodes = static_cast<std::size_t>(scenario_.knob("nodes"));
    for (std::size_t i = 0; i < nodes; ++i) cluster_.AddNode();
    if (scenario_.knob("witness") != 0) cluster_.AddNode(2);
    cluster_.Start(0);
    cluster_.Form(0);
    for (std::size_t i = 1; i < cluster_.size(); ++i) cluster_.Start(i);
    const std::uint32_t copies = nodes >= 2 ? 2 : 1;
    if (!Wait([&] { return cluster_.Settled() && cluster_.Newest()->settings.min_copies == copies; }, seconds(120)) && !Failed()) {
      cluster_.Violate("the cluster did not form");
    }
    if (!Failed() && cluster_.routers() > 0) FormRouters();
    copies_due_ = copies;
    for (const Fault& fault : scenario_.faults) {
      if (fault.what == "mincopies") copies_due_ = 0;
    }
  }

  // Started, and the zone of the load made through one of them.
  void FormRouters() {
    for (std::size_t r = 0; r < cluster_.routers(); ++r) cluster_.StartRouter(kFirstRouter + r);
    NodeId self;
    self.bytes.fill(198);
    maker_ = std::make_unique<PublicCaller>(cluster_, self, cluster_.random().Next());
    v1::ZonesCreateRequest request;
    request.set_name(load_.zone_name);
    request.set_id(load_.zone.str());
    bool made = false;
    maker_->Ask({"coffer.v1.Zones/Create", request.SerializeAsString(), client::Effect::kRepeatSafe, {}}, seconds(30),
              [&](const PublicAnswer& answer) { made = answer.retry_class == client::RetryClass::kOk; });
    if (!(Wait([&] { return maker_->Idle(); }, seconds(31)) && made) && !Failed()) cluster_.Violate("the zone of the load could not be made");
  }

  void Safety() {
    cluster_.faults.lose_per_mille = static_cast<int>(scenario_.knob("lose"));
    cluster_.faults.repeat_per_mille = static_cast<int>(scenario_.knob("repeat"));
    cluster_.faults.delay_long_per_mille = static_cast<int>(scenario_.knob("late"));
    cluster_.faults.outlive_per_mille = static_cast<int>(scenario_.knob("outlive"));
    cluster_.faults.calls_late_per_mille = static_cast<int>(scenario_.knob("calls_late"));
    cluster_.faults.long_delay = milliseconds(scenario_.knob("late_ms"));
    cluster_.faults.min_delay = microseconds(scenario_.knob("min_delay_us"));
    cluster_.faults.max_delay = microseconds(scenario_.knob("max_delay_us"));
    Look();
    injector_.Begin();
    for (auto& client : clients_) client->Go();
    for (auto& client : zone_clients_) client->Go();
    if (tokens_) tokens_->Go();
    cluster_.RunFor(seconds(scenario_.knob("safety_s")));
  }

  void Liveness() {
    cluster_.Note("the faults end");
    injector_.Heal();
    const Instant healed = cluster_.now();
    WellAgain("the heal");
    if (!Failed() && injector_.HealRest()) WellAgain("the rest came back");
    recovery_ = cluster_.now() - healed;
    if (too_much_lost_) return;  // judged up to here
    for (auto& client : clients_) client->Stop();
    for (auto& client : zone_clients_) client->Stop();
    if (tokens_) tokens_->Stop();
    for (auto& client : clients_) EndOf(*client);
    for (auto& client : zone_clients_) EndOf(*client);
  }

  void WellAgain(const std::string& after) {
    const auto well = [&] {
      if (injector_.NeedsRest()) injector_.HealRest();
      return cluster_.Settled() && cluster_.AllWritable() && cluster_.AllKnownAlive() && injector_.AllReturned();
    };
    const bool within = Wait(well, seconds(scenario_.knob("liveness_s")));
    too_much_lost_ = injector_.TooMuchLost();
    if (!within && !Failed() && !too_much_lost_) cluster_.Violate("not well again within the bound after " + after + " (I20)\n" + cluster_.Describe());
  }

  template <class Client>
  void EndOf(const Client& client) {
    if (!Wait([&] { return client.Idle(); }, seconds(20)) && !Failed()) cluster_.Violate("an operation never ended: " + client.Describe());
  }

  // Everybody is there and nobody writes: copies are equal, and what was promised is read once more.
  void Rest() {
    Report(copies_.All(*layouts_.newest(), nullptr));
    std::optional<std::string> unequal;
    if (!Wait([&] { return !(unequal = copies_.AtRest(*layouts_.newest())); }, seconds(30))) Report(unequal);
    std::optional<std::string> left;
    if (!Wait([&] { return !(left = copies_.Dropped(*layouts_.newest(), zones_.zones.Gone())); }, seconds(30))) Report(left);
    if (Failed()) return;
    std::vector<std::string> ids, chains;
    for (const auto& [id, chunk] : load_.chunks.all()) ids.push_back(id);
    for (const auto& [chain, known] : load_.chains_seen.Facts()) chains.push_back(chain);
    LoadClient& reader = *clients_.front();
    reader.ReadBack(std::move(ids), std::move(chains));
    if (!Wait([&] { return reader.left() == 0; }, seconds(120)) && !Failed()) cluster_.Violate("reading back never ended: " + reader.Describe());
    if (zone_clients_.empty()) return;
    ZoneClient& zones = *zone_clients_.front();
    zones.ReadBack();
    if (!Wait([&] { return zones.left() == 0; }, seconds(120)) && !Failed()) cluster_.Violate("reading zones back never ended: " + zones.Describe());
  }

  const Scenario& scenario_;
  SimCluster cluster_;
  LayoutChecker layouts_;
  IdentityChecker identities_;
  AckChecker acks_{cluster_, layouts_};
  ResyncChecker resync_;
  FaultInjector injector_;
  Load load_;
  CopyChecker copies_;
  std::vector<std::unique_ptr<LoadClient>> clients_;
  std::unique_ptr<PublicCaller> maker_;  // of the zone of the load
  ZoneLoad zones_;
  std::vector<std::unique_ptr<ZoneClient>> zone_clients_;
  std::unique_ptr<TokenClient> tokens_;
  std::uint32_t copies_due_ = 0;
  Duration recovery_{};
  std::uint64_t forced_ = 0;
  bool too_much_lost_ = false;
};

}  // namespace

RunResult Run(const Scenario& scenario, Detail detail) { return Runner(scenario, detail).Run(); }

}  // namespace coffer::sim
