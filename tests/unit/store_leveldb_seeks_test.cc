// Reads lead to no merges of LevelDB's tables (node/leveldb_seeks.cc). ThreadSanitizer's build links LevelDB's shared library, which does merge.
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "test_support.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

namespace fs = std::filesystem;

std::set<std::string> Tables(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& file : fs::directory_iterator(folder)) {
    if (file.path().extension() == ".ldb") names.insert(file.path().filename());
  }
  return names;
}

std::string KeyOf(int i) { return "key" + std::to_string(10'000 + i); }

TEST_CASE("leveldb store: reads that look into several tables lead to no merge", "[leveldb]") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/db";
  const std::unique_ptr<const leveldb::FilterPolicy> filter(leveldb::NewBloomFilterPolicy(10));
  leveldb::Options options;
  options.create_if_missing = true;
  options.filter_policy = filter.get();
  const auto open = [&] {
    leveldb::DB* db = nullptr;
    REQUIRE(leveldb::DB::Open(options, path, &db).ok());
    return std::unique_ptr<leveldb::DB>(db);
  };

  auto db = open();
  for (int i = 0; i < 1000; ++i) REQUIRE(db->Put({}, KeyOf(i), std::string(100, 'v')).ok());
  db->CompactRange(nullptr, nullptr);
  // One table above, over the same keys but with two of them: made of LevelDB's log as it opens.
  REQUIRE(db->Put({}, KeyOf(0), "first").ok());
  REQUIRE(db->Put({}, KeyOf(999), "last").ok());
  db.reset();
  db = open();
  const auto before = Tables(path);
  REQUIRE(before.size() == 2);

  // LevelDB allows a table of this size 100 seeks; each of these reads looks into both.
  std::string value;
  for (int i = 1; i < 999; ++i) REQUIRE(db->Get({}, KeyOf(i), &value).ok());
  db.reset();  // waits for a merge that began
  CHECK(Tables(path) == before);
}

}  // namespace
}  // namespace coffer::node
