// Layouts: their one encoding, what makes them malformed, and how they are asked.
#include "cluster/layout.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <functional>
#include <string>

#include "cluster/placement.h"
#include "cluster/random.h"
#include "coffer/internal/v1/layout.pb.h"
#include "layout_fixtures.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

Layout FullLayout() {
  Layout layout =
      TestLayout(4, {{0, {0, 1}, Term(3), {0, 1}}, {2, {0, 2, 3}, Term(10), {3, 2}}, {1, {1}, Term(1), {}}});
  layout.members[1].weight = 250;
  layout.members[1].failure_domain = "rack-1";
  layout.members[2].certificate_name = "node-3.example";
  layout.members[2].draining = true;
  layout.members[3].down = true;
  layout.members[3].former = "\x05";
  layout.members.push_back(TestMember(9));
  layout.members[4].witness = true;
  layout.members[4].weight = 0;
  layout.voters = {0, 1, 4};
  layout.settings.min_copies = 2;
  layout.settings.min_copies_chosen = true;
  layout.settings.resync_paused = true;
  layout.settings.resync_limit_bytes_per_second = 1u << 20;
  layout.settings.voters_wanted = 7;
  layout.plan = MovePlan{Epoch(9), "node-4 down", 2};
  layout.forced_epoch = Epoch(4);
  layout.retired = {{TestId(20), "node-21", Epoch(3)}, {TestId(21), "node-22", Epoch(4)}};
  layout.partitions[0].loss = Loss{Epoch(3), true, Seq(2), Seq(5), Seq(9), 7};
  layout.partitions[2].survivors = {0, 1, 3};
  return layout;
}

std::string Refusal(std::string_view bytes) {
  std::string error;
  return DecodeLayout(bytes, &error) ? "" : error;
}

// The layout's message after a change that Encode would never make.
std::string Tampered(const std::function<void(internal::v1::Layout*)>& tamper) {
  internal::v1::Layout message;
  REQUIRE(message.ParseFromString(Encode(FullLayout())));
  tamper(&message);
  return message.SerializeAsString();
}

}  // namespace

TEST_CASE("a layout survives its bytes, and the bytes survive the layout") {
  const Layout layout = FullLayout();
  const std::string bytes = Encode(layout);
  std::string error;
  const auto decoded = DecodeLayout(bytes, &error);
  INFO(error);
  REQUIRE(decoded);
  CHECK(*decoded == layout);
  CHECK(Encode(*decoded) == bytes);
}

TEST_CASE("a full-size layout survives its bytes") {
  Layout layout = TestLayout(100, {});
  for (Goal& goal : FreshGoals(layout.members, 5040)) {
    MemberList in_sync = goal;
    std::sort(in_sync.begin(), in_sync.end());
    layout.partitions.push_back({goal.front(), in_sync, Term(10), goal});
  }
  layout.settings.partitions = 5040;
  const auto decoded = DecodeLayout(Encode(layout), nullptr);
  REQUIRE(decoded);
  CHECK(*decoded == layout);
}

TEST_CASE("unknown fields are refused wherever they are") {
  using internal::v1::Layout;
  const auto add_unknown = [](google::protobuf::Message* message) {
    message->GetReflection()->MutableUnknownFields(message)->AddVarint(1000, 1);
  };
  CHECK_THAT(Refusal(Tampered([&](Layout* l) { add_unknown(l); })), Catch::Contains("does not know"));
  CHECK_THAT(Refusal(Tampered([&](Layout* l) { add_unknown(l->mutable_members(2)); })),
             Catch::Contains("does not know"));
  CHECK_THAT(Refusal(Tampered([&](Layout* l) { add_unknown(l->mutable_settings()); })),
             Catch::Contains("does not know"));
  CHECK_THAT(Refusal(Tampered([&](Layout* l) { add_unknown(l->mutable_plan()); })), Catch::Contains("does not know"));
  CHECK_THAT(Refusal(Tampered([&](Layout* l) { add_unknown(l->mutable_partitions(1)); })),
             Catch::Contains("does not know"));
}

