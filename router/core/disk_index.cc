#include "router/core/disk_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace coffer::router {
namespace {

// The smaller a segment, the shorter the work of using it again, which is done at once; flash likes them large.
constexpr std::uint64_t kLeastSegment = 4u << 20, kMostSegment = 16u << 20;
constexpr std::uint64_t kSegments = 64;  // of a disk between the two
// Of a segment that is used again, the part that may be written once more: the rest is room won.
constexpr std::uint32_t kMovedShare = 2;
// Of the table's places, those in use: beyond, it would grow when items come and go.
constexpr std::size_t kLoad = 25, kOfLoad = 32;
// No segment takes more than this part of the index: of small chunks it ends early, so that there is always one to use again.
constexpr std::size_t kIndexParts = 8;

std::uint32_t TagOf(const ZoneId& zone) {
  std::uint32_t tag;
  std::memcpy(&tag, zone.bytes.data(), sizeof tag);
  return tag;
}

}  // namespace

std::uint32_t DiskIndex::SegmentBytes(std::uint64_t disk_bytes) {
  return static_cast<std::uint32_t>(std::clamp(disk_bytes / kSegments, kLeastSegment, kMostSegment));
}

std::size_t DiskIndex::MostItems(std::uint64_t index_bytes) {
  constexpr std::size_t kPlace = sizeof(Items::value_type) + 1;
  const std::uint64_t places = std::bit_floor(index_bytes / (kPlace + sizeof(std::uint64_t)));
  return std::max<std::size_t>(places * kLoad / kOfLoad, 2) - 1;
}

DiskIndex::DiskIndex(DiskIndexConfig config, std::uint64_t seed, Instant now)
    : config_(std::move(config)),
      hash_{seed},
      began_(now),
      segment_bytes_(SegmentBytes(config_.bytes)),
      most_items_(MostItems(config_.index_bytes)) {
  if (on()) items_.reserve(most_items_);
}

void DiskIndex::Offer(Instant now, Instant read_at, const ChunkKey& key, Payload chunk) {
  if (!on()) return;
  const std::uint64_t size = kDiskRecordHead + chunk->size();
  if (size > segment_bytes_ / kMovedShare || now - read_at >= config_.max_age) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::max(read_at - began_, Duration(0)));
  const auto at = static_cast<std::uint32_t>(seconds.count());
  const std::uint64_t hash = hash_(key);
  if (const auto held = items_.find(hash); held != items_.end()) {
    if (held->second.read_at == at) return;  // it came from here
    items_.erase(held);
  }
  if (queued_bytes_ + chunk->size() > config_.queued_bytes) {
    ++counters_.skipped;
    return;
  }
  if (!MakeRoom(now, static_cast<std::uint32_t>(size))) return;
  const DiskPlace to = Append(hash, static_cast<std::uint32_t>(size));
  items_[hash] = {to.segment, to.offset, to.size, at, TagOf(key.zone)};
  queued_bytes_ += chunk->size();
  ++counters_.queued;
  writes_.push_back({to, hash, key, std::move(chunk), {}});
}

DiskReadId DiskIndex::Find(Instant now, const ChunkKey& key) {
  if (!on()) return 0;
  auto item = items_.find(hash_(key));
  if (item != items_.end() && now - ReadAt(item->second) >= config_.max_age) {
    items_.erase(item);
    item = items_.end();
  }
  if (item == items_.end() || !item->second.written) {
    ++counters_.misses;
    return 0;
  }
  if (reading_bytes_ + item->second.size > config_.reading_bytes) {
    ++counters_.misses;
    ++counters_.skipped;
    return 0;
  }
  item->second.read_since = true;
  const DiskReadId id = next_read_++;
  const DiskPlace from = PlaceOf(item->second);
  reading_bytes_ += from.size;
  reading_[id] = {from, item->first, key};
  reads_.push_back({id, from, key});
  return id;
}

DiskIndex::Found DiskIndex::Read(DiskReadId id, DiskReadEnd end, Payload chunk) {
  const auto it = reading_.find(id);
  if (it == reading_.end()) return {};
  const Reading reading = it->second;
  reading_.erase(it);
  reading_bytes_ -= reading.from.size;
  const auto item = ItemAt(reading.hash, reading.from);
  if (item != items_.end() && end == DiskReadEnd::kFound) {
    ++counters_.hits;
    return {reading.key, std::move(chunk), ReadAt(item->second)};
  }
  ++counters_.misses;
  // Of a place that is used for something else by now, a record that does not verify says nothing.
  if (item != items_.end() && end == DiskReadEnd::kBadRecord) {
    ++counters_.bad_records;
    items_.erase(item);
  }
  return {reading.key, nullptr, {}};
}

