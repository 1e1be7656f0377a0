// Chains: reading, appending, following.

#include <iterator>

#include "client/call_series.h"
#include "client/response_bytes.h"
#include "client/rpc_status.h"
#include "cluster/sha256.h"
#include "coffer/v1/chains.pb.h"
#include "google/rpc/status.pb.h"

namespace coffer::client {
namespace {

std::string BigEndian(std::uint64_t value, int bytes) {
  std::string out;
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

Head ToHead(const v1::ChainHead& h) {
  return {h.length(), Digest::Must(h.hash())};
}

Entry ToEntry(v1::Entry&& e) {
  return {e.position(), std::move(*e.mutable_body()), std::move(*e.mutable_signature()), Digest::Must(e.predecessor()),
          Digest::Must(e.hash())};
}

void SetPart(const Part& part, v1::ChainQuery& query) {
  switch (part.kind) {
    case Part::Kind::kFirst:
      query.set_first(part.a);
      break;
    case Part::Kind::kLast:
      query.set_last(part.a);
      break;
    case Part::Kind::kRange:
      query.mutable_range()->set_from(part.a);
      query.mutable_range()->set_to(part.b);
      break;
  }
  query.set_backwards(part.backwards);
}

v1::Consistency Wanted(const CallOptions& o) {
  return o.local ? v1::CONSISTENCY_LOCAL : v1::CONSISTENCY_LINEARIZABLE;
}

// Puts the responses of a Read together, one result per query.
Result<std::vector<Result<ReadResult>>> Assemble(Responses responses, std::size_t count) {
  std::vector<Result<ReadResult>> out(count);
  std::vector<bool> complete(count);
  for (const std::string& raw : responses) {
    ReadPage page;
    if (!ParseReadResponse(raw, &page) || page.index >= count) {
      return Status::Failed(Code::kInternal, "the router's answer to Chains/Read can't be parsed", "BAD_ANSWER");
    }
    Result<ReadResult>& item = out[page.index];
    if (page.status.code() != 0) {
      item.status = FromRpc(page.status);
      complete[page.index] = true;
      continue;
    }
    auto& entries = item.value.entries;
    if (entries.empty()) {
      entries = std::move(page.part.entries);
    } else {
      std::move(page.part.entries.begin(), page.part.entries.end(), std::back_inserter(entries));
    }
    item.value.head = page.part.head;
    item.value.staleness = page.part.staleness;
    if (page.complete) complete[page.index] = true;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (!complete[i]) out[i] = Status::Failed(Code::kInternal, "the router's answer was cut short", "BAD_ANSWER");
  }
  return out;
}

// AppendLast under way: head, append, and again when another writer was faster.
class LastAppender : public CallSeries, public std::enable_shared_from_this<LastAppender> {
 public:
  LastAppender(const std::shared_ptr<Client::Impl>& client, BlockId chain, std::vector<NewEntry> entries, CallOptions options,
               Callback<AppendResult> done)
      : CallSeries(client, std::move(options)), chain_(chain), entries_(std::move(entries)), done_(std::move(done)) {}

  void FindHead() {
    v1::HeadRequest request;
    const auto client = this->client();
    if (!client) return done_(Closed());
    request.set_zone(client->Zone(options()));
    request.add_chains(chain_.str());
    request.set_consistency(v1::CONSISTENCY_LINEARIZABLE);
    Job job = client->NewJob("coffer.v1.Chains/Head", request.SerializeAsString(), Effect::kRead, options());
    Limit(&job);
    Keep(client->RunUnary<v1::HeadResponse>(
        std::move(job), Callback<Head>([self = shared_from_this()](Result<Head> head) {
          if (!head.ok()) return self->done_(std::move(head.status));
          self->AppendAt(head.value);
        }),
        [](v1::HeadResponse r) -> Result<Head> {
          if (r.heads_size() != 1) return Status::Failed(Code::kInternal, "the router named no head", "BAD_ANSWER");
          return ToHead(r.heads(0));
        }));
  }

  static Job AppendJob(const Client::Impl& client, const BlockId& chain, std::uint64_t position,
                       const Digest& predecessor, std::vector<NewEntry> entries, const CallOptions& options);

 private:
  void AppendAt(const Head& head);

  const BlockId chain_;
  const std::vector<NewEntry> entries_;
  const Callback<AppendResult> done_;
};

Job LastAppender::AppendJob(const Client::Impl& client, const BlockId& chain, std::uint64_t position,
                            const Digest& predecessor, std::vector<NewEntry> entries, const CallOptions& options) {
  v1::AppendRequest request;
  request.set_chain(chain.str());
  request.set_position(position);
  request.set_predecessor(predecessor.str());
  for (NewEntry& entry : entries) {
    v1::EntryToAppend& e = *request.add_entries();
    e.set_body(std::move(entry.body));
    e.set_signature(std::move(entry.signature));
  }
  Job job = client.NewWrite("coffer.v1.Chains/Append", &request, options);
  // The place is taken by another entry: no attempt of ours stands there or ever will. (A head *before* our place
  // proves nothing: an attempt still on its way may find its predecessor later.)
  job.settles = [position](const Status& s) {
    return s.code == Code::kAborted && s.conflict && s.conflict->length > position;
  };
  return job;
}

void LastAppender::AppendAt(const Head& head) {
  const auto client = this->client();
  if (!client) return done_(Closed());
  Job job = AppendJob(*client, chain_, head.length, head.hash, entries_, options());
  Limit(&job);
  Keep(client->RunUnary<v1::AppendResponse>(
      std::move(job), Callback<AppendResult>([self = shared_from_this()](Result<AppendResult> r) {
        const bool lost_race = r.status.code == Code::kAborted && r.status.retry_class == RetryClass::kFailed;
        if (!lost_race) return self->done_(std::move(r));
        if (self->Late()) {
          r.status.retry_class = RetryClass::kRetryLater;
          r.status.message = "other writers were faster each time until the deadline: " + r.status.message;
          return self->done_(std::move(r));
        }
        const auto hash = r.status.conflict ? Digest::From(r.status.conflict->hash) : std::nullopt;
        if (hash) return self->AppendAt({r.status.conflict->length, *hash});
        self->FindHead();
      }),
      [](v1::AppendResponse r) {
        return AppendResult{ToHead(r.head()), r.already_existed()};
      }));
}

}  // namespace

Digest EntryHash(const BlockId& chain, std::uint64_t position, const Digest& predecessor, std::string_view signature,
                 std::string_view body) {
  return Sha256({"coffer.entry.v1", chain.view(), BigEndian(position, 8), predecessor.view(),
                 BigEndian(signature.size(), 4), signature, body});
}

Ticket Client::Append(const BlockId& chain, std::uint64_t position, const Digest& predecessor,
                      std::vector<NewEntry> entries, const CallOptions& o, Callback<AppendResult> done) {
  Job job = LastAppender::AppendJob(*impl_, chain, position, predecessor, std::move(entries), o);
  return impl_->RunUnary<v1::AppendResponse>(std::move(job), std::move(done), [](v1::AppendResponse r) {
    return AppendResult{ToHead(r.head()), r.already_existed()};
  });
}

Ticket Client::AppendLast(const BlockId& chain, std::vector<NewEntry> entries, const CallOptions& o,
                          Callback<AppendResult> done) {
  auto appender = std::make_shared<LastAppender>(impl_, chain, std::move(entries), o, std::move(done));
  appender->FindHead();
  return Ticket([weak = std::weak_ptr<LastAppender>(appender)] {
    if (auto a = weak.lock()) a->Cancel();
  });
}

Ticket Client::ReadMany(const std::vector<ChainRead>& queries, const CallOptions& o,
                        Callback<std::vector<Result<ReadResult>>> done) {
  v1::ReadRequest request;
  request.set_zone(impl_->Zone(o));
  request.set_consistency(Wanted(o));
  for (const ChainRead& q : queries) {
    v1::ChainQuery& query = *request.add_queries();
    query.set_chain(q.chain.str());
    SetPart(q.part, query);
  }
  Job job = impl_->NewJob("coffer.v1.Chains/Read", request.SerializeAsString(), Effect::kRead, o);
  job.on_end = [done = std::move(done), count = queries.size()](Status status, Responses responses) {
    if (!status.ok()) return done(std::move(status));
    done(Assemble(std::move(responses), count));
  };
  return impl_->Run(std::move(job));
}

Ticket Client::Read(const BlockId& chain, const Part& part, const CallOptions& o, Callback<ReadResult> done) {
  return ReadMany({{chain, part}}, o, [done = std::move(done)](Result<std::vector<Result<ReadResult>>> all) {
    if (!all.ok()) return done(std::move(all.status));
    done(std::move(all.value.front()));
  });
}

Ticket Client::Heads(const std::vector<BlockId>& chains, const CallOptions& o, Callback<std::vector<Head>> done) {
  v1::HeadRequest request;
  request.set_zone(impl_->Zone(o));
  request.set_consistency(Wanted(o));
  for (const BlockId& c : chains) request.add_chains(c.str());
  return impl_->RunUnary<v1::HeadResponse>(
      impl_->NewJob("coffer.v1.Chains/Head", request.SerializeAsString(), Effect::kRead, o), std::move(done),
      [count = chains.size()](v1::HeadResponse r) -> Result<std::vector<Head>> {
        if (static_cast<std::size_t>(r.heads_size()) != count) {
          return Status::Failed(Code::kInternal, "the router answered for another number of chains", "BAD_ANSWER");
        }
        std::vector<Head> out;
        for (const v1::ChainHead& h : r.heads()) out.push_back(ToHead(h));
        return out;
      });
}

Ticket Client::Watch(const BlockId& chain, std::uint64_t from, const CallOptions& o,
                     std::function<void(std::vector<Entry>)> on_entries, Callback<Done> done) {
  // The next position wanted: what makes each entry come once, over any number of reconnections.
  auto next = std::make_shared<std::atomic<std::uint64_t>>(from);
  auto request = [next, zone = impl_->Zone(o), chain] {
    v1::WatchRequest r;
    r.set_zone(zone);
    r.set_chain(chain.str());
    r.set_from(next->load());
    return r.SerializeAsString();
  };
  auto on_message = [next, on_entries = std::move(on_entries)](std::string raw) {
    v1::WatchResponse r;
    if (!r.ParseFromString(raw)) return;
    std::vector<Entry> fresh;
    for (v1::Entry& e : *r.mutable_entries()) {
      if (e.position() != next->load()) continue;
      next->fetch_add(1);
      fresh.push_back(ToEntry(std::move(e)));
    }
    if (!fresh.empty()) on_entries(std::move(fresh));
  };
  return Follow("coffer.v1.Chains/Watch", request, std::chrono::seconds(25), on_message, std::move(done));
}

Ticket Client::DeleteChain(const BlockId& chain, const CallOptions& o, Callback<Done> done) {
  v1::ChainsDeleteRequest request;
  request.set_chain(chain.str());
  return impl_->RunUnary<v1::ChainsDeleteResponse>(impl_->NewWrite("coffer.v1.Chains/Delete", &request, o), std::move(done),
                                                   [](v1::ChainsDeleteResponse) { return Done{}; });
}

}  // namespace coffer::client
