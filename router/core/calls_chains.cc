// coffer.v1.Chains: each method as a Call.
#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "proto/wire_form.h"
#include "router/core/call.h"
#include "router/core/chain_pages.h"

namespace coffer::router {
namespace {

using google::protobuf::io::CodedOutputStream;

constexpr std::size_t kHeadsAtOnce = 64;
constexpr std::size_t kQueriesAtOnce = 4;      // of one Read: the one being answered and those read ahead
constexpr std::uint64_t kPageBytes = 1u << 20;
constexpr std::uint32_t kEntriesTag = wire_form::Tag(v1::ReadResponse::kEntriesFieldNumber, wire_form::kBytes);
constexpr std::uint32_t kBodyTag = wire_form::Tag(v1::Entry::kBodyFieldNumber, wire_form::kBytes);
constexpr std::size_t kTagBytes = 1;
static_assert(v1::Entry::kBodyFieldNumber < 16);
constexpr std::size_t kMostBesideBody = 256;   // of an entry: hashes, a signature, its position
constexpr Duration kFrontPoll = std::chrono::milliseconds(10);
constexpr Duration kLongPoll = std::chrono::seconds(10);  // also the sign of life
constexpr Duration kAbsentPoll = std::chrono::milliseconds(250);

bool IsLocal(v1::Consistency consistency) { return consistency == v1::CONSISTENCY_LOCAL; }
Target TargetFor(v1::Consistency c) { return IsLocal(c) ? Target::kAnyCopy : Target::kPrimary; }

// Moves the bodies beside an answer into its entries; false when they do not fit.
bool TakeEntries(OpResult& result, google::protobuf::RepeatedPtrField<v1::Entry>* entries) {
  auto* chain = result.response.mutable_chain();
  if (static_cast<std::size_t>(chain->entries_size()) != result.bodies.size()) return false;
  entries->Swap(chain->mutable_entries());
  for (int i = 0; i < entries->size(); ++i) (*entries)[i].set_body(*result.bodies[static_cast<std::size_t>(i)]);
  return true;
}

// A serialised page with the entries of the answer behind it, whose bodies are copied once, to where they are sent from. In a
// message's bytes the order of its fields is free.
std::string WithEntries(const v1::ReadResponse& page, const OpResult& result) {
  const auto& entries = result.response.chain().entries();
  std::size_t size = page.ByteSizeLong();
  for (const Payload& body : result.bodies) size += body->size() + kMostBesideBody;
  std::string bytes;
  bytes.reserve(size);
  page.AppendToString(&bytes);
  for (int i = 0; i < entries.size(); ++i) {
    const std::string& body = *result.bodies[static_cast<std::size_t>(i)];
    const std::size_t body_field = kTagBytes + CodedOutputStream::VarintSize64(body.size()) + body.size();
    wire_form::AppendHead(kEntriesTag, entries[i].ByteSizeLong() + body_field, &bytes);
    entries[i].AppendToString(&bytes);
    wire_form::AppendHead(kBodyTag, body.size(), &bytes);
    bytes += body;
  }
  return bytes;
}

// A serialised page with packed entries behind it, as they came: two messages of a kind, one after the other, are read as one.
Response WithPacked(const v1::ReadResponse& page, Payload packed) { return {page.SerializeAsString(), std::move(packed)}; }

// Whether the caller has to hear of it as the end of the call, rather than as the answer of one query.
bool EndsTheCall(const Status& status) {
  const Code code = CodeOf(status);
  return ZoneIsGone(status) || (code != Code::kNotFound && code != Code::kDataLoss && code != Code::kFailedPrecondition);
}

class AppendCall final : public ZonedCall {
 public:
  AppendCall(CallId id, Instant deadline, CallHost& host, v1::AppendRequest request)
      : ZonedCall(id, deadline, host, request.zone(), request.zone_id()), chain_(BlockId::Must(request.chain())) {
    op_.set_chain(request.chain());
    op_.set_position(request.position());
    op_.set_predecessor(request.predecessor().empty() ? Digest().str() : request.predecessor());
    for (auto& entry : *request.mutable_entries()) {
      op_.add_signatures(std::move(*entry.mutable_signature()));
      bodies_.push_back(std::make_shared<const std::string>(std::move(*entry.mutable_body())));
    }
  }

  void Run() override { Reissue(0); }
  void Reissue(Slot) override {
    OpSpec spec = SpecFor(chain_, Target::kPrimary, /*write=*/true);
    *spec.request.mutable_append() = op_;
    spec.bodies = bodies_;
    Ask(0, std::move(spec));
  }
  void Answered(Slot, OpResult result) override {
    if (CodeOf(result.status) == Code::kAborted) return End(WithHead(std::move(result)));
    if (!IsOk(result.status)) return End(std::move(result.status));
    v1::AppendResponse response;
    *response.mutable_head() = result.response.head().head();
    response.set_already_existed(result.response.head().already_existed());
    Succeed(response);
  }

