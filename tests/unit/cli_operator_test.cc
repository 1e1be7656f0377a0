// What an operator changes: plan, apply, force, drain and forget; cache, resync and scrub.
#include <thread>

#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

using test::Fault;
using test::Ran;
using test::Shell;

v1::MemberStatus& AddNode(Shell& shell, const std::string& name) {
  v1::MemberStatus& m = *shell.cluster->status.add_members();
  m.set_name(name);
  m.set_role(v1::MEMBER_ROLE_STORAGE);
  m.set_state(v1::MEMBER_STATE_UP);
  return m;
}

struct Planned : Shell {
  Planned() {
    AddNode(*this, "node-1");
    AddNode(*this, "node-2");
    cluster->plan.set_epoch(17);
    cluster->plan.set_copies_to_move(3360);
    cluster->plan.set_copies_to_move_least(3360);
    cluster->plan.set_primaries_to_move(1680);
    cluster->plan.set_bytes_to_move(1u << 30);
    cluster->plan.add_effects("node-2 hands 3360 copies to the others");
    v1::PlannedNode& n = *cluster->plan.add_nodes();
    n.set_name("node-1");
    n.set_primaries_before(1680);
    n.set_primaries_after(2520);
  }
};

TEST_CASE("a plan is shown and changes nothing") {
  Planned shell;
  const Ran r = shell.Run({"plan", "drain", "node-2"});
  CHECK(r.code == kExitOk);
  CHECK(r.out.find("PLAN for epoch 17\n  node-2 hands 3360 copies to the others\n  copies to make: 3 360 (the least "
                   "possible: 3 360)") == 0);
  CHECK(r.out.find("about 1.0 GiB") != std::string::npos);
  CHECK(shell.cluster->applied.empty());
  CHECK(shell.Run({"plan"}).code == kExitOk);
  CHECK(shell.Run({"plan", "-o", "json"}).out.find("\"copies_to_move\":3360") != std::string::npos);
  shell.cluster->plan.set_refusal("two nodes must remain");
  const Ran refused = shell.Run({"plan", "drain", "node-2"});
  CHECK(refused.code == kExitFailure);
  CHECK(refused.out.find("REFUSED  two nodes must remain\n") != std::string::npos);
}

TEST_CASE("changes are understood or refused before anything is asked") {
  Planned shell;
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{{"drain"},
                                                                                   {"drain", "a", "b"},
                                                                                   {"reweight", "a"},
                                                                                   {"reweight", "a", "0"},
                                                                                   {"reweight", "a", "1001"},
                                                                                   {"reweight", "a", "ten"},
                                                                                   {"fresh", "x"},
                                                                                   {"min-copies", "3"},
                                                                                   {"min-copies"},
                                                                                   {"force"},
                                                                                   {"explode"},
                                                                                   {"force", "--missing", ","},
                                                                                   {"drain", "a", "--missing", "b"}}) {
    for (const char* command : {"plan", "apply"}) {
      std::vector<std::string> arguments{command};
      arguments.insert(arguments.end(), bad.begin(), bad.end());
      CHECK(shell.Run(arguments).code == kExitUsage);
    }
  }
  CHECK(shell.Run({"apply"}).code == kExitUsage);
  CHECK(shell.router->calls() == 0);
}

TEST_CASE("apply shows the plan and asks") {
  Planned shell;
  CHECK(shell.Run({"apply", "reweight", "node-1", "200"}).code == kExitUsage);
  shell.in_is_tty = true;
  shell.input = "n\n";
  Ran r = shell.Run({"apply", "reweight", "node-1", "200"});
  CHECK(r.code == kExitFailure);
  CHECK(r.err.find("PLAN for epoch 17") == 0);
  CHECK(r.err.find("nothing was changed") != std::string::npos);
  CHECK(shell.cluster->applied.empty());
  shell.input = "y\n";
  r = shell.Run({"apply", "reweight", "node-1", "200"});
  CHECK(r.code == kExitOk);
  CHECK(r.out == "applied as epoch 18; follow it with: coffer status --watch\n");
  REQUIRE(shell.cluster->applied.size() == 1);
  CHECK(shell.cluster->applied[0].reweight().weight() == 200);
  // The layout moved on between plan and apply: refused by the epoch that goes along.
  CHECK(shell.Run({"apply", "fresh", "--yes"}).err.find("coffer explain LAYOUT_CHANGED") != std::string::npos);
  shell.cluster->plan.set_epoch(18);
  shell.cluster->plan.set_refusal("for a reason");
  const Ran refused = shell.Run({"apply", "fresh", "--yes"});
  CHECK(refused.code == kExitFailure);
  CHECK(refused.err.find("for a reason") == refused.err.rfind("for a reason"));  // said once
  CHECK(shell.cluster->applied.size() == 1);
}

