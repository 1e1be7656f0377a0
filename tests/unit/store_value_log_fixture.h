// The keys and values of the tests of the log of values.
#pragma once

#include <cstdint>
#include <map>

#include "node/store.h"
#include "unit/store_samples.h"

namespace coffer::node {

inline constexpr PartitionId kPartition = 1;

// What the store must hold: key -> value; null for a header whose value is gone.
using Model = std::map<std::uint64_t, Payload>;

inline RecordKey KeyOf(std::uint64_t i) {
  return ChunkAt(static_cast<char>('A' + i));
}

inline StoreBatch::PutRecord PutOf(const RecordKey& key, const Payload& value) {
  return {kPartition, key, HeaderFor(value), value};
}

inline Payload LargeValue(Random& random) {
  return MakeValue(RandomBytes(random, 300 + random.Below(2000)));
}

}  // namespace coffer::node
