// The checker of bounds notices what is too full; and a node says of each of its queues how full it is.
#include "sim/check_bounds.h"

#include <map>

#include "sim/sim_steps.h"
#include "tests/test_support.h"

namespace coffer::sim {
namespace {

// A write of a chunk of its own.
PeerMessage Put(const cluster::Layout& layout, std::uint64_t call) {
  PeerMessage put;
  auto* request = put.header.mutable_data_request();
  request->set_call(call);
  request->set_partition(0);
  request->set_term(layout.group(0).term.value);
  request->set_zone(std::string(16, '\3'));
  request->set_deadline_ms(1000);
  request->mutable_put_chunk()->set_id(std::string(32, static_cast<char>(call)));
  put.bodies = {std::make_shared<const std::string>("value")};
  return put;
}

}  // namespace

TEST_CASE("I18: a queue beyond its bound is noticed") {
  CHECK_FALSE(WhyTooFull("node-1", {"requests", 4, 4}));
  const auto why = WhyTooFull("node-1", {"requests", 5, 4});
  REQUIRE(why);
  CHECK(*why == "node-1 holds 5 requests; the bound is 4 (I18)");
}

TEST_CASE("I18: beyond what may wait for a partition, requests are refused") {
  SimCluster cluster(5, 1);
  cluster.max_waiting = 3;
  FormCluster(cluster, 2);
  const auto layout = cluster.Newest();
  const std::size_t primary = *cluster.IndexOf(layout->members[layout->group(0).primary].id);
  NodeId client;
  client.bytes.fill(200);
  std::map<int, int> answers;  // by code
  cluster.clients[client] = [&](const NodeId&, PeerMessage message) { ++answers[message.header.data_response().status().code()]; };
  const auto fill = [&](const std::string& what) {
    std::uint64_t size = 0;
    cluster.node(primary).core->VisitQueues([&](const QueueFill& queue) {
      if (queue.what == what) size = queue.size;
    });
    return size;
  };
  // Nothing reaches its disk, so nothing is answered.
  cluster.node(primary).disk.hung_until = cluster.now() + std::chrono::seconds(2);
  cluster.RunFor(std::chrono::milliseconds(10));
  for (std::uint64_t call = 1; call <= 5; ++call) cluster.SendAs(client, primary, Put(*layout, call));
  cluster.RunFor(std::chrono::milliseconds(100));
  CHECK(answers == std::map<int, int>{{8, 2}});
  CHECK(fill("requests that wait for a partition") == 3);
  CHECK(fill("writes that are not committed") == 3);
  CHECK(fill("bytes of writes that are under way") == 15);
  CHECK_FALSE(WhyTooFull(cluster));
  // Who asked waits no more; what he left behind still does.
  cluster.RunFor(std::chrono::milliseconds(1200));
  CHECK(fill("requests that wait for a partition") == 0);
  cluster.SendAs(client, primary, Put(*layout, 6));
  cluster.RunFor(std::chrono::milliseconds(100));
  CHECK(answers == std::map<int, int>{{8, 3}});
  cluster.RunFor(std::chrono::seconds(2));
  CHECK(fill("writes that are not committed") == 0);
  CHECK(fill("bytes of writes that are under way") == 0);
  const auto now = cluster.Newest();
  cluster.SendAs(client, *cluster.IndexOf(now->members[now->group(0).primary].id), Put(*now, 7));
  cluster.RunFor(std::chrono::milliseconds(100));
  CHECK(answers == std::map<int, int>{{0, 1}, {8, 3}});
}

}  // namespace coffer::sim
