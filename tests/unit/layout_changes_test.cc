// What a log says of a new layout: each part of the sentence, word by word.
#include "cluster/layout_changes.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/join_tokens.h"
#include "layout_fixtures.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

Layout Before() {
  Layout layout = TestLayout(4, {{0, {0, 1}, Term(3), {0, 1}}, {1, {1, 2}, Term(4), {1, 2}}, {2, {0, 2}, Term(5), {2, 0}}});
  layout.join_tokens = {{std::string(32, 'a'), 1000, "", ""}};
  return layout;
}

struct Case {
  std::string said;
  std::function<void(Layout*)> change;
};

void CheckEach(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    Layout after = Before();
    after.epoch = after.epoch.Next();
    c.change(&after);
    CHECK(WhatChanged(Before(), after) == c.said);
  }
}

}  // namespace

TEST_CASE("what a layout changed: members") {
  CheckEach({
      {"nothing of note", [](Layout*) {}},
      {"node-5 joined", [](Layout* l) { l->members.push_back(TestMember(4)); }},
      {"node-5, node-6 joined",
       [](Layout* l) {
         l->members.push_back(TestMember(4));
         l->members.push_back(TestMember(5));
       }},
      {"node-4 left", [](Layout* l) { l->members.pop_back(); }},
      {"node-4 given up for good",
       [](Layout* l) {
         l->retired.push_back({l->members[3].id, "node-4", l->epoch});
         l->members.pop_back();
       }},
      {"node-2 is node-2 (old 00000002) now", [](Layout* l) { l->members[1].name = "node-2 (old 00000002)"; }},
      {"node-2 given up", [](Layout* l) { l->members[1].down = true; }},
      {"node-2 being drained", [](Layout* l) { l->members[1].draining = true; }},
      {"node-1 with a new address, weight, domain or certificate", [](Layout* l) { l->members[0].address = "elsewhere:1"; }},
      {"node-1 with a new address, weight, domain or certificate", [](Layout* l) { l->members[0].weight = 7; }},
      {"node-1 with a new address, weight, domain or certificate", [](Layout* l) { l->members[0].failure_domain = "rack-2"; }},
      {"node-1 with a new address, weight, domain or certificate", [](Layout* l) { l->members[0].certificate_name = "one.example"; }},
      {"node-5 joined; node-2, node-3, node-4 being drained; node-1 left; new places for 2 partitions; 2 copies complete; "
       "2 copies no longer counted; 1 primary moved; voters are node-5, node-2, node-3",
       [](Layout* l) {
         l->members[0] = TestMember(4);
         for (int m : {1, 2, 3}) l->members[m].draining = true;
       }},
  });
}

TEST_CASE("what a layout changed: the way back is said, too") {
  const Layout before = Before();
  Layout after = before;
  after.members[1].down = true;
  after.members[2].draining = true;
  after.settings.resync_paused = after.settings.scrub_paused = true;
  CHECK(WhatChanged(before, after) == "node-2 given up; node-3 being drained; resync paused; scrub paused");
  CHECK(WhatChanged(after, before) == "node-2 returned; node-3 no longer drained; resync resumed; scrub resumed");
}

TEST_CASE("what a layout changed: more than five members are counted") {
  const Layout before = Before();
  Layout after = before;
  for (std::uint32_t n = 4; n < 9; ++n) after.members.push_back(TestMember(n));
  CHECK(WhatChanged(before, after) == "node-5, node-6, node-7, node-8, node-9 joined");
  after.members.push_back(TestMember(9));
  CHECK(WhatChanged(before, after) == "6 members joined");
}

TEST_CASE("what a layout changed: copies, primaries, terms and goals") {
  CheckEach({
      {"new places for 1 partition", [](Layout* l) { l->partitions[0].goal = {0, 3}; }},
      {"new places for 2 partitions", [](Layout* l) { l->partitions[0].goal = {1, 0}, l->partitions[1].goal = {1}; }},
      {"1 copy complete", [](Layout* l) { l->partitions[0].in_sync = {0, 1, 2}, l->partitions[0].term = Term(11); }},
      {"1 copy no longer counted", [](Layout* l) { l->partitions[0].in_sync = {0}, l->partitions[0].term = Term(11); }},
      {"1 copy complete; 1 copy no longer counted", [](Layout* l) { l->partitions[0].in_sync = {0, 2}, l->partitions[0].term = Term(11); }},
      {"3 copies complete", [](Layout* l) { for (Group& g : l->partitions) g.in_sync.push_back(3), g.term = Term(11); }},
      {"3 copies no longer counted",
       [](Layout* l) { for (Group& g : l->partitions) g.in_sync = {g.primary}, g.term = Term(11); }},
      {"1 primary moved", [](Layout* l) { l->partitions[0].primary = 1, l->partitions[0].term = Term(11); }},
      {"2 primaries moved", [](Layout* l) { l->partitions[0].primary = 1, l->partitions[1].primary = 2; }},
      {"1 term renewed", [](Layout* l) { l->partitions[2].term = Term(11); }},
      {"3 terms renewed", [](Layout* l) { for (Group& g : l->partitions) g.term = Term(11); }},
      {"1 partition to be merged from survivors", [](Layout* l) { l->partitions[0].survivors = {0, 1}; }},
      {"2 partitions to be merged from survivors",
       [](Layout* l) { l->partitions[0].survivors = {0}, l->partitions[1].survivors = {1}; }},
  });
}

