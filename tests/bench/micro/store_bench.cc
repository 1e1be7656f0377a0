// What the node's store costs by itself: puts in groups of 1 and 64, and gets, of 1 KiB to 1 MiB;
// gets of 100 bytes by how many are stored.
//
// The folder is made under $TMPDIR (or /tmp): point it at the disk that is to be measured.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "cluster/sha256.h"
#include "node/leveldb_store.h"

namespace coffer::node {
namespace {

constexpr PartitionId kPartitions = 64;

// A store in a folder of its own, gone with it.
class Fixture {
 public:
  Fixture() {
    const char* parent = std::getenv("TMPDIR");
    folder_ = std::string(parent ? parent : "/tmp") + "/coffer-store-bench-XXXXXX";
    if (!::mkdtemp(folder_.data())) std::abort();
    LevelDbStoreOptions options;
    options.folder = folder_ + "/store";
    options.owner = NodeId::Must("0123456789abcdef");
    options.reserve_bytes = 0;
    if (const char* bytes = std::getenv("COFFER_BENCH_INLINE_BYTES")) {
      options.inline_value_bytes = std::strtoull(bytes, nullptr, 10);
    }
    auto opened = LevelDbStore::Open(std::move(options));
    if (!opened.store) {
      std::fprintf(stderr, "%s\n", opened.message.c_str());
      std::abort();
    }
    store_ = std::move(opened.store);
  }
  ~Fixture() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  static RecordKey KeyOf(std::uint64_t i) {
    RecordKey key;
    key.kind = RecordKind::kChunk;
    const Digest digest = Sha256({std::string_view(reinterpret_cast<const char*>(&i), sizeof i)});
    key.id = BlockId::Must(digest.view());
    return key;
  }

  // One batch for each of `count` records from `first` on, as that many writers would hand them in; waits for all.
  void Put(std::uint64_t first, std::uint64_t count, const Payload& value) {
    RecordHeader header;
    header.hash = hash_;
    header.size = value->size();
    std::vector<std::promise<bool>> done(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const PartitionId partition = static_cast<PartitionId>((first + i) % kPartitions);
      header.stamp.seq = Seq(first + i + 1);
      StoreBatch batch;
      batch.changes.push_back(StoreBatch::PutRecord{partition, KeyOf(first + i), header, value});
      store_->Write(std::move(batch), [&done, i](bool ok) { done[i].set_value(ok); });
    }
    for (auto& d : done) {
      if (!d.get_future().get()) std::abort();
    }
  }

  bool Get(std::uint64_t i, Payload* value) const {
    RecordHeader header;
    return store_->Read(static_cast<PartitionId>(i % kPartitions), KeyOf(i), &header, value) == ReadOutcome::kFound;
  }

 private:
  std::string folder_;
  const Digest hash_ = Sha256({"any"});
  std::unique_ptr<LevelDbStore> store_;
};

// Bytes that nothing can make smaller.
Payload ValueOf(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint64_t x = 88172645463325252ull;
  for (char& c : bytes) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = static_cast<char>(x);
  }
  return std::make_shared<const std::string>(std::move(bytes));
}

void Put(benchmark::State& state) {
  Fixture store;
  const Payload value = ValueOf(static_cast<std::size_t>(state.range(0)));
  const auto group = static_cast<std::uint64_t>(state.range(1));
  std::uint64_t next = 0;
  for (auto _ : state) {
    store.Put(next, group, value);
    next += group;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(next));
  state.SetBytesProcessed(static_cast<std::int64_t>(next) * state.range(0));
}

// One of so many records at a time, all in turn.
void GetEach(benchmark::State& state, Fixture& store, std::uint64_t records) {
  std::uint64_t next = 0;
  for (auto _ : state) {
    Payload read;
    if (!store.Get(next, &read)) state.SkipWithError("not found");
    next = (next + 7919) % records;
    benchmark::DoNotOptimize(read);
  }
  state.SetItemsProcessed(state.iterations());
}

void Get(benchmark::State& state) {
  Fixture store;
  const Payload value = ValueOf(static_cast<std::size_t>(state.range(0)));
  // 128 MiB: more than LevelDB's caches and less than the machine's.
  const std::uint64_t records = (128u << 20) / static_cast<std::uint64_t>(state.range(0));
  for (std::uint64_t i = 0; i < records; i += 64) store.Put(i, 64, value);
  GetEach(state, store, records);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

// Any of so many small records.
void GetAmong(benchmark::State& state) {
  Fixture store;
  const Payload value = ValueOf(100);
  const auto records = static_cast<std::uint64_t>(state.range(0));
  for (std::uint64_t i = 0; i < records; i += 1000) store.Put(i, 1000, value);
  GetEach(state, store, records);
}

constexpr std::int64_t kSizes[] = {1 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10, 1 << 20};

// A fixed number of rounds: the library would try several numbers, each in a new store that must be filled first.
void Register() {
  for (const std::int64_t size : kSizes) {
    for (const std::int64_t group : {1, 64}) {
      const std::int64_t rounds = std::clamp<std::int64_t>((256 << 20) / (size * group), 4, 4000);
      benchmark::RegisterBenchmark("Put", Put)->ArgNames({"bytes", "group"})->Args({size, group})->Iterations(rounds)
          ->UseRealTime()->Unit(benchmark::kMicrosecond);
    }
  }
  for (const std::int64_t size : kSizes) {
    const std::int64_t rounds = std::clamp<std::int64_t>((1 << 30) / size, 1000, 40'000);
    benchmark::RegisterBenchmark("Get", Get)->ArgNames({"bytes"})->Arg(size)->Iterations(rounds)
        ->UseRealTime()->Unit(benchmark::kMicrosecond);
  }
  for (const std::int64_t records : {10'000, 100'000, 1'000'000}) {
    benchmark::RegisterBenchmark("GetAmong", GetAmong)->ArgNames({"records"})->Arg(records)->Iterations(100'000)->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace coffer::node

int main(int argc, char** argv) {
  coffer::node::Register();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
