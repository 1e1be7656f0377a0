#include "cluster/layout_delta.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "cluster/layout_bytes.h"
#include "cluster/sha256.h"

namespace coffer::cluster {

std::vector<PartitionId> ChangedPartitions(const Layout& before, const Layout& after) {
  std::vector<PartitionId> changed;
  for (PartitionId p = 0; p < std::min(before.partition_count(), after.partition_count()); ++p) {
    if (before.group(p) != after.group(p)) changed.push_back(p);
  }
  return changed;
}

std::optional<wire::LayoutDelta> MakeLayoutDelta(Epoch base_epoch, const std::vector<PartitionId>& changed, const Layout& next,
                                                 std::string_view bytes) {
  wire::LayoutDelta delta;
  delta.set_base_epoch(base_epoch.value);
  for (const PartitionId p : changed) {
    if (p >= next.partition_count()) return std::nullopt;
    delta.add_numbers(p);
    FillPartition(next.group(p), delta.add_partitions());
  }
  wire::Layout rest;
  FillRest(next, &rest);
  delta.set_rest(LayoutBytes(rest));
  delta.set_sha256(Sha256({bytes}).str());
  if (delta.ByteSizeLong() >= bytes.size()) return std::nullopt;
  return delta;
}

std::optional<EncodedLayout> ApplyLayoutDelta(const Layout& base, const wire::LayoutDelta& delta) {
  wire::Layout rest;
  if (delta.rest().size() > kMaxLayoutBytes || !rest.ParseFromString(delta.rest())) return std::nullopt;
  if (!HasKnownFormat(rest) || rest.partitions_size() != 0 || delta.numbers_size() != delta.partitions_size()) return std::nullopt;
  EncodedLayout next{ReadRest(rest), {}};
  next.layout.partitions = base.partitions;
  for (int i = 0; i < delta.numbers_size(); ++i) {
    const PartitionId number = delta.numbers(i);
    if (number >= next.layout.partition_count()) return std::nullopt;
    next.layout.partitions[number] = ReadPartition(delta.partitions(i));
  }
  if (WhyMalformed(next.layout)) return std::nullopt;
  // What this version does not know is not among the bytes, and so the digest is another.
  next.bytes = Encode(next.layout);
  if (next.bytes.size() > kMaxLayoutBytes) return std::nullopt;
  if (Sha256({next.bytes}).str() != delta.sha256()) return std::nullopt;
  return next;
}

void LayoutHistory::Superseded(const Layout& before, const Layout& after) {
  deltas_.clear();
  const std::vector<PartitionId> changed = ChangedPartitions(before, after);
  for (Earlier& earlier : earlier_) {
    std::vector<PartitionId> both;
    std::set_union(earlier.changed.begin(), earlier.changed.end(), changed.begin(), changed.end(), std::back_inserter(both));
    earlier.changed = std::move(both);
  }
  earlier_.push_back({before.epoch, changed});
  if (earlier_.size() > kKept) earlier_.pop_front();
}

const wire::LayoutDelta* LayoutHistory::From(Epoch epoch, const Layout& present, std::string_view bytes) {
  const auto base = std::find_if(earlier_.begin(), earlier_.end(), [epoch](const Earlier& e) { return e.epoch == epoch; });
  if (base == earlier_.end()) return nullptr;
  auto [delta, made] = deltas_.try_emplace(epoch);
  if (made) delta->second = MakeLayoutDelta(epoch, base->changed, present, bytes);
  return delta->second ? &*delta->second : nullptr;
}

}  // namespace coffer::cluster
