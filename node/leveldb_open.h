// Opening LevelDB, and telling an operator why it can't be.
#pragma once

#include <leveldb/db.h>

#include <memory>
#include <string>

#include "node/disk_env.h"
#include "node/leveldb_store.h"
#include "node/value_log.h"

namespace coffer::node {

struct OpenedDb {
  std::unique_ptr<leveldb::DB> db;   // null on error
  std::unique_ptr<ValueLog> values;  // its large values; to be destroyed before it
  StoreOpenError error = StoreOpenError::kNone;
  std::string message;
};

// Opens or creates the DB and its log of values, checks that it is this node's and of a format known, and finishes
// erasures that were under way. `env` and what `leveldb_options` names must outlive them; `env` is the DB's, too.
OpenedDb OpenDb(const LevelDbStoreOptions& options, DiskEnv* env, leveldb::Options leveldb_options);

}  // namespace coffer::node
