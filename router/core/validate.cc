#include "router/core/validate.h"

#include <algorithm>

#include "cluster/ids.h"

namespace coffer::router {
namespace {

constexpr char kTokenVersion = '1';

// Collects violations; one method per kind of rule, so that all say it in the same words.
class Checker {
 public:
  explicit Checker(std::uint64_t chunk_limit) : chunk_limit_(chunk_limit) {}

  void Zone(std::string_view field, std::string_view name) {
    if (IsZoneName(name)) return;
    Add(field, name.empty() ? "is required: the name of the zone"
                            : "must be 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit");
  }
  void Id(std::string_view field, std::string_view id) {
    if (id.size() != BlockId::kSize) Add(field, "must be 32 bytes, got " + std::to_string(id.size()));
  }
  void OptionalZoneId(std::string_view field, std::string_view id) {
    if (id.empty()) return;
    const auto zone = ZoneId::From(id);
    if (!zone || zone->IsZero()) Add(field, "must be empty or 16 bytes that are not all zero, got " + std::to_string(id.size()));
  }
  void Count(std::string_view field, std::size_t count, std::size_t least, std::size_t most) {
    if (count < least || count > most) {
      const std::string range = least == 0 ? "at most " : std::to_string(least) + " to ";
      Add(field, "must be " + range + std::to_string(most) + " of them, got " + std::to_string(count));
    }
  }
  void Chunk(std::string_view field, std::size_t size) {
    if (size > chunk_limit_) {
      Add(field, "is over the chunk limit of " + std::to_string(chunk_limit_) + " bytes (chunk_limit_bytes), got " +
                     std::to_string(size) + "; split it into several chunks");
    }
  }
  template <class Ids>
  void Ids32(const std::string& field, const Ids& ids) {
    Count(field, ids.size(), 0, kMaxIdsPerRequest);
    for (int i = 0; i < ids.size(); ++i) Id(field + "[" + std::to_string(i) + "]", ids[i]);
  }
  void Add(std::string_view field, std::string rule) {
    if (violations_.size() < kMaxViolations) violations_.push_back({std::string(field), std::move(rule)});
  }

  void Check(const v1::PutRequest& r) {
    Zone("zone", r.zone());
    Id("id", r.id());
    Chunk("data", r.data().size());
    OptionalZoneId("zone_id", r.zone_id());
  }
  void Check(const v1::PutManyRequest& r) {
    Zone("zone", r.zone());
    OptionalZoneId("zone_id", r.zone_id());
    Count("chunks", r.chunks_size(), 0, kMaxIdsPerRequest);
    std::uint64_t total = 0;
    for (int i = 0; i < r.chunks_size(); ++i) {
      total += r.chunks(i).data().size();
    }
    if (total > kMaxMessageBytes) {
      Add("chunks", "together hold " + std::to_string(total) + " bytes, the limit of a message is " +
                        std::to_string(kMaxMessageBytes) + "; send them in several requests");
    }
  }
  void Check(const v1::GetRequest& r) {
    Zone("zone", r.zone());
    Id("id", r.id());
  }
  void Check(const v1::GetManyRequest& r) {
    Zone("zone", r.zone());
    Count("ids", r.ids_size(), 0, kMaxIdsPerRequest);
  }
  void Check(const v1::HasRequest& r) {
    Zone("zone", r.zone());
    Ids32("ids", r.ids());
  }
  void Check(const v1::DeleteRequest& r) {
    Zone("zone", r.zone());
    Id("id", r.id());
    OptionalZoneId("zone_id", r.zone_id());
  }
  void Check(const v1::AppendRequest& r) {
    Zone("zone", r.zone());
    OptionalZoneId("zone_id", r.zone_id());
    Id("chain", r.chain());
    if (!(r.position() == 0 && r.predecessor().empty())) Id("predecessor", r.predecessor());
    Count("entries", r.entries_size(), 1, kMaxEntriesPerAppend);
    std::uint64_t total = 0;
    for (int i = 0; i < r.entries_size(); ++i) {
      if (r.entries(i).signature().size() > kMaxSignatureBytes) {
        Add("entries[" + std::to_string(i) + "].signature", "must be at most " + std::to_string(kMaxSignatureBytes) +
                                                                " bytes, got " +
                                                                std::to_string(r.entries(i).signature().size()));
      }
      total += r.entries(i).body().size();
    }
    Chunk("entries", total);
  }
  void Check(const v1::ReadRequest& r) {
    Zone("zone", r.zone());
    Count("queries", r.queries_size(), 1, kMaxQueriesPerRead);
    for (int i = 0; i < r.queries_size(); ++i) {
      const v1::ChainQuery& query = r.queries(i);
      const std::string at = "queries[" + std::to_string(i) + "]";
      Id(at + ".chain", query.chain());
      if (query.part_case() == v1::ChainQuery::PART_NOT_SET) Add(at + ".part", "is required: first, last or range");
      if (query.has_range() && query.range().to() != 0 && query.range().to() < query.range().from()) {
        Add(at + ".range.to", "must not be below from (0 means to the end)");
      }
    }
    Freshness(r.consistency());
  }
  void Check(const v1::HeadRequest& r) {
    Zone("zone", r.zone());
    Ids32("chains", r.chains());
    Freshness(r.consistency());
  }
  void Check(const v1::WatchRequest& r) {
    Zone("zone", r.zone());
    Id("chain", r.chain());
  }
  void Check(const v1::ChainsDeleteRequest& r) {
    Zone("zone", r.zone());
    Id("chain", r.chain());
    OptionalZoneId("zone_id", r.zone_id());
  }
  void Check(const v1::ZonesCreateRequest& r) {
    Zone("name", r.name());
    OptionalZoneId("id", r.id());
  }
  void Check(const v1::ZonesListRequest& r) {
    if (r.page_size() > kMaxPageSize) {
      Add("page_size", "must be at most " + std::to_string(kMaxPageSize) + ", got " + std::to_string(r.page_size()));
    }
    if (!FromPageToken(r.page_token())) Add("page_token", "is not one that a previous response carried");
    if (!r.name().empty()) Zone("name", r.name());
  }
  void Check(const v1::ZonesResolveRequest& r) { Zone("zone", r.zone()); }
  void Check(const v1::ZonesDeleteRequest& r) {
    Zone("name", r.name());
    OptionalZoneId("id", r.id());
  }
  void Check(const v1::GetStatusRequest&) {}
  void Check(const v1::WatchStatusRequest&) {}
  void Check(const v1::WhereRequest& r) {
    Zone("zone", r.zone());
    Id("id", r.id());
  }
  void Check(const v1::PlanRequest& r) {
    if (r.has_change()) Change(r.change(), /*required=*/false);
  }
  void Check(const v1::ApplyRequest& r) { Change(r.change(), /*required=*/true); }
  void Check(const v1::ControlResyncRequest& r) {
    if (r.action_case() == v1::ControlResyncRequest::ACTION_NOT_SET) {
      Add("action", "is required: pause, resume or limit_bytes_per_second");
    }
    const std::uint64_t limit = r.limit_bytes_per_second();
    if (limit != 0 && limit < kLeastResyncLimit) {
      Add("limit_bytes_per_second", "must be 0 (no limit) or at least " + std::to_string(kLeastResyncLimit) + ", got " + std::to_string(limit));
    }
    if ((r.has_pause() && !r.pause()) || (r.has_resume() && !r.resume())) Add("action", "must be true when present");
  }
  void Check(const v1::ControlCacheRequest& r) {
    if (!v1::CachePolicy_IsValid(r.policy())) Add("policy", "is unknown to this version");
  }

