#include "router_truth.h"

#include <algorithm>
#include <memory>

#include "cluster/sha256.h"
#include "router/core/errors.h"

namespace coffer::router {
namespace {

constexpr std::uint64_t kPageEntries = 3;

// One request being carried out.
class Execution {
 public:
  Execution(Truth& truth, const wire::DataRequest& request, const std::vector<Payload>& in, std::vector<Payload>* out)
      : truth_(truth), request_(request), in_(in), out_(out) {
    response_.mutable_status();
  }

  wire::DataResponse Run() {
    if (truth_.deleted_zones.count(request_.zone())) Fail(Code::kNotFound, "ZONE_DELETED");
    else if (request_.has_put_chunk()) PutChunk();
    else if (request_.has_get_chunk()) GetChunk();
    else if (request_.has_has_chunks()) HasChunks();
    else if (request_.has_delete_chunk()) DeleteChunk();
    else if (request_.has_append()) Append();
    else if (request_.has_read_chain()) ReadChain();
    else if (request_.has_head_chain()) HeadChain();
    else if (request_.has_delete_chain()) DeleteChain();
    else if (request_.has_create_zone()) CreateZone();
    else if (request_.has_get_zone()) GetZone();
    else if (request_.has_list_zones()) ListZones();
    else if (request_.has_delete_zone()) DeleteZone();
    return std::move(response_);
  }

 private:
  using Key = std::pair<std::string, std::string>;

  void Fail(Code code, const char* reason) { *response_.mutable_status() = MakeError(code, reason, reason); }
  Key KeyOf(const std::string& id) const { return {request_.zone(), id}; }
  static void SetHead(const std::vector<v1::Entry>& chain, v1::ChainHead* head) {
    head->set_length(chain.size());
    head->set_hash(chain.empty() ? Digest().str() : chain.back().hash());
  }

  // ---- Chunks
  void PutChunk() {
    const Key key = KeyOf(request_.put_chunk().id());
    if (truth_.deleted_chunks.count(key)) return Fail(Code::kFailedPrecondition, "CHUNK_DELETED");
    const auto [it, fresh] = truth_.chunks.emplace(key, *in_.at(0));
    if (!fresh && it->second != *in_.at(0)) return Fail(Code::kAlreadyExists, "CHUNK_EXISTS");
    response_.set_already_existed(!fresh);
  }
  void GetChunk() {
    const auto& op = request_.get_chunk();
    const auto it = truth_.chunks.find(KeyOf(op.id()));
    if (it == truth_.chunks.end()) {
      return op.any_holder() ? Fail(Code::kUnavailable, "NOT_MINE") : Fail(Code::kNotFound, "CHUNK_NOT_FOUND");
    }
    const std::string& chunk = it->second;
    const bool whole = op.offset() == 0 && op.length() == 0;
    if (!whole && (op.offset() > chunk.size() || (op.offset() == chunk.size() && op.length() > 0))) {
      return Fail(Code::kOutOfRange, "OUT_OF_RANGE");
    }
    response_.set_total_size(chunk.size());
    response_.set_settled(!truth_.unsettled);
    out_->push_back(std::make_shared<const std::string>(chunk.substr(op.offset(), op.length() == 0 ? std::string::npos : op.length())));
  }
  void HasChunks() {
    auto* presence = response_.mutable_presence();
    for (const auto& id : request_.has_chunks().ids()) presence->add_present(truth_.chunks.count(KeyOf(id)) > 0);
  }
  void DeleteChunk() {
    const Key key = KeyOf(request_.delete_chunk().id());
    if (!truth_.chunks.erase(key) && !truth_.deleted_chunks.count(key)) return Fail(Code::kNotFound, "CHUNK_NOT_FOUND");
    truth_.deleted_chunks.insert(key);
  }

