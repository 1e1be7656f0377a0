// What is kept of a message while the hub has it, should it not take it.
#pragma once

#include <cstdint>
#include <optional>

#include "cluster/message.h"

namespace coffer::router {

// What NotSent needs of a message that is about to be handed to the hub, which takes it along.
struct SendReceipt {
  explicit SendReceipt(const wire::Peer& header) : kind(header.kind_case()) {
    if (kind == wire::Peer::kDataRequest) call = header.data_request().call();
    if (kind == wire::Peer::kLayoutChangeRequest) call = header.layout_change_request().call();
  }
  // Nothing for kinds nobody waits for.
  std::optional<wire::Peer> Header() const {
    wire::Peer header;
    if (kind == wire::Peer::kDataRequest) {
      header.mutable_data_request()->set_call(call);
    } else if (kind == wire::Peer::kLayoutChangeRequest) {
      header.mutable_layout_change_request()->set_call(call);
    } else {
      return std::nullopt;
    }
    return header;
  }

  wire::Peer::KindCase kind;
  std::uint64_t call = 0;
};

}  // namespace coffer::router
