// Which value a full cache gives up: a policy behind one interface, with an adapter for each way to choose.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace coffer::router {

// A place in the owner's table of entries; small numbers, used again after an entry is gone.
using EntryIndex = std::uint32_t;
inline constexpr EntryIndex kNoEntry = std::numeric_limits<EntryIndex>::max();

enum class EvictionKind : std::uint8_t {
  kS3Fifo,    // three FIFO queues: small, cheap, good on most work
  kLru,       // least recently used: good where what was used last is used next
  kWTinyLfu,  // by frequency, behind a small recency window: good on loops and skewed work
  kAdaptive,  // whichever of these does best on a sample of the present work
};

// "s3-fifo", "lru", "w-tinylfu", "adaptive": the words of the configuration, the command line and the metrics.
std::string_view Name(EvictionKind kind);
std::optional<EvictionKind> EvictionKindOf(std::string_view name);
// All names, for messages: "adaptive, s3-fifo, lru or w-tinylfu".
std::string_view EvictionKindNames();

// An entry, as one policy hands it to another.
struct HeldEntry {
  EntryIndex entry;
  std::uint64_t hash;
  std::uint64_t cost;
};

// Keeps the order of the entries of one cache shard; holds neither keys nor values. Not thread-safe: its shard locks.
//
// The owner calls Insert for an entry that is not held, Touch and Remove for those that are, and Evict while it is over its
// bound; the entry returned is no longer held. Costs are of the same unit as the capacity: bytes.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  // `hash` is that of the key, well mixed; it recognises keys that come back. Two keys of one hash are harmless.
  virtual void Insert(EntryIndex entry, std::uint64_t hash, std::uint64_t cost) = 0;
  virtual void Touch(EntryIndex entry) = 0;
  virtual void Remove(EntryIndex entry) = 0;
  // The entry to give up; kNoEntry when none is held.
  virtual EntryIndex Evict() = 0;
  // The entries held, those to be given up first in front.
  virtual std::vector<HeldEntry> Order() const = 0;
  // Takes entries over from another policy, in its order; this one holds none yet.
  virtual void TakeOver(const std::vector<HeldEntry>& order) = 0;
  // Bytes of memory the policy itself takes: nodes, ghosts, sketches.
  virtual std::uint64_t memory_bytes() const = 0;
  // The policy that decides now; differs from the kind only for kAdaptive.
  virtual std::string_view deciding() const = 0;
};

// `capacity` is the bound of the shard, in bytes of cost.
std::unique_ptr<EvictionPolicy> MakePolicy(EvictionKind kind, std::uint64_t capacity);

}  // namespace coffer::router
