// LevelDB's own checksum, computed as everything else here is.
//
// Every byte a store writes passes it once in LevelDB's log and once more in each table it is merged into. Debian builds LevelDB
// without the processor's instruction: a loop over tables that took 7 to 8 % of a node under puts. LevelDB is therefore linked as an
// archive, of which a linker takes only what is still undefined, and its one function of that name is defined here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace leveldb::crc32c {

// CRC32C of what has the checksum `crc`, and of `n` bytes behind it: the same values, so that stores can be read by either.
// Thread-safe.
std::uint32_t Extend(std::uint32_t crc, const char* data, std::size_t n);

}  // namespace leveldb::crc32c
