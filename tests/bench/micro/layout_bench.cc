// What a change of the layout costs the members, step by step: it is planned, written as bytes, read, judged, and carried to who has
// the one before. 5040 partitions on four members; of 800 a copy is complete in the next.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>

#include "cluster/layout.h"
#include "cluster/layout_changes.h"
#include "cluster/layout_delta.h"
#include "cluster/planner.h"

namespace coffer::cluster {
namespace {

constexpr std::uint32_t kPartitions = 5040;
constexpr std::uint32_t kChanged = 800;

NodeId Node(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}

Layout Present() {
  Layout layout;
  layout.cluster.bytes[0] = 0xc1;
  layout.cluster_name = "bench";
  layout.epoch = Epoch(7);
  layout.voters = {0, 1, 2};
  for (int i = 0; i < 4; ++i) {
    const std::string name = "node-" + std::to_string(i);
    layout.members.push_back({.id = Node(i), .name = name, .address = name + ":7701"});
  }
  layout.settings.partitions = kPartitions;
  layout.settings.min_copies = 2;
  for (std::uint32_t p = 0; p < kPartitions; ++p) {
    const auto first = static_cast<MemberIndex>(p % 4);
    const auto second = static_cast<MemberIndex>((p + 1) % 4);
    Group group{.primary = first, .in_sync = {first, second}, .term = Term(1 + p % 7), .goal = {first, second}};
    if (p < kChanged) group.in_sync = {first};
    std::sort(group.in_sync.begin(), group.in_sync.end());
    layout.partitions.push_back(group);
  }
  return layout;
}

std::map<NodeId, PlannerMember> AllAlive(const Layout& layout) {
  std::map<NodeId, PlannerMember> members;
  for (const Member& m : layout.members) {
    members[m.id] = {.id = m.id, .name = m.name, .address = m.address, .alive = true, .blocks = 1000};
  }
  return members;
}

PlannerRequests Adds(const Layout& layout) {
  PlannerRequests requests;
  for (PartitionId p = 0; p < kChanged; ++p) {
    requests.adds[p] = {p, layout.group(p).term, layout.members[layout.group(p).goal[1]].id};
  }
  return requests;
}

Layout Planned(const Layout& layout) { return *PlanNext(layout, AllAlive(layout), Adds(layout), {}, {}); }

void BM_PlanLayout(benchmark::State& state) {
  const Layout layout = Present();
  const auto members = AllAlive(layout);
  const auto requests = Adds(layout);
  for (auto _ : state) benchmark::DoNotOptimize(PlanNext(layout, members, requests, {}, {}));
}
BENCHMARK(BM_PlanLayout);

void BM_EncodeLayout(benchmark::State& state) {
  const Layout layout = Present();
  for (auto _ : state) benchmark::DoNotOptimize(Encode(layout));
}
BENCHMARK(BM_EncodeLayout);

void BM_DecodeLayout(benchmark::State& state) {
  const std::string bytes = Encode(Present());
  for (auto _ : state) benchmark::DoNotOptimize(DecodeLayout(bytes, nullptr));
}
BENCHMARK(BM_DecodeLayout);

void BM_CopyLayout(benchmark::State& state) {
  const Layout layout = Present();
  for (auto _ : state) {
    Layout copy = layout;
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(BM_CopyLayout);

void BM_JudgeLayout(benchmark::State& state) {
  const Layout layout = Present();
  const Layout next = Planned(layout);
  for (auto _ : state) benchmark::DoNotOptimize(WhyIllegal(layout, next));
}
BENCHMARK(BM_JudgeLayout);

void BM_NameLayoutChanges(benchmark::State& state) {
  const Layout layout = Present();
  const Layout next = Planned(layout);
  for (auto _ : state) benchmark::DoNotOptimize(WhatChanged(layout, next));
}
BENCHMARK(BM_NameLayoutChanges);

void BM_MakeLayoutDelta(benchmark::State& state) {
  const Layout layout = Present();
  const Layout next = Planned(layout);
  const std::string bytes = Encode(next);
  for (auto _ : state) benchmark::DoNotOptimize(MakeLayoutDelta(layout.epoch, ChangedPartitions(layout, next), next, bytes));
}
BENCHMARK(BM_MakeLayoutDelta);

void BM_ApplyLayoutDelta(benchmark::State& state) {
  const Layout layout = Present();
  const Layout next = Planned(layout);
  const auto delta = MakeLayoutDelta(layout.epoch, ChangedPartitions(layout, next), next, Encode(next));
  for (auto _ : state) benchmark::DoNotOptimize(ApplyLayoutDelta(layout, *delta));
}
BENCHMARK(BM_ApplyLayoutDelta);

}  // namespace
}  // namespace coffer::cluster
