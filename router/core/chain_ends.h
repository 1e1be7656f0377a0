// The ends of chains that were read lately, as the bytes that answer "the last n". Read again, a node is asked only whether the chain
// still ends there, and need not send them again.
//
// None of it can be stale: an end is used when a node that may answer for the chain (R5.1) has named the same length and hash, and the
// hash of the last entry stands for all entries before it.
#pragma once

#include <compare>
#include <cstdint>
#include <list>
#include <map>
#include <optional>

#include "cluster/ids.h"
#include "cluster/message.h"

namespace coffer::router {

struct ChainEndCounters {
  std::uint64_t bytes = 0;
  std::uint64_t ends = 0;
  std::uint64_t asked = 0;  // reads for which an end was kept
  std::uint64_t used = 0;   // of these, chains that ended there still
};

// Single-threaded. Bounded in bytes; what was not read for longest goes first.
class ChainEnds {
 public:
  // 0: nothing is kept.
  explicit ChainEnds(std::uint64_t bytes) : most_(bytes) {}

  // The last `last` entries of a chain, or all if it has fewer.
  struct Key {
    ZoneId zone;
    BlockId chain;
    std::uint64_t last = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct End {
    std::uint64_t length = 0;  // the head, when it was read
    Digest hash;
    std::uint64_t first = 0;   // position of the first entry
    Payload packed;            // entries up to the head, as the bytes of a coffer.v1.ReadResponse
  };

  std::optional<End> Find(const Key& key);
  void Keep(const Key& key, End end);
  // A found end was the end still.
  void Used() { ++used_; }
  // Of a zone that is deleted.
  void RemoveZone(const ZoneId& zone);
  void Clear();

  std::uint64_t bound() const { return most_; }
  ChainEndCounters Counters() const { return {bytes_, ends_.size(), asked_, used_}; }

 private:
  static constexpr std::uint64_t kBesides = 256;  // what an end costs beside its entries, about
  struct Kept {
    End end;
    std::list<Key>::iterator use;
  };
  static std::uint64_t Cost(const End& end) { return end.packed->size() + kBesides; }
  // What comes next.
  std::map<Key, Kept>::iterator Drop(std::map<Key, Kept>::iterator at);

  const std::uint64_t most_;
  std::uint64_t bytes_ = 0;
  std::uint64_t asked_ = 0;
  std::uint64_t used_ = 0;
  std::map<Key, Kept> ends_;
  std::list<Key> uses_;  // least recently read first
};

}  // namespace coffer::router