void DiskIndex::Written(const std::vector<DiskWritten>& writes) {
  if (!on()) return;
  for (const DiskWritten& write : writes) {
    queued_bytes_ -= write.bytes;
    --counters_.queued;
    counters_.writes += write.done;
    counters_.bad_records += !write.done;
    const auto item = ItemAt(write.hash, write.to);
    if (item == items_.end()) continue;
    if (write.done) {
      item->second.written = true;
    } else {
      items_.erase(item);
    }
  }
}

void DiskIndex::SwitchOff(std::string because) {
  if (!on()) return;
  off_because_ = std::move(because);
  ForgetAll();
  items_ = {};
  counters_.queued = 0;  // nothing of it will end
}

void DiskIndex::Remove(const ChunkKey& key) {
  if (const auto item = items_.find(hash_(key)); item != items_.end()) items_.erase(item);
}

void DiskIndex::RemoveZone(const ZoneId& zone) {
  absl::erase_if(items_, [tag = TagOf(zone)](const auto& item) { return item.second.zone == tag; });
}

void DiskIndex::Clear() { ForgetAll(); }

void DiskIndex::ForgetAll() {
  items_.clear();
  if (on()) items_.reserve(most_items_);
  full_.clear();
  free_.clear();
  listed_ = 0;
  counters_.bytes = 0;
  for (std::uint32_t i = 0; i < segments_.size(); ++i) {
    segments_[i] = {segments_[i].use + 1, 0, {}};
    if (i != open_) free_.push_back(i);
  }
}

// ---- Room -------------------------------------------------------------------------------------------------------------

bool DiskIndex::MakeRoom(Instant now, std::uint32_t size) {
  while (listed_ >= most_items_) {
    if (full_.empty()) return false;
    Recycle(now, /*keep_what_was_read=*/false);
  }
  const std::uint64_t most = config_.bytes / segment_bytes_;
  const auto grow = [&] {
    segments_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(segments_.size() - 1));
  };
  if (segments_.empty()) {
    segments_.emplace_back();
    open_ = 0;
  }
  const Segment& open = segments_[open_];
  if (open.size + size <= segment_bytes_ && open.hashes.size() <= most_items_ / kIndexParts) return true;
  segments_[open_].hashes.shrink_to_fit();
  full_.push_back(open_);
  if (free_.empty()) grow();
  open_ = free_.back();
  free_.pop_back();
  // One stays free, so that nothing is written over what is still to be moved.
  if (free_.empty() && segments_.size() < most) grow();
  if (free_.empty()) Recycle(now, /*keep_what_was_read=*/true);
  return segments_[open_].size + size <= segment_bytes_;
}

// The oldest segment may be written over after this; orders to move what was read come before.
void DiskIndex::Recycle(Instant now, bool keep_what_was_read) {
  const std::uint32_t oldest = full_.front();
  full_.pop_front();
  std::uint32_t moved = 0;
  const std::vector<std::uint64_t> hashes = std::exchange(segments_[oldest].hashes, {});
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    const auto item = items_.find(hashes[i]);
    if (item == items_.end() || item->second.segment != oldest) continue;
    const DiskPlace from = PlaceOf(item->second);
    const bool keep = keep_what_was_read && item->second.written && item->second.read_since &&
                      now - ReadAt(item->second) < config_.max_age && moved + from.size <= segment_bytes_ / kMovedShare;
    if (!keep) {
      items_.erase(item);
      ++counters_.evictions;
      continue;
    }
    moved += from.size;
    const DiskPlace to = Append(hashes[i], from.size);
    item->second.segment = to.segment;
    item->second.offset = to.offset;
    item->second.written = item->second.read_since = false;
    ++counters_.queued;
    ++counters_.moves;
    writes_.push_back({to, hashes[i], {}, nullptr, from});
  }
  listed_ -= hashes.size();
  counters_.bytes -= segments_[oldest].size;
  segments_[oldest].size = 0;
  ++segments_[oldest].use;
  free_.push_back(oldest);
}

DiskPlace DiskIndex::Append(std::uint64_t hash, std::uint32_t size) {
  Segment& segment = segments_[open_];
  const DiskPlace place{open_, segment.use, segment.size, size};
  segment.size += size;
  segment.hashes.push_back(hash);
  ++listed_;
  counters_.bytes += size;
  return place;
}

DiskIndex::Items::iterator DiskIndex::ItemAt(std::uint64_t hash, const DiskPlace& place) {
  const auto item = items_.find(hash);
  return item != items_.end() && PlaceOf(item->second) == place ? item : items_.end();
}

DiskCounters DiskIndex::Counters() const {
  DiskCounters counters = counters_;
  counters.path = config_.path;
  counters.off_because = off_because_;
  counters.bound_bytes = config_.bytes;
  counters.chunks = items_.size();
  counters.index_bytes = items_.capacity() * (sizeof(Items::value_type) + 1) + segments_.capacity() * sizeof(Segment);
  for (const Segment& segment : segments_) counters.index_bytes += segment.hashes.capacity() * sizeof(std::uint64_t);
  return counters;
}

}  // namespace coffer::router
