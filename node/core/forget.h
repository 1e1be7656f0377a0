// Tells the linked routers what was deleted, so that their caches drop it. A hint: the age of cached chunks bounds what is lost
// on the way.
#pragma once

#include <optional>

#include "node/core/context.h"

namespace coffer::node {

// A chunk, or without an id everything of the zone, is deleted for good.
void TellRouters(Context& context, const ZoneId& zone, const std::optional<BlockId>& chunk);

}  // namespace coffer::node
