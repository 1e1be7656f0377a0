// Layouts from peers and from disk: what decodes is within its bounds and has one encoding.
#include "cluster/layout.h"
#include "fuzz_target.h"

using namespace coffer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
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
