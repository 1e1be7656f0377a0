// The checker of acknowledgements notices one that has too few copies.
#include "sim/check_acks.h"

#include "sim/sim_steps.h"
#include "tests/test_support.h"

namespace coffer::sim {
namespace {

AckChecker::Acknowledgement Given(std::size_t in_sync, std::uint32_t min_copies, std::uint32_t copies) {
  return {.what = "a write", .by = "node-1", .decided = true, .in_sync = in_sync, .min_copies = min_copies, .copies = copies};
}

}  // namespace

TEST_CASE("I12: one copy is acknowledged only alone, and where one is enough") {
  CHECK_FALSE(AckChecker::Judge(Given(1, 1, 1)));
  CHECK_FALSE(AckChecker::Judge(Given(2, 2, 2)));
  CHECK_FALSE(AckChecker::Judge(Given(1, 2, 2)));  // the second one is a learner's
  CHECK(AckChecker::Judge(Given(1, 2, 1)));
  CHECK(AckChecker::Judge(Given(2, 1, 1)));
  CHECK(AckChecker::Judge(Given(1, 1, 0)));
  auto undecided = Given(2, 2, 2);
  undecided.decided = false;
  CHECK(AckChecker::Judge(undecided));
}

TEST_CASE("I12: what is acknowledged is looked for on the disks") {
  SimCluster cluster(3, 4);
  LayoutChecker layouts;
  AckChecker acks(cluster, layouts);
  cluster.on_durable = [&](std::size_t node, const node::NodeDurable& before) { CHECK_FALSE(layouts.Changed(cluster, node, before)); };
  FormCluster(cluster, 2);
  const auto layout = cluster.Newest();
  NodeId client;
  client.bytes.fill(200);
  const NodeId primary = layout->members[layout->group(0).primary].id;
  PeerMessage put, answer;
  auto* request = put.header.mutable_data_request();
  request->set_call(1);
  request->set_partition(0);
  request->set_term(layout->group(0).term.value);
  request->set_zone(std::string(16, '\3'));
  request->set_deadline_ms(1000);
  request->mutable_put_chunk()->set_id(std::string(32, '\4'));
  put.bodies = {std::make_shared<const std::string>("value")};
  answer.header.mutable_data_response()->set_call(1);
  std::uint64_t answered = 0;
  cluster.clients[client] = [&](const NodeId&, PeerMessage message) { answered += message.header.data_response().status().code() == 0; };

  CHECK_FALSE(acks.Sent(client, primary, put));
  CHECK(acks.Sent(primary, client, answer));  // nobody has it
  cluster.SendAs(client, *cluster.IndexOf(primary), put);
  cluster.RunUntil([&] { return answered == 1; }, std::chrono::seconds(1));
  REQUIRE(answered == 1);
  CHECK_FALSE(acks.Sent(primary, client, answer));
  const std::size_t other = 1 - *cluster.IndexOf(primary);
  cluster.Kill(other);
  CHECK_FALSE(acks.Sent(primary, client, answer));  // what is on the disk of a dead node is a copy
  cluster.Wipe(other);
  CHECK(acks.Sent(primary, client, answer));
  acks.DiskLost();
  CHECK_FALSE(acks.Sent(primary, client, answer));  // the primary can't know yet
}

}  // namespace coffer::sim