TEST_CASE("another format, damage and a second encoding of the same meaning are refused") {
  CHECK_THAT(Refusal(Tampered([](internal::v1::Layout* l) { l->set_format(2); })), Catch::Contains("format 2"));
  CHECK_THAT(Refusal(""), Catch::Contains("format 0"));
  CHECK_THAT(Refusal("\xff\xff"), Catch::Contains("damaged"));
  CHECK_THAT(Refusal(Encode(FullLayout()) + std::string("\x08\x01", 2)),
             Catch::Contains("one accepted form"));  // format twice
  CHECK_THAT(Refusal(std::string(kMaxLayoutBytes + 1, '\0')), Catch::Contains("larger"));
  CHECK_THAT(Refusal(Tampered([](internal::v1::Layout* l) { l->mutable_partitions(0)->set_primary(1u << 16); })),
             Catch::Contains("primary"));  // would be 0 in 16 bits
  CHECK_THAT(Refusal(Tampered([](internal::v1::Layout* l) { l->set_cluster_id("short"); })),
             Catch::Contains("cluster"));
}

TEST_CASE("damaged bytes never decode to anything but themselves") {
  const std::string bytes = Encode(FullLayout());
  const google::protobuf::LogSilencer silencer;  // it would report every broken text
  Random random(1);
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = bytes;
    for (std::uint64_t i = 0; i <= random.Below(3); ++i) {
      const std::size_t at = random.Below(damaged.size());
      switch (random.Below(4)) {
        case 0:
          damaged[at] = static_cast<char>(random.Next());
          break;
        case 1:
          damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.Below(8)));
          break;
        case 2:
          damaged.resize(at + 1);
          break;
        default:
          damaged.insert(at, 1, static_cast<char>(random.Next()));
          break;
      }
    }
    const auto decoded = DecodeLayout(damaged, nullptr);
    if (!decoded) continue;
    ++accepted;
    REQUIRE(Encode(*decoded) == damaged);
    REQUIRE(!WhyMalformed(*decoded));
  }
  CHECK(accepted > 0);      // a changed letter of a name, say
  CHECK(accepted < 15000);  // and much is refused
}

