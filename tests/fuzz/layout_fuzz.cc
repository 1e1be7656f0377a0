// Layouts from peers and from disk: what decodes is within its bounds and has one encoding. The same input as a delta leads nowhere,
// or to the layout whose digest it names.
#include "cluster/layout.h"
#include "cluster/layout_delta.h"
#include "cluster/sha256.h"
#include "fuzz_target.h"

using namespace coffer;

namespace {

// Two members, eight partitions.
cluster::Layout Base() {
  cluster::Layout layout;
  layout.cluster.bytes[0] = 1;
  layout.cluster_name = "fuzz";
  layout.epoch = Epoch(1);
  layout.voters = {0};
  for (std::uint8_t i = 0; i < 2; ++i) {
    cluster::Member member{.name = i == 0 ? "a" : "b", .address = "h:1"};
    member.id.bytes[0] = i + 1;
    layout.members.push_back(member);
  }
  layout.settings.partitions = 8;
  layout.partitions.resize(8, {.primary = 0, .in_sync = {0, 1}, .term = Term(1), .goal = {0, 1}});
  return layout;
}

void ApplyAsDelta(const std::uint8_t* data, std::size_t size) {
  static const cluster::Layout base = Base();
  wire::LayoutDelta delta;
  if (!delta.ParseFromArray(data, static_cast<int>(size))) return;
  if (const auto next = cluster::ApplyLayoutDelta(base, delta)) {
    fuzz::Require(Sha256({next->bytes}).str() == delta.sha256(), "a delta leads to the layout it names");
    fuzz::Require(cluster::DecodeLayout(next->bytes, nullptr) == next->layout, "which is what its bytes mean");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ApplyAsDelta(data, size);
  std::string error;
  const auto layout = cluster::DecodeLayout(fuzz::Text(data, size), &error);
  if (!layout) {
    fuzz::Require(!error.empty(), "a refusal says why");
    return 0;
  }
  fuzz::Require(layout->members.size() <= cluster::kMaxMembers, "members within the bound");
  fuzz::Require(layout->partitions.size() <= cluster::kMaxPartitions, "partitions within the bound");
  fuzz::Require(!layout->voters.empty() && layout->voters.size() <= cluster::kMaxVoters, "voters within the bound");
  for (const cluster::Group& group : layout->partitions) {
    fuzz::Require(group.InSync(group.primary), "a primary is in sync");
    for (const auto member : group.in_sync) fuzz::Require(member < layout->members.size(), "groups name members");
    for (const auto member : group.goal) fuzz::Require(member < layout->members.size(), "goals name members");
  }
  const std::string again = cluster::Encode(*layout);
  const auto copy = cluster::DecodeLayout(again, &error);
  fuzz::Require(copy && *copy == *layout, "what was decoded survives the way back");
  fuzz::Require(cluster::Encode(*copy) == again, "one encoding");
  return 0;
}