  std::vector<Violation> Take() { return std::move(violations_); }

 private:
  void Freshness(v1::Consistency consistency) {
    if (!v1::Consistency_IsValid(consistency)) Add("consistency", "is unknown to this version");
  }
  void Node(std::string_view field, std::string_view name) {
    if (name.empty()) Add(field, "is required: the name of a storage node");
  }
  void Change(const v1::LayoutChange& change, bool required) {
    switch (change.kind_case()) {
      case v1::LayoutChange::KIND_NOT_SET:
        if (required) Add("change", "is required: what to change");
        break;
      case v1::LayoutChange::kDrain: Node("change.drain", change.drain()); break;
      case v1::LayoutChange::kForget: Node("change.forget", change.forget()); break;
      case v1::LayoutChange::kUndrain: Node("change.undrain", change.undrain()); break;
      case v1::LayoutChange::kReweight:
        Node("change.reweight.node", change.reweight().node());
        if (change.reweight().weight() < 1 || change.reweight().weight() > kMaxWeight) {
          Add("change.reweight.weight", "must be 1 to " + std::to_string(kMaxWeight) + ", got " +
                                            std::to_string(change.reweight().weight()));
        }
        break;
      case v1::LayoutChange::kFresh:
        if (!change.fresh()) Add("change.fresh", "must be true when present");
        break;
      case v1::LayoutChange::kMinCopies:
        if (change.min_copies() < 1 || change.min_copies() > 2) {
          Add("change.min_copies", "must be 1 or 2, got " + std::to_string(change.min_copies()));
        }
        break;
      case v1::LayoutChange::kScrub:
        if (change.scrub() < v1::SCRUB_CONTROL_START || change.scrub() > v1::SCRUB_CONTROL_RESUME) {
          Add("change.scrub", "must be start, pause or resume");
        }
        break;
      case v1::LayoutChange::kForce:
        if (change.force().empty()) {
          Add("change.force", "must be \"I am sure that NAME[, NAME...] is off and will never return\"");
        }
        break;
    }
  }

  std::uint64_t chunk_limit_;
  std::vector<Violation> violations_;
};

bool IsLetterOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::vector<Violation> Validate(const Request& request, std::uint64_t chunk_limit) {
  Checker checker(chunk_limit);
  std::visit([&checker](const auto& r) { checker.Check(r); }, request);
  return checker.Take();
}

std::vector<Violation> ValidateChunk(std::string_view id, std::size_t size, std::uint64_t chunk_limit) {
  Checker checker(chunk_limit);
  checker.Id("id", id);
  checker.Chunk("data", size);
  return checker.Take();
}

bool IsZoneName(std::string_view name) {
  if (name.empty() || name.size() > kMaxZoneNameBytes) return false;
  if (!IsLetterOrDigit(name.front()) || !IsLetterOrDigit(name.back())) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return IsLetterOrDigit(c) || c == '-'; });
}

std::string PageToken(std::string_view after) { return kTokenVersion + Hex(after); }

std::optional<std::string> FromPageToken(std::string_view token) {
  if (token.empty()) return std::string();
  if (token.front() != kTokenVersion || token.size() > 1 + 2 * kMaxZoneNameBytes) return std::nullopt;
  auto name = FromHex(token.substr(1));
  if (!name || !IsZoneName(*name)) return std::nullopt;
  return name;
}

}  // namespace coffer::router