TEST_CASE("what makes a layout malformed") {
  struct Case {
    const char* complaint;
    std::function<void(Layout*)> damage;
  };
  const std::vector<Case> cases = {
      {"no cluster", [](Layout* l) { l->cluster = {}; }},
      {"epoch is 0", [](Layout* l) { l->epoch = {}; }},
      {"forced later", [](Layout* l) { l->forced_epoch = Epoch(11); }},
      {"given up by force later", [](Layout* l) { l->retired[1].epoch = Epoch(5); }},
      {"was given up by force and appears again", [](Layout* l) { l->retired[1].id = l->retired[0].id; }},
      {"was given up by force and appears again", [](Layout* l) { l->retired[0].id = l->members[2].id; }},
      {"no id, or too long a name", [](Layout* l) { l->retired[0].id = {}; }},
      {"no id, or too long a name", [](Layout* l) { l->retired[0].name.assign(kMaxTextBytes + 1, 'x'); }},
      {"more than 4096 members were given up",
       [](Layout* l) {
         while (l->retired.size() <= kMaxRetired) l->retired.push_back({TestId(100 + l->retired.size()), "old", Epoch(4)});
       }},
      {"more than 64 survivors",
       [](Layout* l) {
         while (l->members.size() <= kMaxSurvivors) l->members.push_back(TestMember(100 + l->members.size()));
         for (MemberIndex m = 0; m <= kMaxSurvivors; ++m) l->partitions[2].survivors.push_back(m);
       }},
      {"more than 1024 members",
       [](Layout* l) {
         while (l->members.size() <= kMaxMembers) l->members.push_back(TestMember(100 + l->members.size()));
       }},
      {"too many partitions", [](Layout* l) { l->partitions.resize(kMaxPartitions + 1, l->partitions[0]); }},
      {"number of voters", [](Layout* l) { l->settings.voters_wanted = 0; }},
      {"more than 512 bytes", [](Layout* l) { l->members[1].name.assign(kMaxTextBytes + 1, 'x'); }},
      {"more than 512 bytes", [](Layout* l) { l->members[1].failure_domain.assign(kMaxTextBytes + 1, 'x'); }},
      {"more than 512 bytes", [](Layout* l) { l->members[1].certificate_name.assign(kMaxTextBytes + 1, 'x'); }},
      {"survivors are not in ascending order",
       [](Layout* l) {
         l->partitions[2].survivors = {1, 0};
       }},
      {"survivors name a witness or nobody",
       [](Layout* l) {
         l->partitions[2].survivors = {1, 4};
       }},
      {"not among the survivors", [](Layout* l) { l->partitions[2].survivors = {0}; }},
      {"more than the primary is in_sync",
       [](Layout* l) {
         l->partitions[0].survivors = {0, 1};
       }},
      {"cluster's name", [](Layout* l) { l->cluster_name.assign(kMaxTextBytes + 1, 'x'); }},
      {"no partitions", [](Layout* l) { l->partitions.clear(); }},
      {"number of partitions", [](Layout* l) { l->settings.partitions = 4; }},
      {"min_copies", [](Layout* l) { l->settings.min_copies = 0; }},
      {"min_copies", [](Layout* l) { l->settings.min_copies = 3; }},
      {"number of voters", [](Layout* l) { l->settings.voters_wanted = 8; }},
      {"chunk limit", [](Layout* l) { l->settings.chunk_limit_bytes = 0; }},
      {"no members", [](Layout* l) { l->members.clear(); }},
      {"has no id", [](Layout* l) { l->members[1].id = {}; }},
      {"appears twice", [](Layout* l) { l->members[1].id = l->members[0].id; }},
      {"node-1 appears twice", [](Layout* l) { l->members[1].name = l->members[0].name; }},
      {"no name", [](Layout* l) { l->members[1].name.clear(); }},
      {"more than 512 bytes", [](Layout* l) { l->members[1].address.assign(kMaxTextBytes + 1, 'x'); }},
      {"weight above", [](Layout* l) { l->members[1].weight = kMaxWeight + 1; }},
      {"more former", [](Layout* l) { l->members[1].former = "ab"; }},
      {"former partition that does not exist", [](Layout* l) { l->members[1].former = "\x08"; }},
      {"no voters", [](Layout* l) { l->voters.clear(); }},
      {"more than 7 voters", [](Layout* l) { l->voters = {0, 1, 2, 3, 4, 5, 6, 7}; }},
      {"ascending",
       [](Layout* l) {
         l->voters = {1, 0};
       }},
      {"ascending",
       [](Layout* l) {
         l->voters = {1, 1};
       }},
      {"voter is not a member",
       [](Layout* l) {
         l->voters = {0, 5};
       }},
      {"plan is newer", [](Layout* l) { l->plan->id = Epoch(11); }},
      {"cause", [](Layout* l) { l->plan->cause.assign(kMaxTextBytes + 1, 'x'); }},
      {"plan counts", [](Layout* l) { l->plan->partitions_total = 4; }},
      {"partition 0: in_sync is empty", [](Layout* l) { l->partitions[0].in_sync.clear(); }},
      {"partition 0: in_sync has more",
       [](Layout* l) {
         l->partitions[0].in_sync = {0, 1, 2, 3};
       }},
      {"partition 0: in_sync is not",
       [](Layout* l) {
         l->partitions[0].in_sync = {1, 0};
       }},
      {"partition 0: in_sync is not",
       [](Layout* l) {
         l->partitions[0].in_sync = {0, 0};
       }},
      {"partition 0: in_sync names",
       [](Layout* l) {
         l->partitions[0].in_sync = {0, 4};
       }},  // the witness
      {"partition 0: in_sync names",
       [](Layout* l) {
         l->partitions[0].in_sync = {0, 5};
       }},
      {"partition 1: the primary", [](Layout* l) { l->partitions[1].primary = 1; }},
      {"partition 1: the term", [](Layout* l) { l->partitions[1].term = Term(11); }},
      {"partition 1: the term", [](Layout* l) { l->partitions[1].term = Term(0); }},
      {"partition 2: the goal has more",
       [](Layout* l) {
         l->partitions[2].goal = {0, 1, 2, 3};
       }},
      {"partition 2: the goal names a witness", [](Layout* l) { l->partitions[2].goal = {4}; }},
      {"partition 2: the goal names a member twice",
       [](Layout* l) {
         l->partitions[2].goal = {1, 1};
       }},
  };
  REQUIRE(!WhyMalformed(FullLayout()));
  for (const Case& c : cases) {
    INFO(c.complaint);
    Layout layout = FullLayout();
    c.damage(&layout);
    const auto why = WhyMalformed(layout);
    REQUIRE(why);
    CHECK_THAT(*why, Catch::Contains(c.complaint));
    CHECK(!DecodeLayout(Encode(layout), nullptr));
  }
}

