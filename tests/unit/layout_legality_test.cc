// Which layouts may follow which: one test per sentence of "Legality" in docs/protocol.md.
#include <algorithm>
#include <functional>
#include <string>

#include "cluster/layout.h"
#include "layout_fixtures.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

Layout Current() {
  return TestLayout(5, {{0, {0, 1}, Term(3), {0, 1}}, {1, {1, 2}, Term(4), {1, 2}}, {3, {3}, Term(5), {3, 4}}});
}

// A successor that changes nothing.
Layout Successor() {
  Layout next = Current();
  next.epoch = Epoch(11);
  return next;
}

Group* Change(Layout* next, PartitionId p) {
  next->partitions[p].term = Term(11);
  return &next->partitions[p];
}

struct Case {
  std::string name;
  std::function<void(Layout*)> change;
  std::string complaint;  // empty: legal
};

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.name);
    Layout next = Successor();
    c.change(&next);
    const auto why = WhyIllegal(Current(), next);
    if (c.complaint.empty()) {
      INFO(why.value_or(""));
      CHECK(!why);
    } else {
      REQUIRE(why);
      CHECK_THAT(*why, Catch::Contains(c.complaint));
    }
  }
}

// Removes member `gone` and renumbers, as the planner does for a member that is forgotten.
void Forget(Layout* next, MemberIndex gone) {
  const auto renumber = [gone](MemberList* list) {
    Remove(list, gone);
    for (MemberIndex& m : *list) m = m > gone ? m - 1 : m;
  };
  next->members.erase(next->members.begin() + gone);
  renumber(&next->voters);
  for (Group& group : next->partitions) {
    group.primary = group.primary > gone ? group.primary - 1 : group.primary;
    renumber(&group.in_sync);
    renumber(&group.goal);
  }
}

}  // namespace

TEST_CASE("a successor has the next epoch, the same cluster and the same partitions (L1)") {
  Check({
      {"nothing changes", [](Layout*) {}, ""},
      {"same epoch", [](Layout* l) { l->epoch = Epoch(10); }, "does not follow"},
      {"skips an epoch", [](Layout* l) { l->epoch = Epoch(12); }, "does not follow"},
      {"other cluster", [](Layout* l) { l->cluster.bytes[3] = 1; }, "another cluster"},
      {"fewer partitions", [](Layout* l) { l->partitions.pop_back(), l->settings.partitions = 2; },
       "number of partitions"},
      {"malformed", [](Layout* l) { l->voters.clear(); }, "malformed"},
      {"history of force rewritten", [](Layout* l) { l->forced_epoch = Epoch(9); }, "forced"},
      {"other voters",
       [](Layout* l) {
         l->voters = {2, 3, 4};
       },
       ""},
      {"other settings", [](Layout* l) { l->settings.min_copies = 2; }, ""},
      {"a new member", [](Layout* l) { l->members.push_back(TestMember(7)); }, ""},
  });
}

TEST_CASE("rule (a): the new primary was in_sync (L2)") {
  Check({
      {"hand-over", [](Layout* l) { Change(l, 0)->primary = 1; }, ""},
      {"hand-over and removal",
       [](Layout* l) {
         *Change(l, 0) = {1, {1}, Term(11), {0, 1}};
       },
       ""},
      {"hand-over and add",
       [](Layout* l) {
         *Change(l, 0) = {1, {0, 1, 2}, Term(11), {0, 1}};
       },
       ""},
      {"the one just added",
       [](Layout* l) {
         *Change(l, 2) = {4, {3, 4}, Term(11), {3, 4}};
       },
       "partition 2: rule (a)"},
      {"a stranger",
       [](Layout* l) {
         *Change(l, 0) = {4, {0, 4}, Term(11), {0, 1}};
       },
       "partition 0: rule (a)"},
      {"a new member of the layout",
       [](Layout* l) {
         l->members.push_back(TestMember(7));
         *Change(l, 0) = {5, {0, 5}, Term(11), {0, 1}};
       },
       "partition 0: rule (a): the new primary node-8"},
  });
}

