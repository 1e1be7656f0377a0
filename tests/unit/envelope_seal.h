// Envelopes made by protobuf, with the checksum that peer.proto asks for.
#pragma once

#include "cluster/checksum.h"
#include "cluster/message.h"
#include "coffer/internal/v1/peer.pb.h"

namespace coffer::link {

inline void Seal(wire::Envelope* envelope) {
  std::string sums;
  for (const auto& body : envelope->bodies()) {
    for (const std::uint32_t word : {static_cast<std::uint32_t>(body.size()), Crc32c({body})}) {
      for (int i = 0; i < 4; ++i) sums.push_back(static_cast<char>(word >> 8 * i));
    }
  }
  envelope->set_checksum(Crc32c({envelope->peer().SerializeAsString(), sums}));
}

}  // namespace coffer::link