TEST_CASE("questions to a layout") {
  const Layout layout = FullLayout();
  CHECK(layout.IndexOf(TestId(2)) == 2);
  CHECK(layout.IndexOf(TestId(77)) == kNoMember);
  CHECK(layout.IndexOfName("node-10") == 4);
  CHECK(layout.IndexOfName("node-99") == kNoMember);
  CHECK(layout.IsVoter(TestId(9)));
  CHECK(!layout.IsVoter(TestId(2)));
  CHECK(!layout.IsVoter(TestId(77)));
  CHECK(layout.Quorum() == 2);
  CHECK(layout.group(0).AtGoal());
  CHECK(!layout.group(1).AtGoal());
  CHECK(!layout.group(2).AtGoal());  // nowhere to be
  CHECK(layout.members[3].Held(0));
  CHECK(!layout.members[3].Held(1));
  CHECK(layout.members[3].Held(2));
  CHECK(!layout.members[3].Held(8));
  CHECK(layout.members[0].TakesData());
  for (int m : {2, 3, 4}) CHECK(!layout.members[m].TakesData());
}

TEST_CASE("a group is at its goal only under the goal's primary and without others") {
  CHECK(Group{1, {0, 1}, Term(1), {1, 0}}.AtGoal());
  CHECK(!Group{0, {0, 1}, Term(1), {1, 0}}.AtGoal());
  CHECK(!Group{1, {0, 1, 2}, Term(1), {1, 0}}.AtGoal());
  CHECK(!Group{1, {1}, Term(1), {1, 0}}.AtGoal());
  CHECK(!Group{1, {1, 2}, Term(1), {1, 0}}.AtGoal());
}

