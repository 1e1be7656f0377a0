// Layouts and members for the tests of layout, placement and planner.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/layout.h"
#include "cluster/planner.h"

namespace coffer::cluster {

// The id of the n-th test member.
inline NodeId TestId(std::uint32_t n) {
  NodeId id;
  for (int i = 0; i < 4; ++i) id.bytes[i] = static_cast<std::uint8_t>((n + 1) >> (8 * (3 - i)));
  id.bytes[15] = 0x5a;
  return id;
}

inline Member TestMember(std::uint32_t n) {
  Member member;
  member.id = TestId(n);
  member.name = "node-" + std::to_string(n + 1);
  member.address = member.name + ":7701";
  return member;
}

inline std::vector<Member> TestMembers(std::uint32_t count) {
  std::vector<Member> members;
  for (std::uint32_t n = 0; n < count; ++n) members.push_back(TestMember(n));
  return members;
}

// `groups` in a layout of `members` members at epoch 10, decided at epoch 1 to 10, voters 0 to 2.
inline Layout TestLayout(std::uint32_t members, std::vector<Group> groups) {
  Layout layout;
  layout.cluster.bytes[0] = 7;
  layout.cluster_name = "test";
  layout.epoch = Epoch(10);
  for (MemberIndex m = 0; m < std::min(members, 3u); ++m) layout.voters.push_back(m);
  layout.members = TestMembers(members);
  layout.settings.partitions = static_cast<std::uint32_t>(groups.size());
  layout.partitions = std::move(groups);
  return layout;
}

inline PlannerMember TestFacts(std::uint32_t n, bool alive = true) {
  const Member member = TestMember(n);
  PlannerMember facts;
  facts.id = member.id;
  facts.name = member.name;
  facts.address = member.address;
  facts.alive = alive;
  facts.blocks = 1;
  return facts;
}

}  // namespace coffer::cluster
