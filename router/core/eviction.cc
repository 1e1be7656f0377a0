#include "router/core/eviction.h"

#include "router/core/eviction_policies.h"

namespace coffer::router {
namespace {

// Of the capacity, in percent: the shares of the papers.
constexpr unsigned kSmallShare = 10;
constexpr unsigned kWindowShare = 1;

}  // namespace

std::string_view Name(EvictionKind kind) {
  switch (kind) {
    case EvictionKind::kS3Fifo: return "s3-fifo";
    case EvictionKind::kLru: return "lru";
    case EvictionKind::kWTinyLfu: return "w-tinylfu";
    case EvictionKind::kAdaptive: return "adaptive";
  }
  return "unknown";
}

std::optional<EvictionKind> EvictionKindOf(std::string_view name) {
  for (const auto kind : {EvictionKind::kS3Fifo, EvictionKind::kLru, EvictionKind::kWTinyLfu, EvictionKind::kAdaptive}) {
    if (Name(kind) == name) return kind;
  }
  return std::nullopt;
}

std::string_view EvictionKindNames() { return "adaptive, s3-fifo, lru or w-tinylfu"; }

std::unique_ptr<EvictionPolicy> MakePolicy(EvictionKind kind, std::uint64_t capacity) {
  switch (kind) {
    case EvictionKind::kLru: return MakeLru();
    case EvictionKind::kWTinyLfu: return MakeWTinyLfu(capacity, kWindowShare);
    case EvictionKind::kAdaptive: return MakeAdaptive(capacity);
    case EvictionKind::kS3Fifo: break;
  }
  return MakeS3Fifo(capacity, kSmallShare);
}

}  // namespace coffer::router
