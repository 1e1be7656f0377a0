// Gossip from a linked peer that says anything: the machine stays within its bounds and believes nothing false of itself.
#include <chrono>

#include "cluster/membership.h"
#include "fuzz_target.h"

using namespace coffer;
using namespace coffer::cluster;

namespace {

NodeId Peer(std::uint8_t n) {
  NodeId id;
  id.bytes[15] = static_cast<std::uint8_t>(n % 4 + 1);
  return id;
}

wire::MemberFacts Facts(std::uint8_t n) {
  wire::MemberFacts facts;
  facts.set_id(Peer(n).str());
  facts.set_name("p" + std::to_string(n % 4));
  facts.set_address("peer:" + std::to_string(n % 4 + 1));
  facts.set_role(1);
  facts.set_boot(1);
  return facts;
}

}  // namespace

// Each step: a byte that chooses what happens, a byte that chooses the peer, and what the step needs.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  MembershipConfig config;
  config.max_members = 16;
  Instant now(std::chrono::seconds(100));
  Membership membership(config, Facts(0), Incarnation(100), choices.Byte(), now);
  std::uint64_t incarnation = 100;
  for (int step = 0; step < 200 && !choices.empty(); ++step) {
    const std::uint8_t what = choices.Byte();
    const NodeId peer = Peer(static_cast<std::uint8_t>(1 + choices.Byte() % 3));
    switch (what % 5) {
      case 0: membership.LinkUp(now, peer); break;
      case 1: membership.LinkDown(now, peer, what >= 128); break;
      case 2:
        now += std::chrono::milliseconds(choices.Word());
        membership.Tick(now);
        break;
      default: {
        wire::Peer message;
        if (message.ParseFromString(std::string(choices.Piece()))) membership.Receive(now, peer, message);
      }
    }
    const auto view = membership.view();
    fuzz::Require(view->size() <= config.max_members + 1, "members within the bound");
    const auto self = view->find(Peer(0));
    fuzz::Require(self != view->end() && membership.IsAlive(Peer(0)), "a member believes that it lives");
    fuzz::Require(self->second.incarnation.value >= incarnation, "an incarnation never falls");
    incarnation = self->second.incarnation.value;
  }
  return 0;
}
