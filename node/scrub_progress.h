// How far a scrub has come, and the bytes it is kept as (node/scrubber.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cluster/ids.h"

namespace coffer::node {

// A pass as it is kept.
struct ScrubProgress {
  bool running = false;
  PartitionId next = 0;           // the first partition not read yet
  std::uint64_t partitions = 0;   // read in this pass, or in the last one
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bad = 0;
  std::uint64_t unreadable = 0;
  std::uint64_t since_ms = 0;     // end of the last pass, or the first start
  std::uint64_t last_pass_ms = 0; // end of the last whole pass; 0: none
  std::uint64_t asked = 0;        // epoch of the last request that was followed
  bool operator==(const ScrubProgress&) const = default;
};
std::string EncodeScrubProgress(const NodeId& owner, const ScrubProgress& progress);
// Nothing when the bytes do not verify, or are another's: the node has read nothing yet.
std::optional<ScrubProgress> DecodeScrubProgress(const NodeId& owner, std::string_view bytes);

}  // namespace coffer::node
