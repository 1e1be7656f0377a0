// The parts BuildStatus is put together from; for the files of the status only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "router/core/status.h"

namespace coffer::router {

// The member's report if it is young enough to speak of now; else null.
const wire::NodeReport* FreshReport(const StatusInputs& inputs, const NodeId& id);

// Absent when nothing moves.
std::optional<v1::ResyncStatus> BuildResync(const StatusInputs& inputs);

// Absent if the layout was never forced.
std::optional<v1::ForceStatus> BuildForce(const StatusInputs& inputs);

// A number with thin groups of thousands, as people read it: 41 210.
std::string Grouped(std::uint64_t number);

// "node-1", "node-1 and node-2", "node-1, node-2 and node-3".
std::string Listed(const std::vector<std::string>& names);

// Fills verdict, code, reason and next action in from the rest of the status, which must be complete.
void Judge(const StatusInputs& inputs, v1::Status* status);

}  // namespace coffer::router
