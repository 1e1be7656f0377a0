#include "node/scrubber.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "node/core/record_check.h"
#include "node/durable_file.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kKeysAtOnce = 256;
constexpr std::uint64_t kHeaderBytes = 128;  // what a record costs beside its value, about
constexpr auto kTellEvery = seconds(1);
constexpr auto kSaveEvery = seconds(10);

}  // namespace

Scrubber::Scrubber(ScrubberOptions options, const StoreReader& store, ScrubSinks& sinks)
    : options_(std::move(options)), store_(store), sinks_(sinks) {
  int error = 0;
  const auto bytes = ReadWholeFile(options_.progress_path, &error);
  const auto found = bytes ? DecodeScrubProgress(options_.owner, *bytes) : std::nullopt;
  progress_ = found.value_or(ScrubProgress{});
  if (progress_.since_ms == 0) progress_.since_ms = options_.wall_ms();
}

Scrubber::~Scrubber() { Stop(); }

void Scrubber::Start() { thread_ = std::thread([this] { Run(); }); }

void Scrubber::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Scrubber::Control(bool paused, Epoch asked) {
  {
    MutexLock lock(mutex_);
    paused_ = paused;
    asked_ = std::max(asked_, asked.value);
  }
  wake_.NotifyAll();
}

std::optional<std::uint64_t> Scrubber::Due() const {
  const auto interval = static_cast<std::uint64_t>(options_.interval.count());
  if (interval == 0) return std::nullopt;
  const std::uint64_t fifth = interval / 5;
  const std::uint64_t spread = (options_.seed ^ progress_.since_ms) * 0x9e3779b97f4a7c15ull >> 48;
  return progress_.since_ms + interval - fifth + (2 * fifth * spread >> 16);
}

coffer::v1::ScrubState Scrubber::State() const {
  if (stands_) return coffer::v1::SCRUB_STATE_PAUSED;
  return progress_.running ? coffer::v1::SCRUB_STATE_RUNNING : coffer::v1::SCRUB_STATE_WAITING;
}

void Scrubber::Run() {
  Tell();
  while (WaitForWork()) ReadNext();
  Save();
}

bool Scrubber::WaitForWork() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const bool asked = asked_ > progress_.asked;
    const auto due = Due();
    const bool turned = std::exchange(stands_, paused_) != paused_;
    if (turned || Clock::now() - told_ >= kSaveEvery) {
      lock.Unlock();
      if (turned) Save();
      Tell();
      lock.Lock();
      continue;
    }
    if (!paused_ && (asked || (!progress_.running && due && options_.wall_ms() >= *due))) {
      const ScrubProgress before = progress_;
      progress_ = {};
      progress_.running = true;
      progress_.since_ms = before.since_ms;
      progress_.last_pass_ms = before.last_pass_ms;
      progress_.asked = asked_;
      free_at_ = {};
      lock.Unlock();
      Save();
      Tell();
      return true;
    }
    if (!paused_ && progress_.running) return true;
    // The clock on the wall may be set: it is looked at again before long.
    wake_.WaitFor(mutex_, seconds(10));
  }
  return false;
}

void Scrubber::ReadNext() {
  if (held_.empty()) {
    if (store_.ReadMetas([&](PartitionId p, const PartitionMeta&) { held_.push_back(p); }) != ReadOutcome::kFound) held_.clear();
    std::sort(held_.begin(), held_.end());
  }
  const auto next = std::lower_bound(held_.begin(), held_.end(), progress_.next);
  if (next == held_.end()) {
    held_.clear();
    progress_.running = false;
    progress_.since_ms = progress_.last_pass_ms = options_.wall_ms();
    rate_ = 0;
    Save();
    return Tell();
  }
  bool unreadable = false;
  if (!ReadPartition(*next, &unreadable)) return;
  progress_.next = *next + 1;
  ++progress_.partitions;
  progress_.blocks += reading_.blocks;
  progress_.bytes += reading_.bytes;
  progress_.bad += reading_.bad;
  progress_.unreadable += unreadable ? 1 : 0;
  reading_ = {};
  sinks_.OnPartitionRead(*next, unreadable);
  if (Clock::now() - saved_ >= kSaveEvery) Save();
  if (Clock::now() - told_ >= kTellEvery) Tell();
}

