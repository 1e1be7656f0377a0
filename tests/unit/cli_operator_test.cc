// plan, apply, drain, forget, resync, explain, join, certs, completion, and mistakes at the keyboard.
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "client/command/doctor_checks.h"
#include "client/command/explain_texts.h"
#include "client/command/suggest.h"
#include "proto/link/link.h"
#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

namespace fs = std::filesystem;
using test::Fault;
using test::Ran;
using test::ReadFile;
using test::RpcError;
using test::ScratchFolder;
using test::Shell;
using test::WriteFile;

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
  CHECK(shell.Run({"plan", "drain", "node-2"}).code == kExitFailure);
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
  shell.cluster->plan.set_refusal("no");
  CHECK(shell.Run({"apply", "fresh", "--yes"}).code == kExitFailure);
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
  CHECK(shell.Run({"resync", "status"}).out.find("no moves in progress") == 0);
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

TEST_CASE("explain") {
  Shell shell;
  const Ran one = shell.Run({"explain", "node-down"});
  CHECK(one.code == kExitOk);
  CHECK(one.out.rfind("NODE_DOWN\n  what  ", 0) == 0);
  const Ran wrong = shell.Run({"explain", "NODE_DWN"});
  CHECK(wrong.code == kExitNotFound);
  CHECK(wrong.err.find("did you mean \"NODE_DOWN\"?") != std::string::npos);
  CHECK(shell.Run({"explain"}).out.find("UNREACHABLE") != std::string::npos);
  const std::string docs = ReadFile(std::string(COFFER_SOURCE_DIR) + "/docs/codes.md");
  for (const Explanation& e : Explanations()) {
    INFO(e.code);
    CHECK(docs.find("| `" + e.code + "` | " + e.meaning + " | " + e.action + " |") != std::string::npos);
    CHECK_FALSE(e.meaning.empty());
    CHECK_FALSE(e.action.empty());
    CHECK(shell.Run({"explain", e.code}).code == kExitOk);
  }
  // What the client itself can say as a reason.
  for (const char* code :
       {"UNREACHABLE", "CONNECTION_LOST", "CLIENT_QUEUE_FULL", "CLIENT_CLOSED", "BAD_ANSWER", "CANCELLED"}) {
    CHECK(shell.Run({"explain", code}).code == kExitOk);
  }
}

TEST_CASE("mistakes at the keyboard") {
  Shell shell;
  const auto says = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const Ran r = shell.Run(arguments);
    CHECK(r.code == kExitUsage);
    CHECK(r.out.empty());
    INFO(r.err);
    CHECK(r.err.find(part) != std::string::npos);
  };
  says({"stauts"}, "unknown command \"stauts\"; did you mean \"status\"?");
  says({"chain", "apend", "x"}, "unknown command \"apend\" for \"coffer chain\"; did you mean \"append\"?");
  says({"status", "--wacth"}, "did you mean \"--watch\"?");
  says({"status", "--tiemout=3s"}, "did you mean \"--timeout\"?");
  says({"status", "-o", "xml"}, "xml");
  says({"xyzzyplugh"}, "unknown command \"xyzzyplugh\"");
  says({"put"}, "source is required");
  says({"status", "--router", "nonsense"}, "host:port");
  says({"status", "--router", ","}, "no router");
  says({"status", "--timeout", "soon"}, "\"soon\" is not a time");
  says({"status", "--tls-cert", "x.pem"}, "belong together");
  says({}, "Examples:");
  CHECK(Closest("sattus", {"status", "nodes"}) == "status");
  CHECK(Closest("q", {"status", "nodes"}).empty());
}