TEST_CASE("rule (b): in_sync stays within in_sync and one add, and keeps an old member (L3)") {
  Check({
      {"one added",
       [](Layout* l) {
         Change(l, 1)->in_sync = {0, 1, 2};
       },
       ""},
      {"one added, one removed",
       [](Layout* l) {
         Change(l, 1)->in_sync = {0, 1};
       },
       ""},
      {"one removed", [](Layout* l) { Change(l, 1)->in_sync = {1}; }, ""},
      {"two added",
       [](Layout* l) {
         Change(l, 2)->in_sync = {0, 3, 4};
       },
       "partition 2: rule (b): 2 members"},
      {"all replaced",
       [](Layout* l) {
         *Change(l, 2) = {4, {4}, Term(11), {3, 4}};
       },
       "partition 2: rule (a)"},
      {"emptied", [](Layout* l) { Change(l, 1)->in_sync = {}; }, "in_sync is empty"},
      {"two new members of the layout",
       [](Layout* l) {
         l->members.push_back(TestMember(7));
         l->members.push_back(TestMember(8));
         Change(l, 2)->in_sync = {3, 5, 6};
       },
       "partition 2: rule (b): 2 members"},
  });
}

TEST_CASE("every change of a group sets its term to the new epoch (L7)") {
  Check({
      {"hand-over without", [](Layout* l) { l->partitions[0].primary = 1; }, "partition 0: the group changed"},
      {"removal without", [](Layout* l) { l->partitions[1].in_sync = {1}; }, "partition 1: the group changed"},
      {"an add under another old term",
       [](Layout* l) {
         l->partitions[2].in_sync = {3, 4}, l->partitions[2].term = Term(10);
       },
       "partition 2: the group changed"},
  });
}

TEST_CASE("rule (e): a term may be renewed alone, and not otherwise change (L6)") {
  Check({
      {"renewed", [](Layout* l) { Change(l, 1); }, ""},
      {"raised, but not to the new epoch", [](Layout* l) { l->partitions[1].term = Term(10); },
       "partition 1: rule (e)"},
      {"lowered", [](Layout* l) { l->partitions[1].term = Term(3); }, "partition 1: rule (e)"},
  });
}

TEST_CASE("goals and plans may change freely") {
  Check({
      {"goal",
       [](Layout* l) {
         l->partitions[0].goal = {4, 3};
       },
       ""},
      {"no goal", [](Layout* l) { l->partitions[0].goal = {}; }, ""},
      {"plan",
       [](Layout* l) {
         l->plan = MovePlan{Epoch(11), "node-1 down", 3};
       },
       ""},
  });
}

TEST_CASE("a member leaves the layout only after it has left every in_sync (L8)") {
  Check({
      {"named nowhere", [](Layout* l) { l->partitions[2].goal = {3}, Forget(l, 4); }, ""},
      {"removed with the hand-over in one step",
       [](Layout* l) {
         *Change(l, 0) = {1, {1}, Term(11), {1}};
         Forget(l, 0);
       },
       "partition 0: member node-1 is removed from the layout while in_sync"},
      {"another takes its place in the list", [](Layout* l) { l->members[3] = TestMember(7); },
       "partition 2: member node-4 is removed"},
  });
}

TEST_CASE("members are compared by id, not by number") {
  Check({
      {"reversed, and every group says the same",
       [](Layout* l) {
         std::reverse(l->members.begin(), l->members.end());
         l->voters = {2, 3, 4};
         l->partitions[0] = {4, {3, 4}, Term(3), {4, 3}};
         l->partitions[1] = {3, {2, 3}, Term(4), {3, 2}};
         l->partitions[2] = {1, {1}, Term(5), {1, 0}};
       },
       ""},
      {"swapped members under unchanged numbers", [](Layout* l) { std::swap(l->members[1], l->members[4]); },
       "partition 0: the group changed"},
  });
}

