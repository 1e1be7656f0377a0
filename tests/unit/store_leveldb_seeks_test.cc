// Reads lead to no merges of LevelDB's tables (node/leveldb_seeks.cc). ThreadSanitizer's build links LevelDB's shared library, which does merge.
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>

#include <future>
#include <memory>
#include <string>

#include "test_support.h"
#include "unit/store_faults.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

std::string KeyOf(int i) { return "key" + std::to_string(10'000 + i); }

TEST_CASE("leveldb store: reads that look into several tables lead to no merge", "[leveldb]") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/db";
  const std::unique_ptr<const leveldb::FilterPolicy> filter(leveldb::NewBloomFilterPolicy(10));
  leveldb::Options options;
  options.create_if_missing = true;
  options.filter_policy = filter.get();
  std::unique_ptr<leveldb::DB> db;
  const auto open = [&] {
    db.reset();
    leveldb::DB* opened = nullptr;
    REQUIRE(leveldb::DB::Open(options, path, &opened).ok());
    db.reset(opened);
  };

  open();
  for (int i = 0; i < 1000; ++i) REQUIRE(db->Put({}, KeyOf(i), std::string(100, 'v')).ok());
  db->CompactRange(nullptr, nullptr);
  // Two tables above, over the same keys but with two of them: made of LevelDB's log as it opens. One alone would be moved down as it is.
  for (int table = 0; table < 2; ++table) {
    REQUIRE(db->Put({}, KeyOf(0), "first").ok());
    REQUIRE(db->Put({}, KeyOf(999), "last").ok());
    open();
  }
  const auto before = FilesLike(path, ".ldb");
  REQUIRE(before.size() == 3);

  // LevelDB allows a table of this size 100 seeks; each of these reads looks into all three.
  std::string value;
  for (int i = 1; i < 999; ++i) REQUIRE(db->Get({}, KeyOf(i), &value).ok());
  // A merge would stand before this in the one thread that LevelDB has for them.
  std::promise<void> after_merges;
  options.env->Schedule([](void* promise) { static_cast<std::promise<void>*>(promise)->set_value(); }, &after_merges);
  after_merges.get_future().wait();
  CHECK(FilesLike(path, ".ldb") == before);
}

}  // namespace
}  // namespace coffer::node
