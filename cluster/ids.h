// Strong types for everything that is counted, ordered or named, so that an epoch can't be passed for a term.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace coffer {

// A number with a meaning. Compares only with its own kind.
template <class Tag>
struct Counter {
  std::uint64_t value = 0;

  constexpr Counter() = default;
  constexpr explicit Counter(std::uint64_t v) : value(v) {}
  constexpr auto operator<=>(const Counter&) const = default;
  constexpr Counter Next() const { return Counter(value + 1); }
};

// Version of the layout.
using Epoch = Counter<struct EpochTag>;
// Fencing token of a partition: the epoch at which its group last changed or was renewed.
using Term = Counter<struct TermTag>;
// Position in a partition's order of writes; the first write is 1, 0 means none.
using Seq = Counter<struct SeqTag>;
// How often a member's process has started on its data folder; the first start is 1.
using Boot = Counter<struct BootTag>;
// A member's own counter by which it refutes suspicion (SWIM).
using Incarnation = Counter<struct IncarnationTag>;

// Number of a partition, below Layout::partition_count().
using PartitionId = std::uint32_t;

// A fixed number of opaque bytes with a meaning.
template <class Tag, std::size_t N>
struct Bytes {
  static constexpr std::size_t kSize = N;
  std::array<std::uint8_t, N> bytes{};

  bool operator==(const Bytes&) const = default;
  // As of the bytes one by one. Eight at a time, for tables of thousands of ids compare little else.
  std::strong_ordering operator<=>(const Bytes& other) const {
    static_assert(N % 8 == 0);
    for (std::size_t at = 0; at < N; at += 8) {
      const std::uint64_t a = BigEndian(at), b = other.BigEndian(at);
      if (a != b) return a <=> b;
    }
    return std::strong_ordering::equal;
  }
  bool IsZero() const { return *this == Bytes{}; }
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), N}; }
  std::string str() const { return std::string(view()); }

  // Nothing if `raw` has another length.
  static std::optional<Bytes> From(std::string_view raw) {
    if (raw.size() != N) return std::nullopt;
    Bytes b;
    std::memcpy(b.bytes.data(), raw.data(), N);
    return b;
  }
  // As From, for bytes whose length has been checked; zeros otherwise.
  static Bytes Must(std::string_view raw) { return From(raw).value_or(Bytes{}); }
  // The eight bytes from `at` on as a number, in the same order.
  std::uint64_t BigEndian(std::size_t at) const {
    std::uint64_t number;
    std::memcpy(&number, bytes.data() + at, sizeof number);
    return std::endian::native == std::endian::little ? __builtin_bswap64(number) : number;
  }
};

// A member: random, made at first start, kept in its data folder. An address is not an identity.
using NodeId = Bytes<struct NodeIdTag, 16>;
// A cluster: random, made when it is formed.
using ClusterId = Bytes<struct ClusterIdTag, 16>;
// A zone: random, made when it is created. Zeros: the registry of zones.
using ZoneId = Bytes<struct ZoneIdTag, 16>;
// A chunk or chain: chosen by the client.
using BlockId = Bytes<struct BlockIdTag, 32>;
// A SHA-256.
using Digest = Bytes<struct DigestTag, 32>;

// Lower-case hexadecimal.
std::string Hex(std::string_view raw);
// Nothing unless `hex` is an even number of hexadecimal digits.
std::optional<std::string> FromHex(std::string_view hex);
// The first 8 hexadecimal digits, for people.
template <class Tag, std::size_t N>
std::string Short(const Bytes<Tag, N>& b) {
  return Hex(b.view().substr(0, 4));
}

// Names one write of one partition: the seq-th write, ordered by the primary that ran with `boot` in `term`.
struct Stamp {
  Term term;
  Boot boot;
  Seq seq;
  auto operator<=>(const Stamp&) const = default;
};

// A clock that the owner of a core feeds; it can't be read, so no core can depend on real time.
struct FedClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<FedClock>;
  static constexpr bool is_steady = true;
};
using Duration = FedClock::duration;
using Instant = FedClock::time_point;
inline constexpr Instant kNever = Instant::max();

// A number's hash for unordered containers. Never for placement.
struct BytesHash {
  template <class Tag, std::size_t N>
  std::size_t operator()(const Bytes<Tag, N>& b) const {
    std::size_t h;
    std::memcpy(&h, b.bytes.data(), sizeof h);
    return h;
  }
};

}  // namespace coffer