 private:
  // The conflict with the head as it is in its details, whether the node put it there or beside.
  static Status WithHead(OpResult result) {
    v1::AppendConflict conflict;
    for (const auto& detail : result.status.details()) {
      if (detail.Is<v1::AppendConflict>()) return std::move(result.status);
    }
    *conflict.mutable_head() = result.response.head().head();
    result.status.add_details()->PackFrom(conflict);
    return std::move(result.status);
  }

  const BlockId chain_;
  wire::AppendOp op_;
  std::vector<Payload> bodies_;
};

// Answers the queries in order. Up to kQueriesAtOnce are read at the same time, each a page ahead at most, so that memory
// is bounded by kQueriesAtOnce pages.
class ReadCall final : public ZonedCall {
 public:
  ReadCall(CallId id, Instant deadline, CallHost& host, v1::ReadRequest request)
      : ZonedCall(id, deadline, host, request.zone()), consistency_(request.consistency()) {
    for (auto& query : *request.mutable_queries()) queries_.emplace_back(std::move(query), IsLocal(consistency_));
  }

  void Run() override { Go(); }
  void Wake() override { Go(); }
  void Reissue(Slot slot) override {
    Query& query = queries_[slot];
    OpSpec spec = SpecFor(query.pages.chain(), TargetFor(consistency_), /*write=*/false);
    auto* op = spec.request.mutable_read_chain();
    query.pages.FillNext(op);
    op->set_local(IsLocal(consistency_));
    op->set_max_bytes(kPageBytes);
    op->set_packed(true);
    query.known = op->has_last() && query.last != 0 && !op->local() ? host().chain_ends().Find(EndOf(zone(), query)) : std::nullopt;
    if (query.known) {
      op->mutable_known()->set_length(query.known->length);
      op->mutable_known()->set_hash(query.known->hash.str());
    }
    query.under_way = true;
    Ask(slot, std::move(spec));
  }
  void Answered(Slot slot, OpResult result) override {
    Query& query = queries_[slot];
    query.under_way = false;
    if (!IsOk(result.status) && EndsTheCall(result.status)) return End(std::move(result.status));
    // One call reads in one zone: another that has the name now has other chains under the same ids.
    if (!read_in_.IsZero() && read_in_ != result.zone) return End(ZoneReplacedWhileRead(zone_name()));
    read_in_ = result.zone;
    v1::ReadResponse page;
    page.set_index(slot);
    if (query.pages.begun() && ReasonOf(result.status) == "CHAIN_NOT_FOUND") return AskAgain(slot);
    if (IsOk(result.status)) {
      if (!UseKnown(query, &result)) return End(BadAnswer("the end of chain " + Hex(query.pages.chain().view())));
      *page.mutable_head() = result.response.chain().head();
      page.set_staleness_ms(result.response.chain().staleness_ms());
      switch (TakePage(query, result)) {
        case ChainPages::Taken::kYes: break;
        case ChainPages::Taken::kNothing: return AskAgain(slot);
        case ChainPages::Taken::kWrong: return End(BadAnswer("the entries of chain " + Hex(query.pages.chain().view())));
      }
      query.asked_again = false;
      page.set_complete(query.pages.complete());
      page.mutable_status();
      KeepEnd(query, result);
      query.ready = result.response.chain().has_packed() ? WithPacked(page, std::move(result.bodies.front())) : Response(WithEntries(page, result));
    } else {
      *page.mutable_status() = std::move(result.status);
      page.set_complete(true);
      query.pages.Stop();
      query.ready = page.SerializeAsString();
    }
    Go();
  }

 private:
  struct Query {
    Query(v1::ChainQuery q, bool local) : last(q.has_last() && !q.backwards() ? q.last() : 0), pages(std::move(q), local) {}
    const std::uint64_t last;  // the last so many, oldest first; 0: something else
    ChainPages pages;
    bool under_way = false;
    bool asked_again = false;  // the page that comes next
    std::optional<ChainEnds::End> known;  // what the node was told that we have
    std::optional<Response> ready;  // a serialised ReadResponse
  };

  // Who answered has no more, although there was more when the read began. The chain, or its zone, may have been deleted meanwhile, or
  // a copy that is behind was asked: that is settled by asking once more.
  void AskAgain(Slot slot) {
    Query& query = queries_[slot];
    if (std::exchange(query.asked_again, true)) return End(ChainEndsEarly(query.pages.chain()));
    Reissue(slot);
  }

  static ChainEnds::Key EndOf(const ZoneId& zone, const Query& query) { return {zone, query.pages.chain(), query.last}; }

