// What of a layout travels to one who has an earlier one (docs/protocol.md, A21).
#include "cluster/layout_delta.h"

#include "cluster/layout.h"
#include "cluster/random.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

NodeId Node(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}

// Four members, this many partitions on pairs of them.
Layout Start(std::uint32_t partitions) {
  Layout layout;
  layout.cluster.bytes[0] = 0xc1;
  layout.cluster_name = "test";
  layout.epoch = Epoch(1);
  layout.voters = {0, 1, 2};
  for (int i = 0; i < 4; ++i) {
    const std::string name = "node-" + std::to_string(i);
    layout.members.push_back({.id = Node(i), .name = name, .address = name + ":7701"});
  }
  layout.settings.partitions = partitions;
  for (std::uint32_t p = 0; p < partitions; ++p) {
    const auto first = static_cast<MemberIndex>(p % 4);
    const auto second = static_cast<MemberIndex>((p + 1) % 4);
    Group group{.primary = first, .in_sync = {first, second}, .term = Term(1), .goal = {first, second}};
    std::sort(group.in_sync.begin(), group.in_sync.end());
    layout.partitions.push_back(group);
  }
  return layout;
}

// A layout some changes later: settings, terms, groups, the plan, a member.
Layout Changed(Layout layout, Random* random) {
  layout.epoch = layout.epoch.Next();
  layout.settings.resync_limit_bytes_per_second = random->Below(1000);
  if (random->Below(3) == 0) layout.plan = MovePlan{layout.epoch, "node-3 down", static_cast<std::uint32_t>(random->Below(100))};
  if (random->Below(3) == 0) layout.members[random->Below(4)].weight = 1 + static_cast<std::uint32_t>(random->Below(500));
  for (std::uint64_t i = random->Below(40); i > 0; --i) {
    Group& group = layout.partitions[random->Below(layout.partitions.size())];
    group.primary = group.in_sync[random->Below(group.in_sync.size())];
    if (random->Below(2) == 0) group.in_sync = {group.primary};
    group.term = Term(layout.epoch.value);
  }
  return layout;
}

std::optional<wire::LayoutDelta> Delta(const Layout& base, const Layout& next) {
  return MakeLayoutDelta(base.epoch, ChangedPartitions(base, next), next, Encode(next));
}

}  // namespace

TEST_CASE("A21: from any layout to a later one, byte for byte, in fewer bytes") {
  Random random(7);
  for (int round = 0; round < 50; ++round) {
    const Layout base = Start(300);
    Layout next = base;
    for (std::uint64_t steps = 1 + random.Below(3); steps > 0; --steps) next = Changed(next, &random);
    const auto delta = Delta(base, next);
    REQUIRE(delta);
    CHECK(delta->ByteSizeLong() < Encode(next).size());
    const auto found = ApplyLayoutDelta(base, *delta);
    REQUIRE(found);
    CHECK(found->bytes == Encode(next));
    CHECK(found->layout == next);
  }
}

TEST_CASE("A21: one setting among 5040 partitions travels in less than a hundredth of the layout") {
  const Layout base = Start(5040);
  Layout next = base;
  next.epoch = next.epoch.Next();
  next.settings.resync_paused = true;
  const auto delta = Delta(base, next);
  REQUIRE(delta);
  CHECK(delta->ByteSizeLong() < Encode(next).size() / 100);
}

TEST_CASE("A21: where all partitions change there is no delta") {
  const Layout base = Start(300);
  Layout next = base;
  next.epoch = next.epoch.Next();
  for (Group& group : next.partitions) group.term = Term(2);
  CHECK_FALSE(Delta(base, next));
  CHECK_FALSE(MakeLayoutDelta(base.epoch, {300}, next, Encode(next)));
}

TEST_CASE("A21: survivors of a force and what was lost travel like any change") {
  const Layout base = Start(300);
  Layout next = base;
  next.epoch = next.epoch.Next();
  Group& group = next.partitions[7];
  group = {.primary = 1, .in_sync = {1}, .term = Term(2), .goal = {1, 2}, .survivors = {0, 1}, .loss = Loss{.epoch = Epoch(2), .last = Seq(9)}};
  const auto delta = Delta(base, next);
  REQUIRE(delta);
  CHECK(delta->numbers_size() == 1);
  const auto found = ApplyLayoutDelta(base, *delta);
  REQUIRE(found);
  CHECK(found->layout == next);
}

TEST_CASE("A21: what does not lead to the layout that was meant leads nowhere") {
  Random random(8);
  const Layout base = Start(300);
  const Layout next = Changed(base, &random);
  const wire::LayoutDelta good = *Delta(base, next);
  REQUIRE(good.numbers_size() > 0);
  Layout other = base;
  other.partitions[299].term = Term(5);
  CHECK_FALSE(ApplyLayoutDelta(other, good));
  CHECK_FALSE(ApplyLayoutDelta(Start(299), good));
  wire::LayoutDelta bad = good;
  bad.set_sha256("short");
  CHECK_FALSE(ApplyLayoutDelta(base, bad));
  bad = good;
  bad.set_numbers(0, 300);
  CHECK_FALSE(ApplyLayoutDelta(base, bad));
  bad = good;
  bad.mutable_numbers()->RemoveLast();
  CHECK_FALSE(ApplyLayoutDelta(base, bad));
  bad = good;
  bad.set_rest(Encode(next));
  CHECK_FALSE(ApplyLayoutDelta(base, bad));
  bad = good;
  bad.set_rest("\xff");
  CHECK_FALSE(ApplyLayoutDelta(base, bad));
  wire::Layout rest;
  REQUIRE(rest.ParseFromString(good.rest()));
  rest.set_format(rest.format() + 1);
  bad = good;
  bad.set_rest(rest.SerializeAsString());
  CHECK_FALSE(ApplyLayoutDelta(base, bad));
  // Well written, of a layout that can't be: its digest is right.
  Layout malformed = next;
  malformed.partitions[0].in_sync.clear();
  CHECK_FALSE(ApplyLayoutDelta(base, *Delta(base, malformed)));
}

TEST_CASE("A21: the ways from the last few layouts are known, and no older ones") {
  Random random(9);
  LayoutHistory history;
  std::vector<Layout> layouts = {Start(300)};
  for (std::size_t i = 0; i <= LayoutHistory::kKept; ++i) {
    layouts.push_back(Changed(layouts.back(), &random));
    history.Superseded(layouts[i], layouts[i + 1]);
  }
  const Layout& present = layouts.back();
  const std::string bytes = Encode(present);
  CHECK(history.From(layouts[0].epoch, present, bytes) == nullptr);
  for (std::size_t i = 1; i < layouts.size() - 1; ++i) {
    const wire::LayoutDelta* delta = history.From(layouts[i].epoch, present, bytes);
    REQUIRE(delta != nullptr);
    const auto found = ApplyLayoutDelta(layouts[i], *delta);
    REQUIRE(found);
    CHECK(found->bytes == bytes);
    CHECK(history.From(layouts[i].epoch, present, bytes) == delta);  // made once
  }
  CHECK(history.From(present.epoch, present, bytes) == nullptr);
}

}  // namespace coffer::cluster
