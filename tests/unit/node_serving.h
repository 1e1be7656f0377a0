// A node that leads its one partition and serves a zone of it: requests go in by what a router would say.
#pragma once

#include <optional>

#include "node/core/primary.h"
#include "node/core/reads.h"
#include "node/core/writes.h"
#include "unit/node_sides.h"

namespace coffer::node {

class ServingSide : public OneSide {
 public:
  static inline const NodeId kRouter = NodeId::Must("a-router-16bytes");
  static inline const ZoneId kZone = ZoneId::Must("zone-of-16-bytes");
  static inline const BlockId kChain = BlockId::Must("a chain's id, which has 32 bytes");

  // Of the zone, in term 1.
  static wire::DataRequest Request() {
    wire::DataRequest request;
    request.set_zone(kZone.str());
    request.set_term(1);
    request.set_deadline_ms(5000);
    return request;
  }

  Primaries primaries{ctx, {.request_change = [](const wire::ChangeRequest&) {}, .committed = [](PartitionId, Seq) {},
                            .written = [](PartitionId) {}, .ended = [](PartitionId) {}, .repair = {}}};
  Reads reads{ctx, primaries, [](PartitionId) { return std::nullopt; }};
  Writes writes{ctx, primaries, reads, {.repair = {}, .lost = {}, .restored = {}, .zone_marked = {}, .zone_deleted = {}}};
};

// A node that serves its one partition alone.
class ServesAlone : public ServingSide {
 public:
  ServesAlone() {
    Adopt(1, {cluster::Group{0, {0}, Term(1), {0}}}, 1);
    primaries.StartTerm(0);
    SyncAll();
    primaries.Tick();
    SyncAll();
  }
};

}  // namespace coffer::node
