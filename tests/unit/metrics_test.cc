// What a scrape says.
#include "node/cofferd/metrics.h"

#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

#include "node/cofferd/metrics_calls.h"
#include "node/cofferd/metrics_cluster.h"
#include "node/cofferd/metrics_node.h"
#include "node/cofferd/metrics_process.h"
#include "node/node_process.h"
#include "router/router_process.h"
#include "tests/test_support.h"

namespace coffer::server {
namespace {

using Catch::Contains;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("samples of one name stand together under one help") {
  MetricsWriter writer;
  writer.Gauge("coffer_a", "The a.", 1.5, {{"kind", "x"}});
  writer.Counter("coffer_b_total", "The b.", 7);
  writer.Gauge("coffer_a", "ignored", 2, {{"kind", "quote\"d"}});
  CHECK(writer.Text() ==
        "# HELP coffer_a The a.\n# TYPE coffer_a gauge\ncoffer_a{kind=\"x\"} 1.5\ncoffer_a{kind=\"quote\\\"d\"} 2\n"
        "# HELP coffer_b_total The b.\n# TYPE coffer_b_total counter\ncoffer_b_total 7\n");
}

TEST_CASE("calls are counted by method and code, their time in buckets") {
  CallMetrics calls;
  calls.OnCallEnd(router::Method::kChunksPut, router::Code::kOk, milliseconds(3));
  calls.OnCallEnd(router::Method::kChunksPut, router::Code::kOk, milliseconds(30));
  calls.OnCallEnd(router::Method::kChunksPut, router::Code::kUnavailable, seconds(60));
  MetricsWriter writer;
  calls.Write(&writer);
  WriteFrontLoad({3, 100, 2}, &writer);
  const std::string text = writer.Text();
  const std::string put = "method=\"coffer.v1.Chunks/Put\"";
  CHECK_THAT(text, Contains("coffer_rpc_calls_total{" + put + ",code=\"OK\"} 2\n"));
  CHECK_THAT(text, Contains("coffer_rpc_calls_total{" + put + ",code=\"UNAVAILABLE\"} 1\n"));
  CHECK_THAT(text, Contains("coffer_rpc_duration_seconds_bucket{" + put + ",le=\"0.0025\"} 0\n"));
  CHECK_THAT(text, Contains("coffer_rpc_duration_seconds_bucket{" + put + ",le=\"0.005\"} 1\n"));
  CHECK_THAT(text, Contains("coffer_rpc_duration_seconds_bucket{" + put + ",le=\"10\"} 2\n"));
  CHECK_THAT(text, Contains("coffer_rpc_duration_seconds_bucket{" + put + ",le=\"+Inf\"} 3\n"));
  CHECK_THAT(text, Contains("coffer_rpc_duration_seconds_count{" + put + "} 3\n"));
  CHECK_THAT(text, Contains("coffer_rpc_duration_seconds_sum{" + put + "} 60.033"));
  CHECK_THAT(text, !Contains("Chunks/Get\""));
  CHECK_THAT(text, Contains("coffer_rpc_under_way 3\n"));
}

v1::Status DegradedStatus() {
  v1::Status status;
  status.set_verdict(v1::VERDICT_DEGRADED);
  status.set_epoch(17);
  status.set_partitions(5040);
  status.set_partitions_writable(5000);
  status.set_min_copies(2);
  status.mutable_copies()->set_two_or_more(100);
  status.mutable_copies()->set_one(7);
  status.mutable_resync()->set_state(v1::RESYNC_STATE_RUNNING);
  status.mutable_resync()->set_bytes_total(1000);
  status.mutable_resync()->set_bytes_done(400);
  auto* up = status.add_members();
  up->set_name("node-1");
  up->set_role(v1::MEMBER_ROLE_STORAGE);
  up->set_state(v1::MEMBER_STATE_UP);
  up->set_disk_used(0.41);
  auto* down = status.add_members();
  down->set_name("node-2");
  down->set_role(v1::MEMBER_ROLE_STORAGE);
  down->set_state(v1::MEMBER_STATE_DOWN);
  status.mutable_force()->set_epoch(12);
  status.mutable_force()->add_given_up("node-3");
  status.mutable_force()->set_merged(30);
  status.mutable_force()->set_lacking(2);
  status.add_invariants()->set_holds(false);
  status.add_invariants()->set_holds(true);
  return status;
}

std::string TextOf(ClusterMetrics* metrics, const v1::Status* status, ClusterMetrics::Clock::time_point now) {
  MetricsWriter writer;
  metrics->Write(status, now, &writer);
  return writer.Text();
}

TEST_CASE("the status, in the words of every screen") {
  ClusterMetrics metrics;
  const v1::Status status = DegradedStatus();
  const std::string text = TextOf(&metrics, &status, {});
  for (const char* line : {"coffer_status_known 1", "coffer_verdict{verdict=\"degraded\"} 1", "coffer_verdict{verdict=\"healthy\"} 0",
                           "coffer_blocks{copies=\"2\"} 100", "coffer_blocks{copies=\"1\"} 7", "coffer_blocks{copies=\"0\"} 0",
                           "coffer_resync_remaining_bytes 600", "coffer_resync_state{state=\"running\"} 1",
                           "coffer_resync_state{state=\"paused\"} 0", "coffer_members{role=\"node\",state=\"up\"} 1",
                           "coffer_members{role=\"node\",state=\"down\"} 1", "coffer_epoch 17", "coffer_partitions_writable 5000",
                           "coffer_forced_epoch 12", "coffer_forced_out_members 1", "coffer_forced_partitions{state=\"merging\"} 0",
                           "coffer_forced_partitions{state=\"merged\"} 30", "coffer_forced_partitions{state=\"lacking\"} 2",
                           "coffer_member_disk_used_ratio{member=\"node-1\"} 0.41", "coffer_invariants_broken 1"}) {
    CHECK_THAT(text, Contains(std::string(line) + "\n"));
  }
  CHECK(TextOf(&metrics, nullptr, {}).find("coffer_status_known 0\n") != std::string::npos);
}

TEST_CASE("the age of too few copies grows until all are whole") {
  ClusterMetrics metrics;
  const ClusterMetrics::Clock::time_point start{seconds(1000)};
  const auto age = [&](const v1::Status& status, seconds at, const char* expected) {
    CAPTURE(at.count());
    CHECK_THAT(TextOf(&metrics, &status, start + at),
               Contains("coffer_under_replicated_oldest_seconds " + std::string(expected) + "\n"));
  };
  v1::Status wanting = DegradedStatus();
  v1::Status whole = DegradedStatus();
  whole.mutable_copies()->set_one(0);
  age(whole, seconds(0), "0");
  age(wanting, seconds(10), "0");
  age(wanting, seconds(25), "15");
  age(whole, seconds(30), "0");
  age(wanting, seconds(40), "0");
  // One node alone has one copy of everything, and that is all right.
  wanting.set_min_copies(1);
  age(wanting, seconds(60), "0");
  wanting.mutable_copies()->set_none(1);
  age(wanting, seconds(70), "0");
  age(wanting, seconds(71), "1");
}

TEST_CASE("what node and router counted") {
  node::NodeMetrics node;
  node.health.free_bytes = 5;
  node.health.since_last_sync = milliseconds(1500);
  node.health.slow = true;
  node.store.group_commits = 9;
  cluster::Layout layout;
  layout.members.resize(3);
  for (std::uint8_t i = 0; i < 3; ++i) layout.members[i].id.bytes[0] = i;
  layout.partitions.resize(4);
  layout.partitions[0] = {1, {0, 1}, {}, {1, 0}};
  layout.partitions[1] = {1, {1}, {}, {2, 1}};
  layout.partitions[2] = {0, {0, 1}, {}, {0, 1}};
  layout.partitions[3] = {0, {0, 2}, {}, {1, 0}};
  router::RouterMetrics router;
  router.core.cache.hits = 3;
  router.core.cache_zones = {{"photos", 2, 5, 4, 1}};
  router.core.disk.emplace().hits = 4;
  router.core.shed_calls = 2;
  router.shed_before_core = 1;
  router.links.dropped_full = 4;
  MetricsWriter writer;
  WriteNodeMetrics(node, &writer);
  WriteNodePartitions(layout, layout.members[1].id, &writer);
  WriteRouterMetrics(router, &writer);
  WriteProcessMetrics("1.2.3", &writer);
  const std::string text = writer.Text();
  for (const char* line : {"coffer_disk_free_bytes 5", "coffer_disk_sync_age_seconds 1.5", "coffer_disk_slow 1", "coffer_store_group_commits_total 9",
                           "coffer_node_partitions{part=\"primary\"} 2",
                           "coffer_node_partitions{part=\"replica\"} 1", "coffer_node_partitions{part=\"arriving\"} 1", "coffer_cache_hits_total 3",
                           "coffer_cache_zone_lookups_total{zone=\"photos\",found=\"yes\"} 2",
                           "coffer_cache_zone_lookups_total{zone=\"photos\",found=\"no\"} 5",
                           "coffer_cache_disk_up 1", "coffer_cache_disk_hits_total 4",
                           "coffer_cache_disk_zone_lookups_total{zone=\"photos\",found=\"yes\"} 4",
                           "coffer_cache_disk_zone_lookups_total{zone=\"photos\",found=\"no\"} 1",
                           "coffer_router_shed_total 3", "coffer_link_dropped_total{side=\"router\",cause=\"queue_full\"} 4",
                           "coffer_build_info{version=\"1.2.3\"} 1"}) {
    CHECK_THAT(text, Contains(std::string(line) + "\n"));
  }
  CHECK_THAT(text, Contains("process_open_fds ") && Contains("process_resident_memory_bytes "));
}

TEST_CASE("alert rules speak of metrics that exist") {
  MetricsWriter writer;
  CallMetrics calls;
  calls.OnCallEnd(router::Method::kChunksGet, router::Code::kOk, milliseconds(1));
  calls.Write(&writer);
  ClusterMetrics cluster;
  const v1::Status status = DegradedStatus();
  cluster.Write(&status, {}, &writer);
  WriteNodeMetrics({}, &writer);
  router::RouterMetrics router;
  router.core.disk.emplace();  // of a router whose cache continues on a disk
  WriteRouterMetrics(router, &writer);
  WriteProcessMetrics("1", &writer);
  const std::string text = writer.Text();
  std::stringstream rules;
  rules << std::ifstream(std::string(COFFER_SOURCE) + "/deploy/alerts.yml").rdbuf();
  const std::string all = rules.str();
  const std::regex name("\\b(coffer|process)_[a-z_]+");
  int names = 0;
  for (std::sregex_iterator it(all.begin(), all.end(), name), end; it != end; ++it, ++names) {
    CAPTURE(it->str());
    CHECK((text.find("\n" + it->str() + " ") != std::string::npos || text.find("\n" + it->str() + "{") != std::string::npos));
  }
  CHECK(names > 15);
}

TEST_CASE("every alert has its section of the runbook") {
  std::stringstream rules;
  rules << std::ifstream(std::string(COFFER_SOURCE) + "/deploy/alerts.yml").rdbuf();
  std::stringstream sections;
  sections << std::ifstream(std::string(COFFER_SOURCE) + "/docs/alerts.md").rdbuf();
  const std::string all = rules.str();
  const std::regex alert("alert: ([A-Za-z]+)");
  int alerts = 0;
  for (std::sregex_iterator it(all.begin(), all.end(), alert), end; it != end; ++it, ++alerts) {
    std::string name = (*it)[1];
    CHECK_THAT(sections.str(), Contains("\n## " + name + "\n"));
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    CHECK_THAT(all, Contains("runbook: docs/alerts.md#" + name + "\n"));
  }
  CHECK(alerts > 15);
}

// Answers GetStatus, later or never.
class StatusApi : public router::Api {
 public:
  struct Handle : router::CallHandle {
    explicit Handle(StatusApi* api) : api(api) {}
    void Cancel() override { api->cancelled = true; }
    StatusApi* api;
  };
  std::shared_ptr<router::CallHandle> Invoke(router::Method method, router::RequestBytes, std::chrono::steady_clock::time_point,
                                             const router::Caller&, std::shared_ptr<router::ResponseSink> sink) override {
    asked = NameOf(method);
    if (!answers) return std::make_shared<Handle>(this);
    answering = std::thread([sink] {
      v1::GetStatusResponse response;
      response.mutable_status()->set_epoch(4);
      sink->OnResponse(response.SerializeAsString());
      sink->OnEnd({});
    });
    return std::make_shared<Handle>(this);
  }
  bool Serving() const override { return true; }
  ~StatusApi() override {
    if (answering.joinable()) answering.join();
  }
  bool answers = true;
  bool cancelled = false;
  std::string asked;
  std::thread answering;
};

TEST_CASE("the status is asked for as by any client, and not for ever") {
  StatusApi api;
  const auto status = AskStatus(&api, seconds(20));
  REQUIRE(status);
  CHECK(status->epoch() == 4);
  CHECK(api.asked == "coffer.v1.Cluster/GetStatus");

  StatusApi silent;
  silent.answers = false;
  CHECK_FALSE(AskStatus(&silent, milliseconds(5)));
  CHECK(silent.cancelled);
}

}  // namespace
}  // namespace coffer::server
