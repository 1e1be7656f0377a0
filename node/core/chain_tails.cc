#include "node/core/chain_tails.h"

#include <algorithm>
#include <utility>

namespace coffer::node {
namespace {

// What a tail takes beside the bytes of its entries.
constexpr std::uint64_t kTailBytes = 512;
constexpr std::uint64_t kBytesPerEntry = sizeof(EntryMark) + 32;
// One chain takes at most this part of all room.
constexpr std::uint64_t kShare = 8;
// So many entries that nobody may see yet may follow those that are read, before the oldest go.
constexpr std::uint64_t kUncommitted = 128;

}  // namespace

Payload ChainTails::Tail::Packed(std::uint64_t from, std::uint64_t to) const {
  if (from == 0 && to == marks.size()) return base;
  auto bytes = std::make_shared<std::string>();
  const std::uint64_t old = std::min<std::uint64_t>(to, marks.size());
  std::uint64_t size = from < old ? Begin(old) - Begin(from) : 0;
  const std::uint64_t first_fresh = std::max<std::uint64_t>(from, marks.size());
  for (std::uint64_t i = first_fresh; i < to; ++i) size += fresh[i - marks.size()].packed.size();
  bytes->reserve(size);
  if (from < old) bytes->append(*base, Begin(from), Begin(old) - Begin(from));
  for (std::uint64_t i = first_fresh; i < to; ++i) bytes->append(fresh[i - marks.size()].packed);
  return bytes;
}

void ChainTails::Tail::Join() {
  const std::uint64_t from = size() - std::min(size(), wanted);
  Payload joined = Packed(from, size());
  std::vector<EntryMark> kept;
  kept.reserve(size() - from);
  std::uint64_t end = 0;
  for (std::uint64_t i = from; i < size(); ++i) {
    end += i < marks.size() ? marks[i].end - Begin(i) : fresh[i - marks.size()].packed.size();
    kept.push_back({end, seq(i), hash(i)});
  }
  base = std::move(joined);
  marks = std::move(kept);
  fresh.clear();
  fresh_bytes = 0;
  first += from;
}

std::optional<ChainTails::Found> ChainTails::Find(const Chain& chain, std::uint64_t from, std::uint64_t count, Seq limit) {
  const auto it = tails_.find(chain);
  if (it == tails_.end() || it->second.awaited != 0) return std::nullopt;
  Tail& tail = it->second;
  std::uint64_t shown = tail.size();
  while (shown > 0 && tail.seq(shown - 1) > limit) --shown;
  const std::uint64_t length = tail.first + shown;
  if (shown == 0 || from >= length) return std::nullopt;
  const std::uint64_t begin = std::max(from, length - std::min(length, count));
  if (begin < tail.first || begin >= length) return std::nullopt;
  uses_.splice(uses_.end(), uses_, tail.use);
  tail.wanted = std::max(tail.wanted, length - begin);
  Found found{length, tail.hash(shown - 1), begin, nullptr};
  if (shown == tail.size() && !tail.fresh.empty()) {
    tail.Join();
    shown = tail.size();
    Recount(tail);
  }
  found.packed = tail.Packed(begin - tail.first, shown);
  return found;
}

std::uint64_t ChainTails::Expect(const Chain& chain) {
  if (most_ == 0) return 0;
  if (const auto it = tails_.find(chain); it != tails_.end()) Drop(it);
  Tail& tail = tails_[chain];
  tail.awaited = next_ticket_++;
  tail.use = uses_.insert(uses_.end(), chain);
  Recount(tail);
  const std::uint64_t ticket = tail.awaited;
  MakeRoom();
  return ticket;
}

void ChainTails::Fill(const Chain& chain, std::uint64_t ticket, std::uint64_t first, Payload packed, std::vector<EntryMark> marks) {
  const auto it = tails_.find(chain);
  if (it == tails_.end() || it->second.awaited != ticket) return;
  if (marks.empty() || !packed || packed->size() > most_ / kShare) return Drop(it);
  Tail& tail = it->second;
  tail.awaited = 0;
  tail.first = first;
  tail.wanted = marks.size();
  tail.base = std::move(packed);
  tail.marks = std::move(marks);
  Recount(tail);
  MakeRoom();
}

void ChainTails::Note(const StoreBatch& batch) {
  if (tails_.empty()) return;
  const auto touches = [this](PartitionId partition, const RecordKey& key) {
    if (key.kind == RecordKind::kChunk || key.kind == RecordKind::kZone) return;
    if (key.kind == RecordKind::kZoneDrop) return Drop(partition);
    if (const auto it = tails_.find({partition, key.zone, key.id}); it != tails_.end()) Drop(it);
  };
  for (const auto& change : batch.changes) {
    if (const auto* put = std::get_if<StoreBatch::PutRecord>(&change)) {
      if (put->key.kind != RecordKind::kEntry) {
        touches(put->partition, put->key);
        continue;
      }
      const auto it = tails_.find({put->partition, put->key.zone, put->key.id});
      if (it != tails_.end()) Append(it, put->key.position, put->header, put->value);
    } else if (const auto* set = std::get_if<StoreBatch::SetHeader>(&change)) {
      touches(set->partition, set->key);
    } else if (const auto* gone = std::get_if<StoreBatch::DropValue>(&change)) {
      touches(gone->partition, gone->key);
    } else if (const auto* erased = std::get_if<StoreBatch::EraseRecord>(&change)) {
      touches(erased->partition, erased->key);
    } else if (const auto* range = std::get_if<StoreBatch::EraseRange>(&change)) {
      Drop(range->partition);
    } else if (const auto* all = std::get_if<StoreBatch::ErasePartition>(&change)) {
      Drop(all->partition);
    }
  }
}

void ChainTails::Append(Tails::iterator at, std::uint64_t position, const RecordHeader& header, const Payload& value) {
  Tail& tail = at->second;
  // Where the chain does not just go on, and where an entry is so large that copying it costs more than it saves.
  if (tail.awaited != 0 || position != tail.first + tail.size() || !value || value->size() != header.size ||
      header.size > kPackedEntry) {
    return Drop(at);
  }
  EntryPack pack;
  pack.Add(position, header, *value);
  tail.fresh.push_back({pack.Take(), header.stamp.seq, header.hash});
  tail.fresh_bytes += tail.fresh.back().packed.size();
  if (tail.fresh.size() > tail.wanted + kUncommitted) {
    // Nobody has read it for so long that the entries of then are not wanted.
    tail.first += tail.marks.size();
    tail.marks.clear();
    tail.base = std::make_shared<const std::string>();
    tail.fresh_bytes -= tail.fresh.front().packed.size();
    tail.fresh.pop_front();
    ++tail.first;
  }
  Recount(tail);
  MakeRoom();
}

void ChainTails::Recount(Tail& tail) {
  bytes_ -= tail.bytes;
  tail.bytes = kTailBytes + tail.size() * kBytesPerEntry + (tail.base ? tail.base->size() : 0) + tail.fresh_bytes;
  bytes_ += tail.bytes;
}

void ChainTails::Drop(Tails::iterator at) {
  bytes_ -= at->second.bytes;
  uses_.erase(at->second.use);
  tails_.erase(at);
}

void ChainTails::Drop(PartitionId partition) {
  for (auto it = tails_.lower_bound({partition, {}, {}}); it != tails_.end() && it->first.partition == partition;) Drop(it++);
}

void ChainTails::MakeRoom() {
  while (bytes_ > most_ && !uses_.empty()) Drop(tails_.find(uses_.front()));
}

}  // namespace coffer::node