TEST_CASE("what a layout changed: survivors that are merged, and such as still wait") {
  Layout before = Before();
  before.partitions[0].survivors = {0, 1};
  before.partitions[1].survivors = {1, 2};
  Layout after = before;
  CHECK(WhatChanged(before, after) == "nothing of note");
  after.partitions[0].survivors = {};
  after.partitions[0].term = Term(11);
  CHECK(WhatChanged(before, after) == "1 partition merged from survivors; 1 term renewed");
}

TEST_CASE("what a layout changed: members that are numbered anew change no group") {
  const Layout before = Before();
  Layout after = before;
  std::swap(after.members[0], after.members[2]);
  const auto anew = [](MemberIndex m) { return m == 0 ? MemberIndex{2} : m == 2 ? MemberIndex{0} : m; };
  for (Group& g : after.partitions) {
    g.primary = anew(g.primary);
    for (auto* list : {&g.in_sync, &g.goal}) {
      for (MemberIndex& m : *list) m = anew(m);
    }
  }
  CHECK(WhatChanged(before, after) == "nothing of note");
}

TEST_CASE("what a layout changed: voters are told by their ids, wherever their members stand") {
  Layout after = Before();  // whose voters are the first three
  after.epoch = after.epoch.Next();
  std::swap(after.members[0], after.members[1]);
  after.voters = {2, 1, 0};
  CHECK_THAT(WhatChanged(Before(), after), !Catch::Contains("voters"));
  after.voters = {2, 1, 3};
  CHECK_THAT(WhatChanged(Before(), after), Catch::EndsWith("voters are node-3, node-1, node-4"));
}

TEST_CASE("what a layout changed: settings, voters and force") {
  CheckEach({
      {"writes need 2 copies", [](Layout* l) { l->settings.min_copies = 2; }},
      {"resync paused", [](Layout* l) { l->settings.resync_paused = true; }},
      {"scrub paused", [](Layout* l) { l->settings.scrub_paused = true; }},
      {"a pass of scrub asked for", [](Layout* l) { l->settings.scrub_asked = Epoch(11); }},
      {"resync limit 1000 B/s", [](Layout* l) { l->settings.resync_limit_bytes_per_second = 1000; }},
      {"voters are node-1, node-2, node-4",
       [](Layout* l) {
         l->voters = {0, 1, 3};
       }},
      {"voters are node-1, node-2",
       [](Layout* l) {
         l->voters = {0, 1};
       }},
      {"forced by an operator; 3 terms renewed",
       [](Layout* l) {
         l->forced_epoch = l->epoch;
         for (Group& g : l->partitions) g.term = Term(11);
       }},
  });
  Layout two = Before();
  two.settings.min_copies = 2;
  CHECK(WhatChanged(two, Before()) == "writes need 1 copy");
}

TEST_CASE("what a layout changed: join tokens made, used and ended") {
  const JoinToken made{std::string(32, 'b'), 2000, "", ""};
  const JoinToken used{std::string(32, 'b'), 2000, std::string(16, 'x'), "node-9"};
  CheckEach({
      {"join token 6262626262626262 made", [&](Layout* l) { l->join_tokens.push_back(made); }},
      {"join token 6262626262626262 made; join token 6262626262626262 used by node-9", [&](Layout* l) { l->join_tokens.push_back(used); }},
      {"join token 6161616161616161 used by node-9",
       [&](Layout* l) { l->join_tokens[0].used = used.used, l->join_tokens[0].used_by = used.used_by; }},
      {"join token 6161616161616161 ended", [&](Layout* l) { l->join_tokens.clear(); }},
  });
  Layout before = Before();
  before.join_tokens = {used};
  Layout after = before;
  CHECK(WhatChanged(before, after) == "nothing of note");  // it was used before
}

}  // namespace coffer::cluster
