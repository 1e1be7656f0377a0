#include "node/core/forget.h"

namespace coffer::node {

void TellRouters(Context& context, const ZoneId& zone, const std::optional<BlockId>& chunk) {
  const auto view = context.membership->view();
  for (const NodeId& peer : context.linked) {
    const auto member = view->find(peer);
    if (member == view->end() || member->second.facts.role() != coffer::v1::MEMBER_ROLE_ROUTER) continue;
    wire::Peer message;
    message.mutable_forget()->set_zone(zone.str());
    if (chunk) message.mutable_forget()->add_ids(chunk->str());
    context.Send(peer, std::move(message));
  }
}

}  // namespace coffer::node