TEST_CASE("an apply that nobody answers is not repeated and not called a failure") {
  Planned shell;
  shell.router->Inject("coffer.v1.Cluster/Apply", {{Fault::Kind::kApplyKill, {}}});
  const Ran r = shell.Run({"apply", "fresh", "--yes"});
  CHECK(r.code != kExitOk);
  CHECK(r.err.find("outcome unknown: it was applied if the epoch is above 17") != std::string::npos);
  CHECK(shell.cluster->applied.size() == 1);
}

TEST_CASE("force takes a sentence, word for word") {
  Planned shell;
  const std::string sentence = "I am sure that node-2, node-3 is off and will never return";
  CHECK(shell.Run({"plan", "force", "--missing", "node-2, node-3"}).code == kExitOk);
  CHECK(shell.Run({"apply", "force", "--missing", "node-2,node-3", "--yes"}).code == kExitUsage);
  shell.in_is_tty = true;
  shell.input = "yes\n";
  CHECK(shell.Run({"apply", "force", "--missing", "node-2,node-3", "--yes"}).code == kExitFailure);
  CHECK(shell.Run({"apply", "force", "--missing", "node-2,node-3", "--statement", "sure"}).code == kExitFailure);
  CHECK(shell.cluster->applied.empty());
  shell.input = sentence + "\n";
  CHECK(shell.Run({"apply", "force", "--missing", "node-2,node-3"}).code == kExitOk);
  REQUIRE(shell.cluster->applied.size() == 1);
  CHECK(shell.cluster->applied[0].force() == sentence);
  CHECK(shell.Run({"layout", "force"}).code == kExitUsage);
  shell.cluster->plan.set_epoch(18);
  shell.input = "yes\n";
  CHECK(shell.Run({"layout", "force", "--missing", "node-2,node-3"}).code == kExitFailure);
  shell.input = sentence + "\n";
  CHECK(shell.Run({"layout", "force", "--missing", "node-2,node-3"}).code == kExitOk);
  REQUIRE(shell.cluster->applied.size() == 2);
  CHECK(shell.cluster->applied[1].force() == sentence);
}

TEST_CASE("layout fresh shows its plan and asks") {
  Planned shell;
  shell.in_is_tty = true;
  shell.input = "no\n";
  CHECK(shell.Run({"layout", "fresh"}).code == kExitFailure);
  CHECK(shell.cluster->applied.empty());
  const Ran r = shell.Run({"layout", "fresh", "--yes"});
  CHECK(r.code == kExitOk);
  CHECK(r.err.find("PLAN for epoch 17") != std::string::npos);
  REQUIRE(shell.cluster->applied.size() == 1);
  CHECK(shell.cluster->applied[0].fresh());
}

TEST_CASE("drain returns only when the node may stop") {
  Planned shell;
  shell.cluster->on_apply = [&](const v1::LayoutChange& change) {
    CHECK(change.drain() == "node-2");
    shell.cluster->status.mutable_members(1)->set_state(v1::MEMBER_STATE_DRAINING);
  };
  SECTION("it does") {
    std::thread work([&] {
      shell.router->WaitFor([&] { return shell.router->open_streams("coffer.v1.Cluster/WatchStatus") == 1; });
      const auto send = [&](v1::MemberState state, std::uint64_t done) {
        v1::WatchStatusResponse next;
        {
          std::lock_guard<std::mutex> guard(shell.cluster->lock);
          shell.cluster->status.mutable_members(1)->set_state(state);
          shell.cluster->status.mutable_resync()->set_bytes_total(100);
          shell.cluster->status.mutable_resync()->set_bytes_done(done);
          *next.mutable_status() = shell.cluster->status;
        }
        shell.router->Push("coffer.v1.Cluster/WatchStatus", [&](auto&) { return next.SerializeAsString(); });
      };
      // Of a router that has not heard of the drain: proves nothing.
      v1::WatchStatusResponse old;
      {
        std::lock_guard<std::mutex> guard(shell.cluster->lock);
        *old.mutable_status() = shell.cluster->status;
      }
      old.mutable_status()->set_epoch(17);
      old.mutable_status()->mutable_members(1)->set_state(v1::MEMBER_STATE_UP);
      shell.router->Push("coffer.v1.Cluster/WatchStatus", [&](auto&) { return old.SerializeAsString(); });
      send(v1::MEMBER_STATE_DRAINING, 50);
      // All bytes are there, and the layout has not said so yet: not safe.
      send(v1::MEMBER_STATE_DRAINING, 100);
      send(v1::MEMBER_STATE_DRAINED, 100);
    });
    const Ran r = shell.Run({"drain", "node-2"});
    work.join();
    CHECK(r.code == kExitOk);
    CHECK(r.err.find("PLAN for epoch 17") == 0);
    CHECK(r.out == "node-2 is drained: safe to stop. Take it out with: coffer forget node-2\n");
    // Once more: nothing to apply.
    CHECK(shell.Run({"drain", "node-2"}).code == kExitOk);
    CHECK(shell.cluster->applied.size() == 1);
  }
  SECTION("it takes too long") {
    const Ran r = shell.Run({"drain", "node-2", "--timeout", "300ms"});
    CHECK(r.code == kExitTimeout);
    CHECK(r.out.empty());
    CHECK(r.err.find("not safe to stop yet") != std::string::npos);
  }
  SECTION("somebody undoes it") {
    std::thread work([&] {
      shell.router->WaitFor([&] { return shell.router->open_streams("coffer.v1.Cluster/WatchStatus") == 1; });
      const auto push = [&](std::uint64_t epoch) {
        v1::WatchStatusResponse next;
        {
          std::lock_guard<std::mutex> guard(shell.cluster->lock);
          *next.mutable_status() = shell.cluster->status;
        }
        next.mutable_status()->set_epoch(epoch);
        next.mutable_status()->mutable_members(1)->set_state(v1::MEMBER_STATE_UP);
        shell.router->Push("coffer.v1.Cluster/WatchStatus", [&](auto&) { return next.SerializeAsString(); });
      };
      push(17);  // of a router that has not heard of the drain: proves nothing
      push(19);
    });
    const Ran r = shell.Run({"drain", "node-2"});
    work.join();
    CHECK(r.code == kExitFailure);
    CHECK(r.err.find("somebody undid it\n  not safe to stop") != std::string::npos);
    CHECK(r.out.empty());
  }
  SECTION("there is no such node") {
    CHECK(shell.Run({"drain", "node-9"}).code == kExitNotFound);
    CHECK(shell.cluster->applied.empty());
  }
}

