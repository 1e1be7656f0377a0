// The calls of the Cluster service as commands make them.
#pragma once

#include <functional>
#include <string>

#include "client/command/command.h"
#include "coffer/v1/cluster.pb.h"

namespace coffer::command {

// The status now; throws CommandError when it can't be had.
v1::Status FetchStatus(Session& session);

// Hands every status to `on_status` on the calling thread, in order (a slow caller misses the oldest). Ends when `on_status`
// returns false (returns true), or when `limit` has passed (returns false; no limit: never). Throws CommandError when the
// stream ends for good.
bool FollowStatus(Session& session, std::optional<std::chrono::milliseconds> limit,
                  const std::function<bool(const v1::Status&)>& on_status);

// The member of this name, or null.
const v1::MemberStatus* FindMember(const v1::Status& status, const std::string& name);

}  // namespace coffer::command
