// The cluster in memory behind the fake routers.
#include <algorithm>

#include "client/client.h"
#include "cluster/sha256.h"
#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/zones.pb.h"
#include "google/rpc/error_details.pb.h"
#include "unit/client_fake_router.h"

namespace coffer::test {
namespace {

using Outcome = FakeCluster::Outcome;

google::rpc::Status Error(int code, const std::string& message, const std::string& reason) {
  google::rpc::Status s = RpcError(code, message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("coffer");
  s.add_details()->PackFrom(info);
  return s;
}

Outcome Ok(const google::protobuf::Message& m) {
  return {{m.SerializeAsString()}, {}, false};
}
Outcome Bad(google::rpc::Status s) {
  return {{}, std::move(s), false};
}

google::rpc::Status PutOne(FakeCluster& c, const std::string& zone, const std::string& id, const std::string& data,
                           bool* existed) {
  if (id.size() != 32) return Error(3, "an id has 32 bytes, not " + std::to_string(id.size()), "BAD_REQUEST");
  if (data.size() > c.chunk_limit) {
    return Error(
        3, "the chunk has " + std::to_string(data.size()) + " bytes; the limit is " + std::to_string(c.chunk_limit),
        "BAD_REQUEST");
  }
  if (c.deleted[zone].count(id) > 0) return Error(9, "this id was deleted", "CHUNK_DELETED");
  const auto [it, fresh] = c.chunks[zone].emplace(id, data);
  if (!fresh && it->second != data) return Error(6, "other bytes stand under this id", "CHUNK_EXISTS");
  *existed = !fresh;
  return {};
}

void SetHead(const FakeCluster::Chain& chain, v1::ChainHead* head) {
  head->set_length(chain.entries.size());
  head->set_hash(chain.entries.empty() ? std::string(32, '\0') : chain.entries.back().hash());
}

Outcome Append(FakeCluster& c, const v1::AppendRequest& r) {
  if (r.chain().size() != 32) return Bad(Error(3, "a chain id has 32 bytes", "BAD_REQUEST"));
  FakeCluster::Chain& chain = c.chains[r.zone()][r.chain()];
  std::vector<v1::Entry> fresh;
  std::string predecessor = r.predecessor().empty() ? std::string(32, '\0') : r.predecessor();
  std::uint64_t position = r.position();
  for (const v1::EntryToAppend& e : r.entries()) {
    v1::Entry& entry = fresh.emplace_back();
    entry.set_position(position);
    entry.set_body(e.body());
    entry.set_signature(e.signature());
    entry.set_predecessor(predecessor);
    entry.set_hash(
        client::EntryHash(BlockId::Must(r.chain()), position, Digest::Must(predecessor), e.signature(), e.body())
            .str());
    predecessor = entry.hash();
    ++position;
  }
  v1::AppendResponse out;
  const std::uint64_t length = chain.entries.size();
  const bool there = position <= length && std::equal(fresh.begin(), fresh.end(), chain.entries.begin() + r.position(),
                                                      [](auto& a, auto& b) { return a.hash() == b.hash(); });
  v1::ChainHead head;
  SetHead(chain, &head);
  if (there) {
    out.set_already_existed(true);
  } else if (r.position() != length || (length > 0 && fresh.front().predecessor() != head.hash())) {
    google::rpc::Status s = Error(10, "the chain ends elsewhere", "APPEND_CONFLICT");
    v1::AppendConflict conflict;
    *conflict.mutable_head() = head;
    s.add_details()->PackFrom(conflict);
    return Bad(s);
  } else {
    chain.entries.insert(chain.entries.end(), fresh.begin(), fresh.end());
  }
  out.mutable_head()->set_length(position);
  out.mutable_head()->set_hash(predecessor);
  return Ok(out);
}

Outcome Read(FakeCluster& c, const v1::ReadRequest& r) {
  Outcome out;
  for (int i = 0; i < r.queries_size(); ++i) {
    const v1::ChainQuery& q = r.queries(i);
    const auto it = c.chains[r.zone()].find(q.chain());
    v1::ReadResponse response;
    response.set_index(static_cast<std::uint32_t>(i));
    if (it == c.chains[r.zone()].end()) {
      *response.mutable_status() = Error(5, "no such chain", "CHAIN_NOT_FOUND");
      response.set_complete(true);
      out.responses.push_back(response.SerializeAsString());
      continue;
    }
    const auto& entries = it->second.entries;
    const std::uint64_t n = entries.size();
    std::uint64_t from = 0;
    std::uint64_t to = n;
    if (q.has_range()) {
      from = std::min(q.range().from(), n);
      if (q.range().to() != 0) to = std::min(q.range().to(), n);
    }
    if (q.part_case() == v1::ChainQuery::kFirst) to = std::min(q.first(), n);
    if (q.part_case() == v1::ChainQuery::kLast) from = n - std::min(q.last(), n);
    std::vector<v1::Entry> wanted(entries.begin() + from, entries.begin() + std::max(from, to));
    if (q.backwards()) std::reverse(wanted.begin(), wanted.end());
    SetHead(it->second, response.mutable_head());
    if (r.consistency() == v1::CONSISTENCY_LOCAL) response.set_staleness_ms(1200);
    // Two entries per response, so that the client has to put them together.
    for (std::size_t k = 0; k < wanted.size(); ++k) {
      *response.add_entries() = wanted[k];
      if (response.entries_size() == 2 && k + 1 < wanted.size()) {
        out.responses.push_back(response.SerializeAsString());
        response.clear_entries();
      }
    }
    response.set_complete(true);
    out.responses.push_back(response.SerializeAsString());
  }
  return out;
}

template <class T>
T Parse(const std::string& raw) {
  T t;
  t.ParseFromString(raw);
  return t;
}

// The zone of a request, and its id if the request names it. Field 1 of every request of Chunks and Chains is the zone's name.
v1::DeleteRequest ZoneOf(const std::string& method, const std::string& request) {
  const bool named = method.find("Chunks/") != std::string::npos || method.find("Chains/") != std::string::npos;
  return named || method.ends_with("/Resolve") ? Parse<v1::DeleteRequest>(request) : v1::DeleteRequest();
}

Outcome HandleChunks(FakeCluster& c, const std::string& name, const std::string& request) {
  if (name == "Put") {
    const auto r = Parse<v1::PutRequest>(request);
    bool existed = false;
    const auto status = PutOne(c, r.zone(), r.id(), r.data(), &existed);
    if (status.code() != 0) return Bad(status);
    v1::PutResponse out;
    out.set_already_existed(existed);
    return Ok(out);
  }
  if (name == "PutMany") {
    const auto r = Parse<v1::PutManyRequest>(request);
    v1::PutManyResponse out;
    for (const auto& chunk : r.chunks()) {
      bool existed = false;
      auto& outcome = *out.add_outcomes();
      *outcome.mutable_status() = PutOne(c, r.zone(), chunk.id(), chunk.data(), &existed);
      outcome.set_already_existed(existed);
    }
    return Ok(out);
  }
  if (name == "Get") {
    const auto r = Parse<v1::GetRequest>(request);
    const auto it = c.chunks[r.zone()].find(r.id());
    if (it == c.chunks[r.zone()].end()) return Bad(Error(5, "no such chunk", "CHUNK_NOT_FOUND"));
    if (r.offset() > it->second.size()) return Bad(Error(11, "past the end", "OUT_OF_RANGE"));
    v1::GetResponse out;
    out.set_data(it->second.substr(r.offset(), r.length() == 0 ? std::string::npos : r.length()));
    out.set_total_size(it->second.size());
    return Ok(out);
  }
  if (name == "GetMany") {
    const auto r = Parse<v1::GetManyRequest>(request);
    Outcome out;
    for (int i = r.ids_size() - 1; i >= 0; --i) {  // any order
      v1::GetManyResponse one;
      one.set_index(static_cast<std::uint32_t>(i));
      const auto it = c.chunks[r.zone()].find(r.ids(i));
      if (it == c.chunks[r.zone()].end()) {
        *one.mutable_status() = Error(5, "no such chunk", "CHUNK_NOT_FOUND");
      } else {
        one.set_data(it->second);
      }
      out.responses.push_back(one.SerializeAsString());
    }
    return out;
  }
  if (name == "Has") {
    const auto r = Parse<v1::HasRequest>(request);
    v1::HasResponse out;
    for (const auto& id : r.ids()) out.add_present(c.chunks[r.zone()].count(id) > 0);
    return Ok(out);
  }
  if (name == "Delete") {
    const auto r = Parse<v1::DeleteRequest>(request);
    if (c.deleted[r.zone()].count(r.id()) > 0) return Ok(v1::DeleteResponse());
    if (c.chunks[r.zone()].erase(r.id()) == 0) return Bad(Error(5, "no such chunk", "CHUNK_NOT_FOUND"));
    c.deleted[r.zone()][r.id()] = true;
    return Ok(v1::DeleteResponse());
  }
  return Bad(RpcError(12, "unknown method Chunks/" + name));
}

Outcome HandleChains(FakeCluster& c, const std::string& name, const std::string& request) {
  if (name == "Append") return Append(c, Parse<v1::AppendRequest>(request));
  if (name == "Read") return Read(c, Parse<v1::ReadRequest>(request));
  if (name == "Head") {
    const auto r = Parse<v1::HeadRequest>(request);
    v1::HeadResponse out;
    for (const auto& id : r.chains()) {
      const auto it = c.chains[r.zone()].find(id);
      SetHead(it == c.chains[r.zone()].end() ? FakeCluster::Chain{} : it->second, out.add_heads());
    }
    return Ok(out);
  }
  if (name == "Watch") {
    const auto r = Parse<v1::WatchRequest>(request);
    v1::WatchResponse out;
    const auto& entries = c.chains[r.zone()][r.chain()].entries;
    for (std::size_t i = r.from(); i < entries.size(); ++i) *out.add_entries() = entries[i];
    out.set_length(entries.size());
    return {{out.SerializeAsString()}, {}, true};
  }
  if (name == "Delete") {
    const auto r = Parse<v1::ChainsDeleteRequest>(request);
    if (c.chains[r.zone()].erase(r.chain()) == 0) return Bad(Error(5, "no such chain", "CHAIN_NOT_FOUND"));
    return Ok(v1::ChainsDeleteResponse());
  }
  return Bad(RpcError(12, "unknown method Chains/" + name));
}

Outcome HandleZones(FakeCluster& c, const std::string& name, const std::string& request) {
  if (name == "Create") {
    const auto r = Parse<v1::ZonesCreateRequest>(request);
    if (r.name().empty() || r.name().find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
      return Bad(Error(3, "a zone's name is 1 to 63 of a-z, 0-9 and '-'", "BAD_REQUEST"));
    }
    const auto [it, fresh] = c.zones.emplace(r.name(), r.id());
    if (!fresh && it->second != r.id()) return Bad(Error(6, "the name is taken", "ZONE_EXISTS"));
    v1::ZonesCreateResponse out;
    out.mutable_zone()->set_name(r.name());
    out.mutable_zone()->set_id(r.id());
    out.mutable_zone()->set_state(v1::ZONE_STATE_ACTIVE);
    return Ok(out);
  }
  if (name == "List") {
    // Two per page.
    const auto r = Parse<v1::ZonesListRequest>(request);
    v1::ZonesListResponse out;
    if (!r.name().empty()) {
      const auto named = c.zones.find(r.name());
      if (named == c.zones.end()) return Ok(out);
      out.add_zones()->set_name(named->first);
      out.mutable_zones(0)->set_id(named->second);
      return Ok(out);
    }
    for (auto it = c.zones.upper_bound(r.page_token()); it != c.zones.end(); ++it) {
      if (out.zones_size() == 2) {
        out.set_next_page_token(out.zones(1).name());
        break;
      }
      out.add_zones()->set_name(it->first);
      out.mutable_zones(out.zones_size() - 1)->set_id(it->second);
      out.mutable_zones(out.zones_size() - 1)->set_state(v1::ZONE_STATE_ACTIVE);
    }
    return Ok(out);
  }
  if (name == "Resolve") {
    const auto named = c.zones.find(Parse<v1::ZonesResolveRequest>(request).zone());
    v1::ZonesResolveResponse out;
    out.set_id(named->second);
    return Ok(out);
  }
  if (name == "Delete") {
    const auto r = Parse<v1::ZonesDeleteRequest>(request);
    const auto named = c.zones.find(r.name());
    if (named != c.zones.end() && named->second == r.id()) {
      c.deleted_zones.insert(r.id());
      c.zones.erase(named);
    }
    if (c.deleted_zones.count(r.id()) == 0) return Bad(Error(5, "no zone \"" + r.name() + "\"", "ZONE_UNKNOWN"));
    return Ok(v1::ZonesDeleteResponse());
  }
  return Bad(RpcError(12, "unknown method Zones/" + name));
}

Outcome HandleCluster(FakeCluster& c, const std::string& name, const std::string& request) {
  if (name == "GetStatus") {
    v1::GetStatusResponse out;
    *out.mutable_status() = c.status;
    return Ok(out);
  }
  if (name == "WatchStatus") {
    v1::WatchStatusResponse out;
    *out.mutable_status() = c.status;
    return {{out.SerializeAsString()}, {}, true};
  }
  if (name == "Where") {
    const auto r = Parse<v1::WhereRequest>(request);
    v1::WhereResponse out;
    out.set_hash(5040 * 7 + 42);
    out.set_partition(42);
    out.set_partitions(5040);
    out.set_primary("node-1");
    out.add_in_sync("node-1");
    out.add_in_sync("node-2");
    out.add_goal("node-1");
    out.add_goal("node-2");
    out.set_term(3);
    out.set_epoch(c.status.epoch());
    out.set_arithmetic("35322 mod 5040 = 42");
    return Ok(out);
  }
  if (name == "Plan") return Ok(c.plan);
  if (name == "Apply") {
    const auto r = Parse<v1::ApplyRequest>(request);
    if (r.epoch() != 0 && r.epoch() != c.status.epoch())
      return Bad(Error(10, "the layout has moved on", "LAYOUT_CHANGED"));
    c.applied.push_back(r.change());
    c.status.set_epoch(c.status.epoch() + 1);
    if (c.on_apply) c.on_apply(r.change());
    v1::ApplyResponse out;
    out.set_epoch(c.status.epoch());
    return Ok(out);
  }
  if (name == "ControlResync") {
    c.controlled.push_back(Parse<v1::ControlResyncRequest>(request));
    v1::ControlResyncResponse out;
    out.set_epoch(c.status.epoch());
    return Ok(out);
  }
  if (name == "ControlCache") {
    const auto r = Parse<v1::ControlCacheRequest>(request);
    if (r.policy() != v1::CACHE_POLICY_UNSPECIFIED) c.cache.set_policy(r.policy());
    if (r.clear()) c.cache.set_chunks(0);
    return Ok(c.cache);
  }
  return Bad(RpcError(12, "unknown method Cluster/" + name));
}

}  // namespace

FakeCluster::FakeCluster() {
  zones["default"] = std::string(16, 'd');
}

FakeCluster::Outcome FakeCluster::Handle(const std::string& method, const std::string& request) {
  std::lock_guard<std::mutex> guard(lock);
  ++calls[method];
  last_request[method] = request;
  const auto in = ZoneOf(method, request);
  const std::string& zone = in.zone();
  if (!zone.empty() && zones.count(zone) == 0) return Bad(Error(5, "no zone \"" + zone + "\"", "ZONE_UNKNOWN"));
  if (!in.zone_id().empty() && zones[zone] != in.zone_id()) return Bad(Error(5, "another zone is named \"" + zone + "\" now", "ZONE_DELETED"));
  const auto after = [&](const char* prefix) { return method.substr(std::string(prefix).size()); };
  if (method.rfind("coffer.v1.Chunks/", 0) == 0) return HandleChunks(*this, after("coffer.v1.Chunks/"), request);
  if (method.rfind("coffer.v1.Chains/", 0) == 0) return HandleChains(*this, after("coffer.v1.Chains/"), request);
  if (method.rfind("coffer.v1.Zones/", 0) == 0) return HandleZones(*this, after("coffer.v1.Zones/"), request);
  if (method.rfind("coffer.v1.Cluster/", 0) == 0) return HandleCluster(*this, after("coffer.v1.Cluster/"), request);
  return Bad(RpcError(12, "unknown method " + method));
}

}  // namespace coffer::test