  // The entries that a node did not send again, as if it had. False: it says so of what it was not asked.
  bool UseKnown(Query& query, OpResult* result) {
    const auto known = std::exchange(query.known, std::nullopt);
    auto* chain = result->response.mutable_chain();
    if (!chain->unchanged()) return true;
    if (!known || chain->head().length() != known->length || chain->head().hash() != known->hash.view()) return false;
    chain->mutable_packed()->set_first(known->first);
    chain->mutable_packed()->set_count(known->length - known->first);
    result->bodies = {known->packed};
    host().chain_ends().Used();
    return true;
  }

  // What one page brought to the end of the chain is kept for the next who asks.
  void KeepEnd(const Query& query, const OpResult& result) {
    const wire::ChainResult& chain = result.response.chain();
    if (query.last == 0 || IsLocal(consistency_) || !chain.has_packed() || chain.unchanged()) return;
    const std::uint64_t first = chain.packed().first();
    const auto hash = Digest::From(chain.head().hash());
    const bool all = chain.packed().count() == std::min(query.last, chain.head().length());
    if (!hash || !all || first + chain.packed().count() != chain.head().length()) return;
    host().chain_ends().Keep(EndOf(read_in_, query), {chain.head().length(), *hash, first, result.bodies.front()});
  }

  // Whether an answer's entries, packed or each with a body of its own, are what was asked for; they are taken as read.
  static ChainPages::Taken TakePage(Query& query, const OpResult& result) {
    const wire::ChainResult& chain = result.response.chain();
    const std::size_t bodies = chain.has_packed() ? 1 : static_cast<std::size_t>(chain.entries_size());
    if (result.bodies.size() != bodies) return ChainPages::Taken::kWrong;
    return chain.has_packed() ? query.pages.Accept(chain.packed(), chain.head(), chain.complete())
                              : query.pages.Accept(chain.entries(), chain.head(), chain.complete());
  }

  void Go() {
    while (current_ < queries_.size() && queries_[current_].ready) {
      if (!host().Writable(id())) {
        host().WakeAt(id(), host().now() + kFrontPoll);
        break;
      }
      RespondBytes(std::move(*queries_[current_].ready));
      queries_[current_].ready.reset();
      if (!queries_[current_].pages.complete()) break;
      ++current_;
    }
    if (current_ == queries_.size()) return End(Ok());
    const std::size_t ahead = std::min(current_ + kQueriesAtOnce, queries_.size());
    for (std::size_t i = current_; i < ahead; ++i) {
      const Query& query = queries_[i];
      if (!query.under_way && !query.ready && !query.pages.complete()) Reissue(static_cast<Slot>(i));
    }
  }

  const v1::Consistency consistency_;
  std::deque<Query> queries_;
  ZoneId read_in_;  // the zone of whatever was answered; zero before the first answer
  std::size_t current_ = 0;
};

class HeadCall final : public ZonedCall {
 public:
  HeadCall(CallId id, Instant deadline, CallHost& host, const v1::HeadRequest& request)
      : ZonedCall(id, deadline, host, request.zone()), consistency_(request.consistency()) {
    for (const auto& chain : request.chains()) {
      chains_.push_back(BlockId::Must(chain));
      response_.add_heads()->set_hash(Digest().str());
    }
  }

  void Run() override { Fill(); }
  void Reissue(Slot slot) override {
    OpSpec spec = SpecFor(chains_[slot], TargetFor(consistency_), /*write=*/false);
    spec.request.mutable_head_chain()->set_chain(chains_[slot].str());
    spec.request.mutable_head_chain()->set_local(IsLocal(consistency_));
    Ask(slot, std::move(spec));
  }
  void Answered(Slot slot, OpResult result) override {
    const bool absent = CodeOf(result.status) == Code::kNotFound && !ZoneIsGone(result.status);
    if (!IsOk(result.status) && !absent) return End(std::move(result.status));
    auto* head = response_.mutable_heads(static_cast<int>(slot));
    if (!absent && result.response.head().head().length() > 0) *head = result.response.head().head();
    --under_way_;
    ++done_;
    Fill();
  }

 private:
  void Fill() {
    while (next_ < chains_.size() && under_way_ < kHeadsAtOnce) {
      ++under_way_;
      Reissue(static_cast<Slot>(next_++));
    }
    if (done_ == chains_.size()) Succeed(response_);
  }

  const v1::Consistency consistency_;
  std::vector<BlockId> chains_;
  v1::HeadResponse response_;
  std::size_t next_ = 0, under_way_ = 0, done_ = 0;
};

// Reads on from where it is, for ever; at the end of the chain the node keeps the question until there is an answer.
// Positions and predecessor hashes make sure that nothing is missed or repeated, whoever answers.
class WatchCall final : public ZonedCall {
 public:
  WatchCall(CallId id, Instant deadline, CallHost& host, const v1::WatchRequest& request)
      : ZonedCall(id, deadline, host, request.zone()), chain_(BlockId::Must(request.chain())), next_(request.from()) {}

