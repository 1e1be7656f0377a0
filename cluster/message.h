// A message between members: a small header, and the values that travel beside it uncopied.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "coffer/internal/v1/peer.pb.h"

namespace coffer {

namespace wire = internal::v1;

// The bytes of a value, shared by everyone who hands it on; immutable.
using Payload = std::shared_ptr<const std::string>;

// A message and its bodies, in the order the header's kind defines.
struct PeerMessage {
  wire::Peer header;
  std::vector<Payload> bodies;
};

// A message with a destination.
struct Outgoing {
  NodeId to;
  PeerMessage message;
};

}  // namespace coffer
