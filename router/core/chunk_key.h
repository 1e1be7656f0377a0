// The name under which a router's cache keeps a chunk, in memory and on disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cluster/ids.h"

namespace coffer::router {

// A later zone of the same name has another id, so it can't see an earlier one's chunks.
struct ChunkKey {
  ZoneId zone;
  BlockId block;
  bool operator==(const ChunkKey&) const = default;
};

// Multiply and fold over the words of both ids, in the manner of wyhash. `seed` makes the places of keys unpredictable for
// whoever chooses ids.
struct ChunkKeyHash {
  std::uint64_t seed;

  std::size_t operator()(const ChunkKey& key) const {
    static_assert(ZoneId::kSize % 8 == 0 && BlockId::kSize % 8 == 0);
    std::uint64_t hash = seed;
    const auto fold = [](std::uint64_t a, std::uint64_t b) {
      const auto product = static_cast<unsigned __int128>(a) * b;
      return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    };
    const auto add = [&](const std::uint8_t* bytes, std::size_t size) {
      for (std::size_t i = 0; i < size; i += 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes + i, 8);
        hash = fold(hash ^ word, 0x9e3779b97f4a7c15) ^ word;
      }
    };
    add(key.zone.bytes.data(), ZoneId::kSize);
    add(key.block.bytes.data(), BlockId::kSize);
    return fold(hash ^ seed, 0xbf58476d1ce4e5b9);
  }
};

}  // namespace coffer::router