TEST_CASE("layouts are equal if every field is, and only then are their bytes") {
  Layout base = FullLayout();
  base.join_tokens = {{std::string(32, 'a'), 1000, std::string(16, 'x'), "node-9"}};
  REQUIRE(!WhyMalformed(base));
  const std::vector<std::function<void(Layout*)>> changes = {
      [](Layout*) {},
      [](Layout* l) { l->cluster.bytes[3] = 9; },
      [](Layout* l) { l->cluster_name = "other"; },
      [](Layout* l) { l->epoch = Epoch(11); },
      [](Layout* l) { l->voters = {0, 1}; },
      [](Layout* l) { l->forced_epoch = Epoch(5); },
      [](Layout* l) { l->members[0].id = TestId(70); },
      [](Layout* l) { l->members[0].name = "other"; },
      [](Layout* l) { l->members[0].address = "other:1"; },
      [](Layout* l) { l->members[0].weight = 99; },
      [](Layout* l) { l->members[0].failure_domain = "rack-9"; },
      [](Layout* l) { l->members[0].certificate_name = "other.example"; },
      [](Layout* l) { l->members[3].witness = true, l->partitions[1] = {0, {0}, Term(3), {0}}, l->partitions[2].survivors = {1}; },
      [](Layout* l) { l->members[0].draining = true; },
      [](Layout* l) { l->members[0].down = true; },
      [](Layout* l) { l->members[3].former = "\x03"; },
      [](Layout* l) { l->settings.partitions = 4, l->partitions.push_back(l->partitions[0]); },
      [](Layout* l) { l->settings.min_copies = 1; },
      [](Layout* l) { l->settings.min_copies_chosen = false; },
      [](Layout* l) { l->settings.resync_paused = false; },
      [](Layout* l) { l->settings.resync_limit_bytes_per_second = 0; },
      [](Layout* l) { l->settings.chunk_limit_bytes = 1; },
      [](Layout* l) { l->settings.voters_wanted = 3; },
      [](Layout* l) { l->settings.scrub_paused = true; },
      [](Layout* l) { l->settings.scrub_asked = Epoch(2); },
      [](Layout* l) { l->plan.reset(); },
      [](Layout* l) { l->plan->id = Epoch(8); },
      [](Layout* l) { l->plan->cause = "other"; },
      [](Layout* l) { l->plan->partitions_total = 1; },
      [](Layout* l) { l->partitions[0].primary = 1; },
      [](Layout* l) { l->partitions[0].in_sync = {0, 2}; },
      [](Layout* l) { l->partitions[0].term = Term(4); },
      [](Layout* l) { l->partitions[0].goal = {1, 0}; },
      [](Layout* l) { l->partitions[2].survivors = {0, 1}; },
      [](Layout* l) { l->partitions[0].loss.reset(); },
      [](Layout* l) { l->partitions[0].loss->epoch = Epoch(2); },
      [](Layout* l) { l->partitions[0].loss->nothing = false; },
      [](Layout* l) { l->partitions[0].loss->from = Seq(1); },
      [](Layout* l) { l->partitions[0].loss->to = Seq(6); },
      [](Layout* l) { l->partitions[0].loss->last = Seq(10); },
      [](Layout* l) { l->partitions[0].loss->set_aside = 8; },
      [](Layout* l) { l->retired[0].id = TestId(71); },
      [](Layout* l) { l->retired[0].name = "other"; },
      [](Layout* l) { l->retired[0].epoch = Epoch(2); },
      [](Layout* l) { l->retired.pop_back(); },
      [](Layout* l) { l->join_tokens.clear(); },
      [](Layout* l) { l->join_tokens[0].hash[0] = 'b'; },
      [](Layout* l) { l->join_tokens[0].expires_ms = 1001; },
      [](Layout* l) { l->join_tokens[0].used[0] = 'y'; },
      [](Layout* l) { l->join_tokens[0].used_by = "node-8"; },
  };
  std::vector<Layout> layouts(changes.size(), base);
  std::vector<std::string> bytes;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    INFO("change " << i);
    changes[i](&layouts[i]);
    CHECK(WhyMalformed(layouts[i]).value_or("") == "");
    bytes.push_back(Encode(layouts[i]));
    const auto decoded = DecodeLayout(bytes[i], nullptr);
    REQUIRE(decoded);
    CHECK(*decoded == layouts[i]);
    for (std::size_t other = 0; other < i; ++other) {
      CHECK_FALSE(layouts[i] == layouts[other]);
      CHECK(bytes[i] != bytes[other]);
    }
  }
}

TEST_CASE("R8.9 a process whose id was given up is told by which epoch, and what becomes of its data") {
  CHECK(FullLayout().RetiredAt(TestId(21)) == Epoch(4));
  CHECK_FALSE(FullLayout().RetiredAt(TestId(2)));
  CHECK(WhyRetired(Epoch(4)) ==
        "`layout force` gave this node up with epoch 4, on an operator's word that it would never return; the others go on without it. "
        "Its id never acts again. What it held is set aside; it comes back under a new id and is filled from the others.");
}

}  // namespace coffer::cluster
