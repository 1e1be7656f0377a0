#include "node/leveldb_read.h"

namespace coffer::node {

ReadOutcome OutcomeOf(const leveldb::Status& status) {
  if (status.ok()) return ReadOutcome::kFound;
  if (status.IsNotFound()) return ReadOutcome::kAbsent;
  if (status.IsCorruption()) return ReadOutcome::kDamaged;
  return ReadOutcome::kFailed;
}

leveldb::ReadOptions VerifiedRead() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

leveldb::ReadOptions VerifiedScan() {
  leveldb::ReadOptions options = VerifiedRead();
  options.fill_cache = false;
  return options;
}

}  // namespace coffer::node