TEST_CASE("a member that does not exist is not found, whatever is to be done with it") {
  Shell shell;
  for (const auto& words : std::vector<std::vector<std::string>>{{"forget", "nobody", "--yes"},
                                                                 {"apply", "drain", "nobody", "--yes"},
                                                                 {"plan", "reweight", "nobody", "50"},
                                                                 {"drain", "nobody"}}) {
    const Ran r = shell.Run(words);
    CHECK(r.code == kExitNotFound);
    CHECK(r.err.find("there is no member \"nobody\"") != std::string::npos);
  }
  CHECK(shell.cluster->applied.empty());
}

TEST_CASE("forget asks") {
  Planned shell;
  CHECK(shell.Run({"forget", "node-2"}).code == kExitUsage);
  CHECK(shell.Run({"forget", "node-2", "--yes"}).code == kExitOk);
  REQUIRE(shell.cluster->applied.size() == 1);
  CHECK(shell.cluster->applied[0].forget() == "node-2");
}

TEST_CASE("cache") {
  Shell shell;
  v1::ControlCacheResponse& cache = shell.cluster->cache;
  cache.set_router("router-1");
  CHECK(shell.Run({"cache", "status"}).out == "router-1 has no cache (cache_bytes is 0)\n");
  cache.set_policy(v1::CACHE_POLICY_ADAPTIVE);
  cache.set_deciding(v1::CACHE_POLICY_LRU);
  cache.set_bound_bytes(64 << 20);
  cache.set_bytes(32 << 20);
  cache.set_chunks(1200);
  cache.set_hits(75);
  cache.set_misses(25);
  auto* zone = cache.add_zones();
  zone->set_name("photos");
  zone->set_hits(75);
  cache.add_zones()->set_misses(25);
  const std::string out = shell.Run({"cache", "status"}).out;
  CHECK(out.find("policy    adaptive, lru decides now\n") != std::string::npos);
  CHECK(out.find("memory    32.0 MiB of 64.0 MiB, 1 200 chunks\n") != std::string::npos);
  CHECK(out.find("found     75% of 100 looked for; 0 put out to make room\n") != std::string::npos);
  CHECK(out.find("photos") != std::string::npos);
  CHECK(out.find("disk") == std::string::npos);
  CHECK(out.find("(others)") != std::string::npos);
  v1::DiskCache& disk = *cache.mutable_disk();
  disk.set_path("/var/cache/coffer");
  disk.set_bytes(1 << 30);
  disk.set_bound_bytes(2ull << 30);
  disk.set_chunks(5000);
  disk.set_hits(20);
  disk.set_misses(5);
  zone->set_disk_hits(20);
  zone->set_disk_misses(5);
  const std::string with_disk = shell.Run({"cache", "status"}).out;
  CHECK(with_disk.find("disk      1.0 GiB of 2.0 GiB in /var/cache/coffer, 5 000 chunks\n          80% of 25 looked for;") != std::string::npos);
  CHECK(with_disk.find("ON DISK") != std::string::npos);
  CHECK(with_disk.find("bad records") == std::string::npos);
  disk.set_bad_records(2);
  CHECK(shell.Run({"cache", "status"}).out.find("2 bad records: look at the disk\n") != std::string::npos);
  disk.set_off_because("it is full");
  CHECK(shell.Run({"cache", "status"}).out.find("disk      off until the router's next start: it is full\n") != std::string::npos);
  CHECK(shell.Run({"cache", "policy", "w-tinylfu"}).out ==
        "router-1 chooses by w-tinylfu until it is started again; for good: cache_policy in its configuration\n");
  CHECK(cache.policy() == v1::CACHE_POLICY_W_TINYLFU);
  CHECK(shell.Run({"cache", "clear"}).out == "the cache of router-1 is empty\n");
  CHECK(cache.chunks() == 0);
  CHECK(shell.Run({"-o", "json", "cache", "status"}).out.find("\"router\":\"router-1\"") != std::string::npos);
  CHECK(shell.Run({"cache", "policy", "random"}).code == kExitUsage);
  CHECK(shell.Run({"cache"}).code == kExitUsage);
}

