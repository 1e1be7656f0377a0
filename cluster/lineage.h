// The life of a data folder, as its owner tells it and as a peer remembers it: how an old copy that was put back is told from
// the folder it was copied from (rule R8).
//
// A copy shares all starts up to the one it was made in, and from then on makes its own: the boot counters may be equal or
// even higher, the nonces are others. Within one start the step tells how far it had come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"

namespace coffer::cluster {

// 128 random bits, made at a start of the process. Zeros: by a version that made none.
using BootNonce = Bytes<struct BootNonceTag, 16>;

// A moment in the life of a data folder.
struct FolderMark {
  Boot boot;
  BootNonce nonce;
  std::uint64_t step = 0;  // rises while this start runs and makes promises
  bool operator==(const FolderMark&) const = default;
};

// The starts of one data folder, oldest first, boot counters without a gap. The last one is the running one; of the others
// `step` is the highest they reached. Starts older than what every peer remembers are dropped.
using Lineage = std::vector<FolderMark>;

// Starts kept at most: a process that is started over and over while a peer is away.
inline constexpr std::size_t kMaxLineage = 1024;

// Adds a start. `nonce` must be new.
void AddStart(Lineage* lineage, const BootNonce& nonce);

// Why the folder with this lineage is not the one that `remembered` was seen of, for people; nothing if it continues it. What
// lies before the lineage's first start counts as continued: it was dropped because every peer remembered later ones.
std::optional<std::string> WhyNotContinued(const Lineage& lineage, const FolderMark& remembered);

}  // namespace coffer::cluster
