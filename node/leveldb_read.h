// How the store reads LevelDB.
#pragma once

#include <leveldb/options.h>
#include <leveldb/status.h>

#include <string_view>

#include "node/store.h"

namespace coffer::node {

// How a read of LevelDB ended, in the store's words.
ReadOutcome OutcomeOf(const leveldb::Status& status);
// Every read verifies the checksums of LevelDB's blocks.
leveldb::ReadOptions VerifiedRead();
// For scans: they leave the block cache alone.
leveldb::ReadOptions VerifiedScan();
inline leveldb::Slice AsSlice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
inline std::string_view AsView(const leveldb::Slice& slice) {
  return {slice.data(), slice.size()};
}

}  // namespace coffer::node
