#include "cluster/layout_delta.h"

#include <algorithm>
#include <utility>

#include "cluster/layout.h"
#include "cluster/layout_bytes.h"
#include "cluster/sha256.h"

namespace coffer::cluster {
namespace {

bool Parse(std::string_view bytes, wire::Layout* layout) {
  return bytes.size() <= kMaxLayoutBytes && layout->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

bool Same(const wire::LayoutPartition& a, const wire::LayoutPartition& b) {
  const auto equal = [](const auto& x, const auto& y) { return std::equal(x.begin(), x.end(), y.begin(), y.end()); };
  return a.primary() == b.primary() && a.term() == b.term() && equal(a.in_sync(), b.in_sync()) && equal(a.goal(), b.goal());
}

}  // namespace

std::optional<wire::LayoutDelta> MakeLayoutDelta(Epoch base_epoch, std::string_view base, std::string_view next) {
  wire::Layout from, to;
  if (!Parse(base, &from) || !Parse(next, &to) || from.partitions_size() != to.partitions_size()) return std::nullopt;
  wire::LayoutDelta delta;
  delta.set_base_epoch(base_epoch.value);
  for (int p = 0; p < to.partitions_size(); ++p) {
    if (Same(from.partitions(p), to.partitions(p))) continue;
    delta.add_numbers(static_cast<std::uint32_t>(p));
    *delta.add_partitions() = to.partitions(p);
  }
  to.clear_partitions();
  delta.set_rest(LayoutBytes(to));
  delta.set_sha256(Sha256({next}).str());
  if (delta.ByteSizeLong() >= next.size()) return std::nullopt;
  // A layout with something in it that was not compared here still travels, whole.
  if (ApplyLayoutDelta(base, delta) != next) return std::nullopt;
  return delta;
}

std::optional<std::string> ApplyLayoutDelta(std::string_view base, const wire::LayoutDelta& delta) {
  wire::Layout from, to;
  if (!Parse(base, &from) || !Parse(delta.rest(), &to) || to.partitions_size() != 0) return std::nullopt;
  if (delta.numbers_size() != delta.partitions_size()) return std::nullopt;
  to.mutable_partitions()->Swap(from.mutable_partitions());
  for (int i = 0; i < delta.numbers_size(); ++i) {
    const std::uint32_t number = delta.numbers(i);
    if (number >= static_cast<std::uint32_t>(to.partitions_size())) return std::nullopt;
    *to.mutable_partitions(static_cast<int>(number)) = delta.partitions(i);
  }
  std::string bytes = LayoutBytes(to);
  if (Sha256({bytes}).str() != delta.sha256()) return std::nullopt;
  return bytes;
}

void LayoutHistory::Superseded(Epoch epoch, std::string bytes) {
  deltas_.clear();
  earlier_.push_back({epoch, std::move(bytes)});
  if (earlier_.size() > kKept) earlier_.pop_front();
}

const wire::LayoutDelta* LayoutHistory::From(Epoch epoch, std::string_view present) {
  const auto base = std::find_if(earlier_.begin(), earlier_.end(), [epoch](const Earlier& e) { return e.epoch == epoch; });
  if (base == earlier_.end()) return nullptr;
  auto [delta, made] = deltas_.try_emplace(epoch);
  if (made) delta->second = MakeLayoutDelta(epoch, base->bytes, present);
  return delta->second ? &*delta->second : nullptr;
}

}  // namespace coffer::cluster