bool Scrubber::ReadPartition(PartitionId partition, bool* unreadable) {
  reading_ = {};
  std::string after;
  while (true) {
    std::vector<RecordKey> keys;
    const auto outcome = store_.Scan(partition, after, "", [&](const ScannedRecord& record) {
      keys.push_back(record.key);
      return keys.size() < kKeysAtOnce;
    });
    for (const RecordKey& key : keys) {
      const std::uint64_t bytes = ReadRecord(partition, key);
      ++reading_.blocks;
      reading_.bytes += bytes;
      if (!Pace(bytes + kHeaderBytes)) {
        reading_ = {};
        return false;
      }
    }
    if (outcome != ReadOutcome::kFound) {
      *unreadable = true;
      return true;
    }
    if (keys.size() < kKeysAtOnce) return Pace(kHeaderBytes);  // an empty one costs something, too
    after = EncodeKey(keys.back());
  }
}

std::uint64_t Scrubber::ReadRecord(PartitionId partition, const RecordKey& key) {
  RecordHeader header;
  Payload value;
  const auto outcome = store_.Read(partition, key, &header, &value);
  if (outcome == ReadOutcome::kAbsent) return 0;  // deleted meanwhile
  const std::string_view bytes = value ? std::string_view(*value) : std::string_view();
  if (outcome != ReadOutcome::kFound || !RecordVerifies(key, header, bytes)) {
    ++reading_.bad;
    sinks_.OnBadRecord(partition, key);
  }
  return bytes.size();
}

bool Scrubber::Pace(std::uint64_t bytes) {
  MutexLock lock(mutex_);
  if (stopping_ || paused_) return false;
  if (options_.bytes_per_second == 0) return true;
  const auto now = Clock::now();
  const auto cost = std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(options_.bytes_per_second));
  free_at_ = std::max(free_at_, now) + std::chrono::duration_cast<Clock::duration>(cost);
  if (free_at_ - now > milliseconds(20)) {
    const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || paused_; };
    if (wake_.WaitUntil(mutex_, free_at_, ended)) return false;
  }
  lock.Unlock();
  if (Clock::now() - told_ >= kTellEvery) Tell();
  return true;
}

void Scrubber::Save() {
  saved_ = Clock::now();
  // Without it a restart reads some partitions again; the disk's own troubles are told by the store.
  (void)ReplaceFile(options_.progress_path, EncodeScrubProgress(options_.owner, progress_), nullptr);
}

void Scrubber::Tell() {
  const auto now = Clock::now();
  const std::uint64_t bytes = progress_.bytes + reading_.bytes;
  const double span = std::chrono::duration<double>(now - std::exchange(told_, now)).count();
  const std::uint64_t before = std::exchange(told_bytes_, bytes);
  const bool running = State() == coffer::v1::SCRUB_STATE_RUNNING;
  if (running && span > 0 && span < 60 && bytes >= before) rate_ += 0.3 * (static_cast<double>(bytes - before) / span - rate_);
  coffer::v1::ScrubStatus status;
  status.set_state(State());
  status.set_blocks_done(progress_.blocks + reading_.blocks);
  status.set_bytes_done(bytes);
  status.set_partitions_done(progress_.partitions);
  status.set_partitions_total(std::max<std::uint64_t>(held_.size(), progress_.partitions));
  status.set_bad_blocks(progress_.bad + reading_.bad);
  status.set_unreadable_partitions(progress_.unreadable);
  status.set_bytes_per_second(running ? rate_ : 0);
  status.set_last_pass_ms(progress_.last_pass_ms);
  const auto due = Due();
  const std::uint64_t wall = options_.wall_ms();
  if (!progress_.running && due && *due > wall) status.set_next_pass_seconds((*due - wall) / 1000);
  sinks_.OnScrubStatus(status);
}

}  // namespace coffer::node
