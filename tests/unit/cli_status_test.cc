// The status screen, character by character, and the commands that show it.
#include <thread>

#include "client/command/format.h"
#include "client/command/status_screen.h"
#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

using test::Ran;
using test::Shell;

v1::MemberStatus& AddMember(v1::Status& s, const std::string& name, v1::MemberRole role = v1::MEMBER_ROLE_STORAGE) {
  v1::MemberStatus& m = *s.add_members();
  m.set_name(name);
  m.set_role(role);
  m.set_state(v1::MEMBER_STATE_UP);
  m.set_address(name + (role == v1::MEMBER_ROLE_ROUTER ? ":7711" : ":7701"));
  m.set_epoch(17);
  m.set_version("0.1.0");
  m.set_up_seconds(3 * 86400 + 5);
  m.set_p99_seconds(0.0012);
  m.set_gets_per_second(402);
  m.set_puts_per_second(31.4);
  if (role != v1::MEMBER_ROLE_STORAGE) return m;
  m.set_primaries(1680);
  m.set_replicas(1680);
  m.set_data_bytes(13314398618);
  m.set_blocks(1234567);
  m.set_disk_used(0.41);
  m.set_weight(100);
  return m;
}

v1::Status Healthy() {
  v1::Status s;
  s.set_cluster_name("demo");
  s.set_epoch(17);
  s.set_verdict(v1::VERDICT_HEALTHY);
  s.set_reason("All data has two copies and every member is up.");
  s.set_next_action("Nothing to do.");
  for (const char* name : {"node-1", "node-2", "node-3"}) {
    AddMember(s, name);
    s.add_may_stop_now(name);
    s.add_voters(name);
  }
  AddMember(s, "router-1", v1::MEMBER_ROLE_ROUTER);
  s.mutable_copies()->set_two_or_more(2169474);
  for (const char* sentence :
       {"all 5040 partitions have a primary", "all members on epoch 17", "0 blocks below 1 copy"}) {
    v1::Invariant& i = *s.add_invariants();
    i.set_sentence(sentence);
    i.set_holds(true);
  }
  s.set_partitions(5040);
  s.set_min_copies(2);
  s.set_chunk_limit_bytes(4u << 20);
  s.set_time_ms(1700056931000);  // 14:02:11 UTC
  return s;
}

