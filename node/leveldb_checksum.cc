#include "node/leveldb_checksum.h"

#include "cluster/checksum.h"

namespace leveldb::crc32c {

std::uint32_t Extend(std::uint32_t crc, const char* data, std::size_t n) { return coffer::Crc32cBehind(crc, {data, n}); }

}  // namespace leveldb::crc32c
