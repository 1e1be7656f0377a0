// Changes of the layout that an operator asks for: what they would move, and whether a layout carries them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/layout.h"
#include "cluster/membership.h"
#include "cluster/planner.h"
#include "coffer/v1/cluster.pb.h"
#include "router/core/status.h"

namespace coffer::router {

// The planner's words for a public change.
cluster::OperatorChange ToOperatorChange(const v1::LayoutChange& change);
cluster::OperatorChange ToOperatorChange(const v1::ControlResyncRequest& request);

// Members as the planner wants them: storage and witnesses, from gossip and layout.
std::map<NodeId, cluster::PlannerMember> PlannerMembers(const StatusInputs& inputs);

// What the change would do to the current layout; changes nothing. Pure.
v1::PlanResponse BuildPlan(const StatusInputs& inputs, const v1::LayoutChange& change);

// Whether the layout carries the change already. `before` is the layout when it was asked for.
bool Holds(const cluster::Layout& before, const cluster::Layout& now, const cluster::OperatorChange& change);

// Where a block lives, with the arithmetic. Pure.
v1::WhereResponse BuildWhere(const cluster::Layout& layout, const ZoneId& zone, const BlockId& block);

}  // namespace coffer::router