TEST_CASE("resync") {
  Shell shell;
  CHECK(shell.Run({"resync", "pause"}).code == kExitOk);
  CHECK(shell.Run({"resync", "limit", "64MiB/s"}).out == "resync is limited to 64.0 MiB/s per node (epoch 17)\n");
  CHECK(shell.Run({"resync", "limit", "0"}).out == "resync has no limit (epoch 17)\n");
  CHECK(shell.Run({"resync", "resume"}).code == kExitOk);
  REQUIRE(shell.cluster->controlled.size() == 4);
  CHECK(shell.cluster->controlled[0].pause());
  CHECK(shell.cluster->controlled[1].limit_bytes_per_second() == 64u << 20);
  CHECK(shell.cluster->controlled[2].action_case() == v1::ControlResyncRequest::kLimitBytesPerSecond);
  CHECK(shell.cluster->controlled[3].resume());
  CHECK(shell.Run({"resync", "limit", "fast"}).code == kExitUsage);
  CHECK(shell.Run({"resync"}).code == kExitUsage);
  CHECK(shell.Run({"resync", "status"}).out == "no moves in progress: every block is where it should be\n");
  CHECK(shell.Run({"resync", "status", "-o", "json"}).out == "{}\n");
  shell.cluster->status.set_resync_paused(true);
  shell.cluster->status.set_resync_limit_bytes_per_second(64u << 20);
  CHECK(shell.Run({"resync", "status"}).out ==
        "no moves in progress: every block is where it should be\n"
        "state       paused by an operator: coffer resync resume\n"
        "limit       64.0 MiB/s per node\n");
  const std::string json = shell.Run({"resync", "status", "-o", "json"}).out;
  CHECK(json.find("\"RESYNC_STATE_PAUSED\"") != std::string::npos);
  CHECK(json.find("\"limit_bytes_per_second\":\"67108864\"") != std::string::npos);
  shell.cluster->status.mutable_resync()->set_cause("node-3 down");
  shell.cluster->status.mutable_resync()->set_state(v1::RESYNC_STATE_RUNNING);
  CHECK(shell.Run({"resync", "status"}).out.find("cause       node-3 down\n") != std::string::npos);
}

TEST_CASE("scrub") {
  Shell shell;
  CHECK(shell.Run({"scrub", "start"}).out.find("(epoch 18)") != std::string::npos);
  CHECK(shell.Run({"scrub", "pause"}).code == kExitOk);
  CHECK(shell.Run({"scrub", "resume"}).code == kExitOk);
  CHECK(shell.Run({"scrub"}).code == kExitUsage);
  REQUIRE(shell.cluster->applied.size() == 3);
  CHECK(shell.cluster->applied[0].scrub() == v1::SCRUB_CONTROL_START);
  CHECK(shell.cluster->applied[1].scrub() == v1::SCRUB_CONTROL_PAUSE);
  CHECK(shell.cluster->applied[2].scrub() == v1::SCRUB_CONTROL_RESUME);
  v1::MemberStatus& member = *shell.cluster->status.add_members();
  member.set_name("node-1");
  member.mutable_scrub()->set_state(v1::SCRUB_STATE_RUNNING);
  member.mutable_scrub()->set_blocks_done(1234);
  member.mutable_scrub()->set_bad_blocks(2);
  Ran r = shell.Run({"scrub", "status"});
  CHECK(r.code == kExitOk);
  CHECK(r.out.find("running") != std::string::npos);
  CHECK(r.out.find("1 234") != std::string::npos);
  member.mutable_scrub()->set_copies_differing(1);
  r = shell.Run({"scrub", "status", "-o", "json"});
  CHECK(r.code == kExitDegraded);
  CHECK(r.out.find("\"copies_differing\"") != std::string::npos);
}

}  // namespace
}  // namespace coffer::command