TEST_CASE("a forced layout is exempt from (a) and (b), not from terms and form (L9)") {
  const auto force = [](Layout* l) { l->forced_epoch = Epoch(11); };
  Check({
      {"all replaced",
       [&](Layout* l) {
         force(l), *Change(l, 2) = {4, {4}, Term(11), {4}};
       },
       ""},
      {"two added",
       [&](Layout* l) {
         force(l), Change(l, 2)->in_sync = {0, 3, 4};
       },
       ""},
      {"a holder dropped from the layout",
       [&](Layout* l) {
         force(l);
         *Change(l, 0) = {1, {1}, Term(11), {1}};
         Forget(l, 0);
       },
       ""},
      {"without the term",
       [&](Layout* l) {
         force(l), l->partitions[2] = {4, {4}, Term(5), {4}};
       },
       "partition 2: the group changed"},
      {"an odd term", [&](Layout* l) { force(l), l->partitions[1].term = Term(9); }, "partition 1: rule (e)"},
      {"malformed", [&](Layout* l) { force(l), Change(l, 1)->primary = 0; }, "malformed"},
      {"past the voters", [](Layout* l) { l->epoch = l->forced_epoch = Epoch(11 + kForcedEpochs); }, ""},
      {"past the voters, not forced", [](Layout* l) { l->epoch = Epoch(11 + kForcedEpochs); }, "does not follow"},
      {"further", [](Layout* l) { l->epoch = l->forced_epoch = Epoch(12 + kForcedEpochs); }, "does not follow"},
      {"forced once, not now",
       [](Layout* l) {
         *Change(l, 2) = {4, {4}, Term(11), {4}};
       },
       "rule (a)"},
  });
}

TEST_CASE("L10: only a forced layout names survivors and losses; they stand until they are merged") {
  Check({
      {"survivors out of nowhere",
       [](Layout* l) {
         *Change(l, 2) = {4, {4}, Term(11), {4}, {3, 4}};
       },
       "only a forced layout names survivors"},
      {"a loss out of nowhere", [](Layout* l) { l->partitions[1].loss = Loss{}; }, "only a forced layout names survivors"},
      {"somebody given up", [](Layout* l) { l->retired.push_back({TestId(30), "node-31", Epoch(0)}); }, "given up by force"},
  });
  Layout merging = TestLayout(3, {{0, {0}, Term(10), {0, 1}, {0, 2}}});
  merging.forced_epoch = merging.epoch = Epoch(10);
  merging.retired = {{TestId(9), "node-10", Epoch(10)}};
  Layout next = merging;
  next.epoch = Epoch(11);
  CHECK(!WhyIllegal(merging, next));
  const auto refused = [&](const std::function<void(Group*)>& change) {
    Layout other = next;
    change(&other.partitions[0]);
    return WhyIllegal(merging, other).value_or("");
  };
  CHECK_THAT(refused([](Group* g) { g->survivors = {0}; }), Catch::Contains("survivors that are to be merged are others"));
  CHECK_THAT(refused([](Group* g) { g->survivors.clear(); }), Catch::Contains("the term is not the new epoch"));
  CHECK(refused([](Group* g) { g->survivors.clear(), g->term = Term(11), g->loss = Loss{}; }).empty());
  Layout without = next;
  without.members.pop_back();
  without.voters = {0};
  without.partitions[0].survivors = {0};
  CHECK_THAT(WhyIllegal(merging, without).value_or(""), Catch::Contains("while its copy is to be merged"));
  Layout forgiven = next;
  forgiven.retired.clear();
  CHECK_THAT(WhyIllegal(merging, forgiven).value_or(""), Catch::Contains("rewrites who was given up"));
}

}  // namespace coffer::cluster
