#include "node/core/default_zone.h"

#include "cluster/placement.h"
#include "cluster/sha256.h"

namespace coffer::node {
namespace {

constexpr char kName[] = "default";
constexpr Duration kLookAgain = std::chrono::seconds(1);

}  // namespace

ZoneId DefaultZone::IdIn(const ClusterId& cluster) {
  return ZoneId::Must(Sha256({"coffer.zone.default", cluster.view()}).view().substr(0, ZoneId::kSize));
}

void DefaultZone::Tick() {
  if (ctx_.now < look_at_) return;
  look_at_ = ctx_.now + kLookAgain;
  const PartitionId registry = cluster::RegistryPartition(ctx_.layout->partition_count());
  const PartitionReplica& replica = ctx_.Replica(registry);
  const ZoneId id = IdIn(ctx_.layout->cluster);
  RecordHeader header;
  bool dropped = false;
  const auto named = replica.Find({ZoneId{}, RecordKind::kZone, BlockId::Must(Sha256({kName}).view()), 0}, &header);
  const auto gone = replica.ZoneDropped(id, &dropped);
  if (named == ReadOutcome::kFound || dropped) {
    // What is only on its way to the disk may be cut off yet.
    if (replica.AllDurable() && replica.committed() == replica.last()) look_at_ = kNever;
    return;
  }
  if (named != ReadOutcome::kAbsent || gone != ReadOutcome::kAbsent) return;
  wire::DataRequest request;
  request.set_partition(registry);
  request.set_term(ctx_.group(registry).term.value);
  request.set_zone(ZoneId().str());
  request.set_deadline_ms(static_cast<std::uint32_t>(kLookAgain / std::chrono::milliseconds(1)));
  auto* zone = request.mutable_create_zone()->mutable_zone();
  zone->set_name(kName);
  zone->set_id(id.str());
  to_self_(std::move(request));
}

}  // namespace coffer::node