TEST_CASE("help, version, options after the command") {
  Shell shell;
  const Ran help = shell.Run({"--help"});
  CHECK(help.code == kExitOk);
  CHECK(help.out.find("Examples:") < help.out.find("Usage:"));
  for (const char* command :
       {"status", "nodes", "where", "doctor", "explain", "wait",   "put",    "get",  "has",   "rm",
        "chain",  "zone",  "plan",  "apply",  "drain",   "forget", "resync", "scrub", "join", "certs", "completion"}) {
    const Ran r = shell.Run({command, "--help"});
    INFO(command);
    CHECK(r.code == kExitOk);
    CHECK(r.out.find("Examples:") < r.out.find("Usage: coffer "));
  }
  CHECK(shell.Run({"--version"}).out.rfind("coffer ", 0) == 0);
  shell.cluster->status.set_verdict(v1::VERDICT_HEALTHY);
  CHECK(shell.Run({"status", "--output", "json"}).out[0] == '{');
  shell.environment["COFFER_OUTPUT"] = "json";
  CHECK(shell.Run({"status"}).out[0] == '{');
  shell.environment["COFFER_OUTPUT"] = "xml";
  CHECK(shell.Run({"status"}).code == kExitUsage);
}

TEST_CASE("the other name of the routers' variable, unless it is cofferd's switch") {
  Shell shell;
  shell.cluster->status.set_verdict(v1::VERDICT_HEALTHY);
  shell.environment["COFFER_ROUTER"] = shell.environment["COFFER_ROUTERS"];
  shell.environment.erase("COFFER_ROUTERS");
  CHECK(shell.Run({"status"}).code == kExitOk);
  shell.environment["COFFER_ROUTER"] = "true";
  CHECK(shell.Run({"status", "--router", shell.router->address()}).code == kExitOk);
}

TEST_CASE("completions know every command") {
  Shell shell;
  const Ran r = shell.Run({"completion", "bash"});
  CHECK(r.code == kExitOk);
  for (const char* part : {"|chain append|", "|resync limit|", "--watch", "complete -o default -F _coffer coffer"}) {
    CHECK(r.out.find(part) != std::string::npos);
  }
  ScratchFolder folder;
  WriteFile(folder / "c.bash",
            r.out + "COMP_WORDS=(coffer -o json chain ap); COMP_CWORD=4; _coffer; echo \"${COMPREPLY[@]}\" >" +
                (folder / "said"));
  REQUIRE(std::system(("bash " + (folder / "c.bash")).c_str()) == 0);
  CHECK(ReadFile(folder / "said") == "append\n");
  CHECK(shell.Run({"completion", "tcsh"}).code == kExitUsage);
}

TEST_CASE("certs makes what doctor finds good") {
  Shell shell;
  ScratchFolder folder;
  const std::string tls = folder / "tls";
  CHECK(shell.Run({"certs", tls, "--member", "../node"}).code == kExitUsage);
  CHECK(shell.Run({"certs", tls, "--member", "ca"}).code == kExitUsage);
  CHECK_FALSE(fs::exists(tls));
  REQUIRE(shell.Run({"certs", tls, "--member", "node-1=localhost,127.0.0.1", "--client", "ops"}).code == kExitOk);
  CHECK(shell.Run({"certs", tls, "--client", "ops"}).code == kExitFailure);  // never written over
  CHECK(shell.Run({"certs", tls, "--client", "more", "--days", "5"}).code == kExitOk);
  const auto grades = [](const std::vector<Finding>& findings) {
    std::string out;
    for (const Finding& f : findings)
      out += f.grade == Finding::Grade::kOk ? 'o' : f.grade == Finding::Grade::kWarn ? 'w' : 'b';
    return out;
  };
  const auto now = std::chrono::system_clock::now();
  std::vector<Finding> found;
  CheckTlsFiles(tls + "/ops.pem", tls + "/ops.key", tls + "/ca.pem", now, found);
  CHECK(grades(found) == "ooo");
  found.clear();
  CheckTlsFiles(tls + "/more.pem", tls + "/ops.key", "", now, found);
  CHECK(grades(found) == "wb");  // expires soon; the key of another
  found.clear();
  CheckTlsFiles(tls + "/ops.pem", tls + "/ops.key", tls + "/ca.pem", now + std::chrono::hours(24 * 1000), found);
  CHECK(grades(found) == "obo");
  chmod((tls + "/ops.key").c_str(), 0644);
  found.clear();
  CheckTlsFiles(tls + "/missing.pem", tls + "/ops.key", tls + "/ops.key", now, found);
  CHECK(grades(found) == "bbwo");
}