v1::Status Degraded() {
  v1::Status s = Healthy();
  s.set_verdict(v1::VERDICT_DEGRADED);
  s.set_reason("node-3 is unreachable for 12 s. All data readable and writable.");
  s.set_next_action("Resync is running; nothing to do.");
  s.set_code("NODE_DOWN");
  v1::MemberStatus& m = *s.mutable_members(2);
  m.set_state(v1::MEMBER_STATE_DOWN);
  m.set_state_seconds(12);
  s.clear_may_stop_now();
  v1::ResyncStatus& r = *s.mutable_resync();
  r.set_state(v1::RESYNC_STATE_RUNNING);
  r.set_cause("node-3 down");
  r.set_partitions_done(1545);
  r.set_partitions_total(3360);
  r.set_bytes_done(3328599654);
  r.set_bytes_total(7194070220);
  r.set_bytes_per_second(134217728);
  r.set_eta_seconds(29);
  r.set_limit_bytes_per_second(256u << 20);
  s.mutable_copies()->set_two_or_more(2128264);
  s.mutable_copies()->set_one(41210);
  return s;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// What every screen promises, whatever it shows.
void CheckShape(const std::string& text, int width, int height) {
  INFO(text);
  const auto lines = Lines(text);
  CHECK(text.back() == '\n');
  if (height > 0) CHECK(static_cast<int>(lines.size()) <= height);
  for (const std::string& l : lines) {
    CHECK(static_cast<int>(Columns(l)) <= width);
    CHECK((l.empty() || l.back() != ' '));
    CHECK(l.find('\033') == std::string::npos);
  }
}

TEST_CASE("a healthy cluster") {
  const std::string text = RenderStatus(Healthy(), {80, 24, false});
  CheckShape(text, 80, 24);
  CHECK(text ==
        "coffer  demo  epoch 17  3 nodes 1 router                            14:02:11 UTC\n"
        "HEALTHY  All data has two copies and every member is up.\n"
        "         Nothing to do.\n"
        "NODE     ADDRESS       STATE PRIMARY REPLICA  DATA DISK GET/s PUT/s P99 ms UP\n"
        "node-1   node-1:7701   up       1680    1680 12.4G  41%   402    31    1.2 3d\n"
        "node-2   node-2:7701   up       1680    1680 12.4G  41%   402    31    1.2 3d\n"
        "node-3   node-3:7701   up       1680    1680 12.4G  41%   402    31    1.2 3d\n"
        "router-1 router-1:7711 up     router       -     -    -   402    31    1.2 3d\n"
        "COPIES  2: 100%   1: 0   0: 0    MAY STOP NOW  node-1, node-2, node-3\n"
        "all 5040 partitions have a primary · all members on epoch 17 · 0 blocks below 1\n"
        "copy\n");
}

TEST_CASE("a degraded cluster with resync") {
  const std::string text = RenderStatus(Degraded(), {80, 24, false});
  CheckShape(text, 80, 24);
  CHECK(text ==
        "coffer  demo  epoch 17  3 nodes 1 router                            14:02:11 UTC\n"
        "DEGRADED  node-3 is unreachable for 12 s. All data readable and writable.\n"
        "          Resync is running; nothing to do.   why: coffer explain NODE_DOWN\n"
        "NODE     ADDRESS       STATE    PRIMARY REPLICA  DATA DISK GET/s PUT/s P99 ms UP\n"
        "node-1   node-1:7701   up          1680    1680 12.4G  41%   402    31    1.2 3d\n"
        "node-2   node-2:7701   up          1680    1680 12.4G  41%   402    31    1.2 3d\n"
        "node-3   node-3:7701   down 12s       -       -     -    -     -     -      -  -\n"
        "router-1 router-1:7711 up        router       -     -    -   402    31    1.2 3d\n"
        "RESYNC  cause node-3 down  #########...........   46%  ETA 0:29\n"
        "        3.1 of 6.7 GiB  1 545 of 3 360 partitions  128 MiB/s  limit 256 MiB/s\n"
        "COPIES  2: 98.1%   1: 1.8% (41 210)   0: 0    MAY STOP NOW  none\n"
        "all 5040 partitions have a primary · all members on epoch 17 · 0 blocks below 1\n"
        "copy\n");
}

TEST_CASE("an unavailable cluster names what is not true first") {
  v1::Status s = Degraded();
  s.set_verdict(v1::VERDICT_UNAVAILABLE);
  s.set_code("PARTITIONS_UNAVAILABLE");
  s.set_reason(
      "node-2 and node-3 are down. 1680 of 5040 partitions can be neither read nor written until one of them returns.");
  s.set_next_action(
      "Start node-2 or node-3. If both are lost for good, see: coffer plan force --missing node-2,node-3");
  s.mutable_members(1)->set_state(v1::MEMBER_STATE_DOWN);
  s.mutable_members(1)->set_state_seconds(3700);
  s.clear_resync();
  s.mutable_copies()->set_none(700000);
  s.mutable_invariants(0)->set_sentence("all 5040 partitions have a primary (1680 have none)");
  s.mutable_invariants(0)->set_holds(false);
  const std::string text = RenderStatus(s, {80, 24, false});
  CheckShape(text, 80, 24);
  const auto lines = Lines(text);
  CHECK(lines[1] == "UNAVAILABLE  node-2 and node-3 are down. 1680 of 5040 partitions can be neither");
  CHECK(lines[2] == "             read nor written until one of them returns.");
  CHECK(lines[3] == "             Start node-2 or node-3. If both are lost for good, see: coffer plan");
  CHECK(lines[4] == "             force --missing node-2,node-3");
  CHECK(lines[5] == "             why: coffer explain PARTITIONS_UNAVAILABLE");
  CHECK(text.find("node-2   node-2:7701   down 1h") != std::string::npos);
  CHECK(text.find("NOT TRUE: all 5040 partitions have a primary (1680 have none)\nall members") != std::string::npos);
  CHECK(text.find("0: 24.3% (700 000)") != std::string::npos);
}

TEST_CASE("resync that does not run says why") {
  v1::Status s = Degraded();
  SECTION("paused") {
    s.mutable_resync()->set_state(v1::RESYNC_STATE_PAUSED);
    const std::string text = RenderStatus(s, {80, 24, false});
    CheckShape(text, 80, 24);
    CHECK(text.find("RESYNC  cause node-3 down  #########...........   46%\n"
                    "        paused by an operator: coffer resync resume\n"
                    "        3.1 of 6.7 GiB  1 545 of 3 360 partitions  limit 256 MiB/s\n") != std::string::npos);
  }
  SECTION("paused while nothing moves") {
    s.clear_resync();
    s.set_resync_paused(true);
    const std::string text = RenderStatus(s, {80, 24, false});
    CheckShape(text, 80, 24);
    CHECK(text.find("\nRESYNC  paused by an operator: coffer resync resume\n") != std::string::npos);
  }
  SECTION("waiting") {
    s.mutable_resync()->set_state(v1::RESYNC_STATE_WAITING);
    s.mutable_resync()->set_starts_in_seconds(7);
    CHECK(RenderStatus(s, {80, 24, false}).find("        starts in 7 s unless it returns\n") != std::string::npos);
  }
  SECTION("blocked") {
    s.mutable_resync()->set_state(v1::RESYNC_STATE_BLOCKED);
    s.mutable_resync()->set_last_error(
        "the disk of node-2 is full up to its reserve; it refuses the copies of 312 partitions");
    const std::string text = RenderStatus(s, {80, 24, false});
    CheckShape(text, 80, 24);
    CHECK(text.find("        blocked: the disk of node-2 is full up to its reserve; it refuses the\n"
                    "        copies of 312 partitions\n") != std::string::npos);
  }
}

TEST_CASE("nothing is called complete before it is") {
  v1::Status s = Degraded();
  s.mutable_copies()->set_two_or_more(100000000);
  s.mutable_copies()->set_one(1);
  s.mutable_resync()->set_bytes_done(7194070219);
  const std::string text = RenderStatus(s, {80, 0, false});
  CHECK(text.find("2: 99.9%") != std::string::npos);
  CHECK(text.find(" 99%") != std::string::npos);
  CHECK(text.find("100%") == std::string::npos);
  // All bytes are there, and not all partitions.
  s.mutable_resync()->set_bytes_done(7194070220);
  CHECK(RenderStatus(s, {80, 0, false}).find("###################.   99%") != std::string::npos);
}

TEST_CASE("thirty nodes fit, and those in trouble are among the shown") {
  v1::Status s = Healthy();
  s.clear_members();
  for (int i = 1; i <= 30; ++i) AddMember(s, "node-" + std::to_string(i));
  s.mutable_members(28)->set_state(v1::MEMBER_STATE_DOWN);
  s.mutable_members(28)->set_state_seconds(65);
  s.mutable_members(29)->set_read_only(true);
  s.mutable_members(27)->set_disk_slow(true);
  s.clear_may_stop_now();
  for (int i = 1; i <= 30; ++i) s.add_may_stop_now("node-" + std::to_string(i));
  const std::string text = RenderStatus(s, {80, 24, false});
  CheckShape(text, 80, 24);
  INFO(text);
  CHECK(Lines(text).size() == 24);
  CHECK(text.find("node-29 node-29:7701 down 1m") != std::string::npos);
  CHECK(text.find("node-30 node-30:7701 read-only") != std::string::npos);
  CHECK(text.find("node-28 node-28:7701 slow disk") != std::string::npos);
  CHECK(text.find("… and 14 more, all up: coffer nodes\n") != std::string::npos);
  CHECK(text.find("MAY STOP NOW  node-1, node-2, node-3") != std::string::npos);
  CHECK(text.find(", node-3 +27\n") != std::string::npos);
  // Without a height all are shown.
  CHECK(Lines(RenderStatus(s, {80, 0, false})).size() > 34);
}

TEST_CASE("long names, texts without words and odd sizes stay within the screen") {
  v1::Status s = Degraded();
  s.set_cluster_name(std::string(200, 'c'));
  s.mutable_members(0)->set_name(std::string(63, 'n'));
  s.mutable_members(0)->set_address(std::string(253, 'a') + ":65535");
  s.mutable_members(1)->set_name("knoten-übergrößenträger-münchen-süd");
  s.mutable_members(1)->set_data_bytes(~0ull);
  s.mutable_members(1)->set_gets_per_second(1e12);
  s.mutable_members(1)->set_p99_seconds(1e6);
  s.mutable_members(1)->set_up_seconds(~0ull);
  s.set_reason(std::string(300, 'r'));
  s.set_next_action(std::string(300, 'x'));
  s.set_code(std::string(90, 'C'));
  s.mutable_resync()->set_cause(std::string(300, 'z'));
  s.mutable_resync()->set_bytes_total(~0ull);
  s.add_may_stop_now(std::string(120, 'm'));
  for (const int width : {40, 60, 79, 80, 81, 100, 132, 250}) {
    for (const int height : {0, 12, 24, 50}) CheckShape(RenderStatus(s, {width, height, false}), width, height);
  }
  CheckShape(RenderStatus(v1::Status(), {80, 24, false}), 80, 24);
}

TEST_CASE("colours are where they mean something, and change no character") {
  const std::string plain = RenderStatus(Degraded(), {80, 24, false});
  std::string coloured = RenderStatus(Degraded(), {80, 24, true});
  CHECK(coloured.find("\033[33mDEGRADED\033[0m") != std::string::npos);
  CHECK(coloured.find("\033[31mnode-3") != std::string::npos);
  CHECK(RenderStatus(Healthy(), {80, 24, true}).find("\033[32mHEALTHY\033[0m") != std::string::npos);
  for (std::size_t at = 0; (at = coloured.find('\033')) != std::string::npos;)
    coloured.erase(at, coloured.find('m', at) - at + 1);
  CHECK(coloured == plain);
}

TEST_CASE("coffer status: exit codes and forms") {
  Shell shell;
  shell.cluster->status = Healthy();
  Ran r = shell.Run({"status"});
  CHECK(r.code == kExitOk);
  CHECK(r.out == RenderStatus(Healthy(), {80, 0, false}));
  CHECK(r.err.empty());
  shell.cluster->status = Degraded();
  CHECK(shell.Run({"status"}).code == kExitDegraded);
  r = shell.Run({"status", "-o", "json"});
  CHECK(r.code == kExitDegraded);
  CHECK(r.out.find("\"verdict\":\"VERDICT_DEGRADED\"") != std::string::npos);
  CHECK(Lines(r.out).size() == 1);
  shell.cluster->status.set_verdict(v1::VERDICT_UNAVAILABLE);
  CHECK(shell.Run({"status"}).code == kExitUnavailable);
}

TEST_CASE("colours only on a terminal and without NO_COLOR") {
  Shell shell;
  shell.cluster->status = Healthy();
  CHECK(shell.Run({"status"}).out.find('\033') == std::string::npos);
  shell.out_is_tty = true;
  CHECK(shell.Run({"status"}).out.find("\033[32m") != std::string::npos);
  shell.environment["NO_COLOR"] = "1";
  CHECK(shell.Run({"status"}).out.find('\033') == std::string::npos);
}

TEST_CASE("coffer status --watch") {
  Shell shell;
  shell.cluster->status = Healthy();
  SECTION("one object per line") {
    const Ran r = shell.Run({"status", "--watch", "--count", "1", "-o", "json"});
    CHECK(r.code == kExitOk);
    CHECK(Lines(r.out).size() == 1);
  }
  SECTION("live on a terminal: drawn in place") {
    shell.out_is_tty = true;
    const Ran r = shell.Run({"status", "--watch", "--count", "1"});
    CHECK(r.out.find("\033[2J\033[H") == 0);
    CHECK(r.out.find("\033[K\n") != std::string::npos);
  }
  SECTION("piped: a snapshot per change, however often the status comes") {
    std::thread changes([&] {
      shell.router->WaitFor([&] { return shell.router->open_streams("coffer.v1.Cluster/WatchStatus") == 1; });
      for (int i = 0; i < 3; ++i) {
        v1::WatchStatusResponse same;
        *same.mutable_status() = Healthy();
        same.mutable_status()->set_time_ms(1700056932000);
        shell.router->Push("coffer.v1.Cluster/WatchStatus", [&](auto&) { return same.SerializeAsString(); });
      }
      v1::WatchStatusResponse changed;
      *changed.mutable_status() = Degraded();
      shell.router->Push("coffer.v1.Cluster/WatchStatus", [&](auto&) { return changed.SerializeAsString(); });
    });
    const Ran r = shell.Run({"status", "--watch", "--count", "2"});
    changes.join();
    CHECK(r.code == kExitDegraded);
    CHECK(r.out == RenderStatus(Healthy(), {80, 0, false}) + "\n" + RenderStatus(Degraded(), {80, 0, false}));
  }
}

TEST_CASE("coffer nodes and where") {
  Shell shell;
  shell.cluster->status = Healthy();
  const Ran r = shell.Run({"nodes"});
  CHECK(r.code == kExitOk);
  CHECK(Lines(r.out).size() == 5);
  CHECK(r.out.find("1 234 567") != std::string::npos);
  CHECK(Lines(shell.Run({"nodes", "-o", "json"}).out).size() == 4);
  const Ran where = shell.Run({"where", std::string(64, 'a')});
  CHECK(where.code == kExitOk);
  CHECK(where.out.find("partition  42 of 5040\nwhy        35322 mod 5040 = 42\nprimary    node-1\n") == 0);
  CHECK(shell.Run({"where", "log"}).code == kExitUsage);
  CHECK(shell.Run({"where", "--chain", "log"}).code == kExitOk);
}

TEST_CASE("coffer wait") {
  Shell shell;
  shell.cluster->status = Healthy();
  CHECK(shell.Run({"wait", "--for=healthy"}).code == kExitOk);
  CHECK(shell.Run({"wait", "--for=members:4"}).code == kExitOk);
  CHECK(shell.Run({"-o", "json", "wait", "--for=healthy"}).out.find("\"met\":true") != std::string::npos);
  shell.cluster->status = Degraded();
  const Ran r = shell.Run({"wait", "--for=healthy", "--timeout", "200ms"});
  CHECK(r.code == kExitTimeout);
  CHECK(r.err.find("DEGRADED node-3 is unreachable") != std::string::npos);
  CHECK(shell.Run({"wait", "--for=members:4", "--timeout", "100ms"}).code == kExitTimeout);
  CHECK(shell.Run({"-o", "json", "wait", "--for=members:4", "--timeout", "100ms"}).out.find("\"met\":false") != std::string::npos);
  CHECK(shell.Run({"wait", "--for=sunshine"}).code == kExitUsage);
  CHECK(shell.Run({"wait", "--for=members:many"}).code == kExitUsage);
  CHECK(shell.Run({"wait"}).code == kExitUsage);
  shell.cluster->status.mutable_members(2)->set_state(v1::MEMBER_STATE_DRAINED);
  CHECK(shell.Run({"wait", "--for=drained:node-3"}).code == kExitOk);
}

TEST_CASE("coffer wait --for=drained knows who is no member, and who was forgotten meanwhile") {
  Shell shell;
  shell.cluster->status = Healthy();
  const Ran nobody = shell.Run({"wait", "--for=drained:nope", "--timeout", "40s"});
  CHECK(nobody.code == kExitNotFound);
  CHECK(nobody.err.find("there is no member nope") != std::string::npos);
  bool drained = false;
  SECTION("as one that was being drained") {
    drained = true;
    shell.cluster->status.mutable_members(2)->set_state(v1::MEMBER_STATE_DRAINING);
  }
  SECTION("as one that was given up with what it held") { shell.cluster->status.mutable_members(2)->set_state(v1::MEMBER_STATE_DOWN); }
  std::thread work([&] {
    shell.router->WaitFor([&] { return shell.router->open_streams("coffer.v1.Cluster/WatchStatus") == 1; });
    v1::WatchStatusResponse without;
    *without.mutable_status() = Healthy();
    without.mutable_status()->mutable_members()->DeleteSubrange(2, 1);
    shell.router->Push("coffer.v1.Cluster/WatchStatus", [&](auto&) { return without.SerializeAsString(); });
  });
  CHECK(shell.Run({"wait", "--for=drained:node-3", "--timeout", "40s"}).code == (drained ? kExitOk : kExitNotFound));
  work.join();
}

TEST_CASE("coffer doctor") {
  Shell shell;
  AddMember(shell.cluster->status, "only");
  shell.cluster->status.mutable_copies()->set_one(10);
  const Ran single = shell.Run({"doctor"});
  CHECK(single.out.find("warn  copies: one storage node") != std::string::npos);
  CHECK(single.out.find("blocks have one copy") == std::string::npos);
  shell.cluster->status = Healthy();
  Ran r = shell.Run({"doctor"});
  CHECK(r.out.find("ok    router " + shell.router->address() + ": answers") != std::string::npos);
  // The fake's clock stands still.
  CHECK(r.out.find("warn  clock of") != std::string::npos);
  CHECK(r.out.find("ok    votes: 3 of 3 voters answer") != std::string::npos);
  CHECK(r.code == kExitDegraded);
  shell.cluster->status = Degraded();
  shell.cluster->status.mutable_members(0)->set_disk_used(0.97);
  shell.cluster->status.mutable_members(1)->set_disk_slow(true);
  shell.cluster->status.mutable_members(1)->set_epoch(16);
  shell.cluster->status.mutable_members(1)->set_version("0.2.0");
  r = shell.Run({"doctor"});
  CHECK(r.code == kExitFailure);
  CHECK(r.out.find("bad   member node-3: down 12s") != std::string::npos);
  CHECK(r.out.find("bad   disk of node-1: 97% full") != std::string::npos);
  CHECK(r.out.find("warn  disk of node-2: takes long to sync") != std::string::npos);
  CHECK(r.out.find("warn  layout of node-2: epoch 16, the cluster's is 17") != std::string::npos);
  CHECK(r.out.find("warn  versions: differ: 0.1.0: node-1 router-1; 0.2.0: node-2") != std::string::npos);
  CHECK(r.out.find("warn  votes: 2 of 3") != std::string::npos);
  CHECK(r.out.find("warn  copies: 41 210 blocks have one copy") != std::string::npos);
  CHECK(shell.Run({"doctor", "--router", "127.0.0.1:1"}).code == kExitUnavailable);
}

TEST_CASE("layout losses says what force could not find") {
  Shell shell;
  CHECK(shell.Run({"layout", "losses"}).out.find("was never used on this cluster") != std::string::npos);
  v1::ForceStatus& force = *shell.cluster->status.mutable_force();
  force.set_epoch(12);
  force.add_given_up("node-3");
  CHECK(shell.Run({"layout", "losses"}).out == "The layout was last forced with epoch 12. Given up for good: node-3.\n"
                                               "Every partition had a copy that was up to date by the layout it was forced from: nothing "
                                               "acknowledged under that was lost.\n");
  force.set_merging(4);
  force.add_waits_for("node-2");
  CHECK(shell.Run({"layout", "losses"}).out.find("4 partitions are still being merged; they wait for node-2, which does not answer.\n") !=
        std::string::npos);
  force.set_merging(0);
  force.set_merged(2);
  force.set_lacking(1);
  force.set_set_aside(7);
  v1::PartitionLoss& one = *force.add_losses();
  one.set_partition(9);
  one.set_epoch(12);
  one.set_missing_from(3);
  one.set_missing_to(5);
  one.set_last_write(8);
  force.add_losses()->set_partition(10);
  CHECK(shell.Run({"status"}).out.find("FORCED  epoch 12, 2 merged from survivors, 1 lack writes: coffer layout losses") != std::string::npos);
  CHECK(shell.Run({"explain", "FORCED"}).code == kExitOk);
  const Ran r = shell.Run({"layout", "losses"});
  CHECK(r.code == kExitOk);
  CHECK(r.out.find("2 partitions are served from survivors that were not up to date; 1 of them lack writes") != std::string::npos);
  CHECK(r.out.find("writes 3 to 5") != std::string::npos);
  CHECK(r.out.find("nothing up to the last found") != std::string::npos);
  CHECK(shell.Run({"-o", "json", "layout", "losses"}).out.find("\"given_up\"") != std::string::npos);
}

}  // namespace
}  // namespace coffer::command
