// The bytes of batches that a simulated store was given: rows in the encoding of the store on disk (node/store_format.h), each batch in a
// frame with its number and a checksum.
//
// It stands for LevelDB's log, which the simulator does not link: a batch that is torn, and all behind it, whether it reached the disk or
// not, did not happen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "node/store.h"

namespace coffer::sim {

std::string EncodeBatch(std::uint64_t number, const node::StoreBatch& batch);

// The batches from number `first` on, one behind the other, up to the first that does not verify.
std::vector<node::StoreBatch> ReadJournal(std::string_view bytes, std::uint64_t first);

}  // namespace coffer::sim