TEST_CASE("clocks are compared with some patience") {
  using Grade = Finding::Grade;
  CHECK(CheckClock("r", 1000000, 999000, 1001000).grade == Grade::kOk);
  CHECK(CheckClock("r", 1002900, 999000, 1001000).grade == Grade::kOk);
  CHECK(CheckClock("r", 1005000, 999000, 1001000).found == "is 4 s ahead of ours");
  CHECK(CheckClock("r", 900000, 999000, 1001000).found == "is 99 s behind ours");
}

// A member's peer port.
class Member : public link::Handler {
 public:
  explicit Member(const std::string& secret) {
    link::HubOptions options;
    options.listen = "127.0.0.1:0";
    options.keyring = secret;
    link::Identity self;
    self.id = NodeId::Must(std::string(16, 'm'));
    self.cluster = ClusterId::Must(std::string(16, 'c'));
    self.name = "node-1";
    self.address = "127.0.0.1:7701";
    self.boot = Boot(1);
    hub_ = link::Hub::Start(options, self, this);
  }
  ~Member() override { hub_->Stop(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(hub_->port()); }
  link::RefusalInfo Admit(const link::Identity&, const std::string&) override { return {}; }
  void OnUp(const link::Identity&) override {}
  void OnDown(const NodeId&, const std::string&) override {}
  void OnDialFailed(const std::string&, const link::RefusalInfo&) override {}
  void OnMessages(const NodeId&, std::vector<PeerMessage>) override {}

 private:
  std::unique_ptr<link::Hub> hub_;
};

TEST_CASE("join tries before it writes") {
  Shell shell;
  ScratchFolder folder;
  Member member("the secret of the cluster");
  WriteFile(folder / "secret", "the secret of the cluster\n");
  WriteFile(folder / "wrong", "another secret of a cluster\n");
  WriteFile(folder / "empty", "\n");
  const std::string data = folder / "data dir";
  const auto join = [&](const std::string& seed, const std::string& secret) {
    return shell.Run(
        {"join", seed, "--secret-file", folder / secret, "--data", data, "--name", "node-4", "--timeout", "2s"});
  };
  const Ran wrong = join(member.address(), "wrong");
  CHECK(wrong.code == kExitFailure);
  CHECK(wrong.err.find("coffer explain WRONG_SECRET") != std::string::npos);
  CHECK(join(member.address(), "missing").code == kExitFailure);
  CHECK(join(member.address(), "empty").code == kExitFailure);
  CHECK(join("127.0.0.1:1", "secret").code == kExitUnavailable);
  CHECK_FALSE(fs::exists(data));
  const Ran r = join(member.address(), "secret");
  REQUIRE(r.code == kExitOk);
  CHECK(r.out == "cofferd --config '" + data + "/cofferd.toml'\n");
  const std::string config = ReadFile(data + "/cofferd.toml");
  CHECK(config.find("join = [\"" + member.address() + "\"]\n") != std::string::npos);
  CHECK(config.find("name = \"node-4\"\n") != std::string::npos);
  CHECK(config.find("data = \"" + data + "\"\n") != std::string::npos);
  CHECK(config.find("the secret of the cluster") == std::string::npos);
  // A folder that is somebody's is left alone.
  CHECK(join(member.address(), "secret").code == kExitFailure);
  fs::remove(data + "/cofferd.toml");
  WriteFile(data + "/identity", "x");
  CHECK(join(member.address(), "secret").err.find("belongs to a node already") != std::string::npos);
  fs::remove(data + "/identity");
  WriteFile(data + "/thesis.doc", "x");
  CHECK(join(member.address(), "secret").err.find("holds thesis.doc") != std::string::npos);
}

}  // namespace
}  // namespace coffer::command
