// What a node does once its disk says that what it handed over is durable.
#include "cluster/sha256.h"
#include "unit/solo_node.h"

namespace coffer::node {
namespace {

const ZoneId kZone = ZoneId::Must("a-zone-of-sixtee");

// Puts whose batches are still to become durable.
class Unsynced {
 public:
  explicit Unsynced(std::uint64_t puts) {
    std::vector<PeerMessage> messages;
    for (std::uint64_t call = 1; call <= puts; ++call) {
      const std::string body = "chunk " + std::to_string(call);
      const BlockId id = BlockId::Must(Sha256({body}).view());
      wire::DataRequest request = node_.For(kZone, id);
      request.mutable_put_chunk()->set_id(id.str());
      request.set_call(call);
      request.set_term(node_.core->layout()->group(request.partition()).term.value);
      request.set_deadline_ms(5000);
      PeerMessage message;
      *message.header.mutable_data_request() = std::move(request);
      message.bodies = {std::make_shared<const std::string>(body)};
      messages.push_back(std::move(message));
    }
    NodeCore::Output output = node_.core->Receive(node_.now, SoloNode::kRouter, std::move(messages));
    REQUIRE(Answered(output).empty());
    for (auto& persist : output.persist) {
      tickets.push_back(persist.ticket);
      node_.store.Write(std::move(std::get<StoreBatch>(persist.what)), nullptr);
    }
    node_.store.CompleteWrites();
  }

  NodeCore::Output Tell(const std::vector<std::uint64_t>& durable) { return node_.core->Persisted(node_.now, durable); }
  // The calls that are answered well, as they leave.
  static std::vector<std::uint64_t> Answered(const NodeCore::Output& output) {
    std::vector<std::uint64_t> calls;
    for (const Outgoing& o : output.send) {
      if (!o.message.header.has_data_response()) continue;
      CHECK(o.message.header.data_response().status().code() == 0);
      calls.push_back(o.message.header.data_response().call());
    }
    return calls;
  }

  std::vector<std::uint64_t> tickets;

 private:
  SoloNode node_;
};

TEST_CASE("what became durable together is answered together, each in its turn, and nothing behind it") {
  Unsynced node(4);
  REQUIRE(node.tickets.size() == 4);
  const NodeCore::Output three = node.Tell({node.tickets.begin(), node.tickets.begin() + 3});
  CHECK(Unsynced::Answered(three) == std::vector<std::uint64_t>{1, 2, 3});
  CHECK_FALSE(three.stop);
  CHECK(Unsynced::Answered(node.Tell({node.tickets[3]})) == std::vector<std::uint64_t>{4});
  CHECK(Unsynced::Answered(node.Tell({})).empty());
}

TEST_CASE("a persist that is left out among those reported together stops the node") {
  Unsynced node(3);
  REQUIRE(node.tickets.size() == 3);
  const NodeCore::Output gap = node.Tell({node.tickets[0], node.tickets[2]});
  CHECK(Unsynced::Answered(gap) == std::vector<std::uint64_t>{1});
  CHECK(gap.stop);
}

}  // namespace
}  // namespace coffer::node