  // ---- Chains
  std::vector<v1::Entry> EntriesOf(const wire::AppendOp& op) const {
    std::vector<v1::Entry> entries;
    std::string previous = op.predecessor();
    for (std::size_t i = 0; i < in_.size(); ++i) {
      v1::Entry entry;
      entry.set_position(op.position() + i);
      entry.set_body(*in_[i]);
      entry.set_predecessor(previous);
      previous = Sha256({op.chain(), std::to_string(entry.position()), previous, *in_[i]}).str();
      entry.set_hash(previous);
      entries.push_back(entry);
    }
    return entries;
  }
  void Append() {
    const auto& op = request_.append();
    if (truth_.deleted_chains.count(KeyOf(op.chain()))) return Fail(Code::kFailedPrecondition, "CHAIN_DELETED");
    auto& chain = truth_.chains[KeyOf(op.chain())];
    const std::vector<v1::Entry> entries = EntriesOf(op);
    const bool same = chain.size() >= op.position() + entries.size() &&
                      std::equal(entries.begin(), entries.end(), chain.begin() + static_cast<std::ptrdiff_t>(op.position()),
                                 [](const auto& a, const auto& b) { return a.hash() == b.hash(); });
    const std::string last = chain.empty() ? Digest().str() : chain.back().hash();
    if (!same && (chain.size() != op.position() || last != op.predecessor())) {
      SetHead(chain, response_.mutable_head()->mutable_head());
      return Fail(Code::kAborted, "APPEND_CONFLICT");
    }
    if (!same) chain.insert(chain.end(), entries.begin(), entries.end());
    SetHead(chain, response_.mutable_head()->mutable_head());
    response_.mutable_head()->set_already_existed(same);
  }
  // The positions that are asked for, [first, second).
  static std::pair<std::uint64_t, std::uint64_t> RangeOf(const wire::ReadChainOp& op, std::uint64_t length) {
    if (op.part_case() == wire::ReadChainOp::kFirst) return {0, std::min(length, op.first())};
    if (op.part_case() == wire::ReadChainOp::kLast) return {length - std::min(length, op.last()), length};
    if (!op.has_range()) return {0, length};
    return {op.range().from(), op.range().to() == 0 ? length : std::min(length, op.range().to())};
  }
  void ReadChain() {
    const auto& op = request_.read_chain();
    if (truth_.deleted_chains.count(KeyOf(op.chain()))) return Fail(Code::kNotFound, "CHAIN_DELETED");
    const auto it = truth_.chains.find(KeyOf(op.chain()));
    if (it == truth_.chains.end() && op.wait_ms() == 0) return Fail(Code::kNotFound, "CHAIN_NOT_FOUND");
    static const std::vector<v1::Entry> kNone;
    const auto& chain = it == truth_.chains.end() ? kNone : it->second;
    const auto [from, to] = RangeOf(op, chain.size());
    auto* result = response_.mutable_chain();
    std::uint64_t given = 0;
    v1::ReadResponse pack;
    for (std::uint64_t i = from; i < to && given < kPageEntries; ++i, ++given) {
      v1::Entry entry = chain[op.backwards() ? to - 1 - (i - from) : i];
      if (truth_.packs && op.packed()) {
        if (given == 0) result->mutable_packed()->set_first(entry.position());
        *pack.add_entries() = entry;
        continue;
      }
      out_->push_back(std::make_shared<const std::string>(entry.body()));
      entry.clear_body();
      *result->add_entries() = entry;
    }
    if (pack.entries_size() > 0) {
      result->mutable_packed()->set_count(given);
      out_->push_back(std::make_shared<const std::string>(pack.SerializeAsString()));
    }
    result->set_complete(from + given >= to);
    SetHead(chain, result->mutable_head());
    if (op.has_known() && result->has_packed() && op.known().hash() == result->head().hash()) {
      result->clear_packed();
      out_->clear();
      result->set_unchanged(true);
    }
  }
  void HeadChain() {
    const auto it = truth_.chains.find(KeyOf(request_.head_chain().chain()));
    if (it == truth_.chains.end()) return Fail(Code::kNotFound, "CHAIN_NOT_FOUND");
    SetHead(it->second, response_.mutable_head()->mutable_head());
  }
  void DeleteChain() {
    const Key key = KeyOf(request_.delete_chain().chain());
    if (!truth_.chains.erase(key) && !truth_.deleted_chains.count(key)) return Fail(Code::kNotFound, "CHAIN_NOT_FOUND");
    truth_.deleted_chains.insert(key);
  }

  // ---- Zones
  void CreateZone() {
    const auto& record = request_.create_zone().zone();
    const auto [it, fresh] = truth_.zones.emplace(record.name(), record);
    if (!fresh && it->second.id() != record.id()) return Fail(Code::kAlreadyExists, "ZONE_EXISTS");
    *response_.mutable_zones()->add_zones() = it->second;
  }
  void GetZone() {
    const auto it = truth_.zones.find(request_.get_zone().name());
    if (it == truth_.zones.end()) return Fail(Code::kNotFound, "ZONE_UNKNOWN");
    *response_.mutable_zones()->add_zones() = it->second;
  }
  void ListZones() {
    auto it = truth_.zones.upper_bound(request_.list_zones().after());
    for (; it != truth_.zones.end(); ++it) {
      if (response_.zones().zones_size() == static_cast<int>(request_.list_zones().limit())) break;
      *response_.mutable_zones()->add_zones() = it->second;
    }
    response_.mutable_zones()->set_more(it != truth_.zones.end());
  }
  void DeleteZone() {
    const auto it = truth_.zones.find(request_.delete_zone().name());
    if (it != truth_.zones.end() && it->second.id() == request_.delete_zone().zone()) {
      truth_.deleted_zones.insert(it->second.id());
      truth_.zones.erase(it);
    }
    if (!truth_.deleted_zones.count(request_.delete_zone().zone())) Fail(Code::kNotFound, "ZONE_UNKNOWN");
  }

  Truth& truth_;
  const wire::DataRequest& request_;
  const std::vector<Payload>& in_;
  std::vector<Payload>* const out_;
  wire::DataResponse response_;
};

}  // namespace

wire::DataResponse Execute(Truth& truth, const wire::DataRequest& request, const std::vector<Payload>& in, std::vector<Payload>* out) {
  return Execution(truth, request, in, out).Run();
}

}  // namespace coffer::router
