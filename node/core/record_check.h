// Whether the bytes of a record are what its header says (invariant I14: no byte leaves or enters a node unverified).
#pragma once

#include <string_view>

#include "node/store.h"

namespace coffer::node {

// True when `value` verifies against the content hash in `header`; a mark without bytes has nothing to verify.
bool RecordVerifies(const RecordKey& key, const RecordHeader& header, std::string_view value);

}  // namespace coffer::node