  void Run() override {
    last_response_ = host().now();
    Reissue(0);
  }
  void Reissue(Slot) override {
    OpSpec spec = SpecFor(chain_, Target::kPrimary, /*write=*/false);
    auto* op = spec.request.mutable_read_chain();
    op->set_chain(chain_.str());
    op->mutable_range()->set_from(next_);
    op->set_max_bytes(kPageBytes);
    op->set_wait_ms(static_cast<std::uint32_t>(kLongPoll / std::chrono::milliseconds(1)));
    spec.wait = kLongPoll;
    asking_ = true;
    Ask(0, std::move(spec));
  }
  void Answered(Slot, OpResult result) override {
    asking_ = false;
    if (ReasonOf(result.status) == "CHAIN_DELETED") return End(ChainDeleted(chain_));
    if (CodeOf(result.status) == Code::kNotFound && !ZoneIsGone(result.status)) return WaitForTheChain();
    if (!IsOk(result.status)) return End(std::move(result.status));
    v1::WatchResponse response;
    response.set_length(result.response.chain().head().length());
    if (!TakeEntries(result, response.mutable_entries())) return End(BadAnswer("the entries of a watched chain"));
    if (!Continues(response.entries())) return;
    if (response.entries_size() > 0 || host().now() - last_response_ >= kLongPoll) Deliver(response);
    ReadOn();
  }
  void Wake() override {
    if (asking_) return;
    ReadOn();
  }

 private:
  // A chain that does not exist yet is waited for.
  void WaitForTheChain() {
    if (host().now() - last_response_ >= kLongPoll) Deliver(v1::WatchResponse());
    host().WakeAt(id(), host().now() + kAbsentPoll);
  }
  // Reads on as soon as the front takes more: what it does not take stays on the nodes.
  void ReadOn() {
    if (host().Writable(id())) return Reissue(0);
    host().WakeAt(id(), host().now() + kFrontPoll);
  }
  bool Continues(const google::protobuf::RepeatedPtrField<v1::Entry>& entries) {
    for (const v1::Entry& entry : entries) {
      if (entry.position() != next_) {
        End(BadAnswer("position " + std::to_string(entry.position()) + " where " + std::to_string(next_) + " comes next"));
        return false;
      }
      if (!last_hash_.empty() && entry.predecessor() != last_hash_) {
        End(ChainRewritten(chain_, entry.position()));
        return false;
      }
      ++next_;
      last_hash_ = entry.hash();
    }
    return true;
  }
  void Deliver(const v1::WatchResponse& response) {
    last_response_ = host().now();
    Respond(response);
  }

  const BlockId chain_;
  std::uint64_t next_;     // the position that comes next
  std::string last_hash_;  // of the entry delivered last; empty before the first
  Instant last_response_{};
  bool asking_ = false;
};

class DeleteChainCall final : public ZonedCall {
 public:
  DeleteChainCall(CallId id, Instant deadline, CallHost& host, const v1::ChainsDeleteRequest& request)
      : ZonedCall(id, deadline, host, request.zone(), request.zone_id()), chain_(BlockId::Must(request.chain())) {}

  void Run() override { Reissue(0); }
  void Reissue(Slot) override {
    OpSpec spec = SpecFor(chain_, Target::kPrimary, /*write=*/true);
    spec.request.mutable_delete_chain()->set_chain(chain_.str());
    Ask(0, std::move(spec));
  }
  void Answered(Slot, OpResult result) override {
    if (!IsOk(result.status)) return End(std::move(result.status));
    Succeed(v1::ChainsDeleteResponse());
  }

 private:
  const BlockId chain_;
};

}  // namespace

std::unique_ptr<Call> MakeChainsCall(CallId id, Instant deadline, CallHost& host, Request request) {
  switch (MethodOf(request)) {
    case Method::kChainsAppend:
      return std::make_unique<AppendCall>(id, deadline, host, std::get<v1::AppendRequest>(std::move(request)));
    case Method::kChainsRead:
      return std::make_unique<ReadCall>(id, deadline, host, std::get<v1::ReadRequest>(std::move(request)));
    case Method::kChainsHead: return std::make_unique<HeadCall>(id, deadline, host, std::get<v1::HeadRequest>(request));
    case Method::kChainsWatch:
      return std::make_unique<WatchCall>(id, deadline, host, std::get<v1::WatchRequest>(request));
    default:
      return std::make_unique<DeleteChainCall>(id, deadline, host, std::get<v1::ChainsDeleteRequest>(request));
  }
}

}  // namespace coffer::router
