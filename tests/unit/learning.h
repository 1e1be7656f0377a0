// A learner of one partition, alone, for the tests of what it makes of what it is told.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/sha256.h"
#include "node/core/replica.h"
#include "node/core/resync_source.h"
#include "node/memory_store.h"
#include "test_support.h"
#include "unit/learner_words.h"
#include "unit/store_samples.h"

namespace coffer::node {

inline constexpr PartitionId kPartition = 0;
inline const NodeId kPrimary = NodeId::Must("the-primary-16by");

// A learner of one partition, and its primary, for which the test speaks. What the learner writes is durable at once, unless the disk stands still.
class Learning {
 public:
  Learning() : ctx_(LearnerConfig(), store_, 1), learner_(ctx_, [this](PartitionId, std::uint64_t choice) { return choice == log_of; }) { Choose(1); }

  // The log begins where this choice says, unless that is yet to come.
  void Choose(std::uint64_t choice) {
    log_of = choice;
    ChooseOnly(choice);
  }
  void ChooseOnly(std::uint64_t choice, Seq base = {}) {
    wire::LearnerRole role = ChosenRole(kPartition, choice);
    role.set_base(base.value);
    learner_.OnRole(kPrimary, role);
  }

  // Long enough that whatever waits is tried again.
  void Wait() {
    for (int i = 0; i < 300; ++i) {
      ctx_.now += std::chrono::milliseconds(20);
      learner_.Tick();
      Take();
    }
  }
  // The primary's log had come to these writes when it looked.
  void OfferOneRecord(const std::string& key, Seq compared = {}, Seq listed = {}) {
    OfferRanges(key, 1, "", compared);
    List({{key, ""}}, listed);
  }
  // What is here as `header` says, the primary has, too, by their hashes.
  void OfferTheSame(const RecordKey& key, const RecordHeader& header, Seq as_of) {
    RunDigest digest;
    digest.Add(EncodeKey(key), RecordHash(header));
    OfferRanges(EncodeKey(key), 1, digest.Finish().str(), as_of);
    List({{EncodeKey(key), RecordHash(header).str()}}, as_of);
  }
  // The primary has nothing.
  void OfferNothing(Seq as_of) { OfferRanges("", 0, RunDigest().Finish().str(), as_of); }
  // What it has, by its hash, of what was asked for.
  void List(const std::vector<std::pair<std::string, std::string>>& records, Seq as_of) {
    auto listing = OfThePrimary<wire::Listing>();
    for (const auto& [key, hash] : records) {
      auto* record = listing.add_records();
      record->set_key(key);
      record->set_hash(hash);
    }
    listing.set_last_key(list_to_);
    listing.set_as_of(as_of.value);
    learner_.OnListing(kPrimary, std::move(listing));
    Wait();
  }
  // All of it.
  void HasTheSame(const std::vector<std::pair<RecordKey, RecordHeader>>& records, Seq as_of) {
    RunDigest digest;
    for (const auto& [key, header] : records) {
      Has(key, header);
      digest.Add(EncodeKey(key), RecordHash(header));
    }
    OfferRanges(EncodeKey(records.back().first), records.size(), digest.Finish().str(), as_of);
    Wait();
  }
  void AnswerGone(const std::string& key, Seq as_of) {
    wire::FetchedRecord gone;
    gone.set_key(key);
    Answer(gone, as_of, {});
  }
  void AnswerFound(const RecordKey& key, const RecordHeader& header, const std::string& value, std::optional<std::uint32_t> checksum = {}) {
    wire::FetchedRecord found;
    found.set_key(EncodeKey(key));
    found.set_header(EncodeHeader(header));
    found.set_found(true);
    if (checksum) found.set_checksum(*checksum);
    Answer(found, Seq{}, {std::make_shared<const std::string>(value)});
  }
  // A live write puts this.
  void WritesLive(const RecordKey& key, RecordHeader header) {
    header.stamp = {Term(1), Boot(1), Seq(9)};
    Has(key, std::move(header));
  }
  // A live write removes the registration of a zone.
  void PurgesLive(const RecordKey& key) { AppliesLive(wire::WRITE_KIND_PURGE_ZONE, key, {}); }
  // One deletes a chunk.
  void DeletesLive(const RecordKey& key, const RecordHeader& header) { AppliesLive(wire::WRITE_KIND_DELETE_CHUNK, key, header); }
  // One puts a chunk.
  void PutsLive(const RecordKey& key, const std::string& value) {
    AppliesLive(wire::WRITE_KIND_PUT_CHUNK, key, {.hash = Sha256({value}), .size = value.size()}, {std::make_shared<const std::string>(value)});
  }
  // No read succeeds but the first `sound` ones.
  void DiskFails(std::size_t sound = 0) { store_.SetReadErrors(true, sound); }
  void DiskIsWell() { store_.SetReadErrors(false); }
  // Of what holds resync up, if anything does.
  std::string error() const {
    wire::ResyncReport report;
    learner_.tally().Fill(&report);
    return report.last_error();
  }
  void Damage(const RecordKey& key) { REQUIRE(store_.DamageRecord(kPartition, key, MemoryStore::Part::kHeader)); }
  ReadOutcome Finds(const RecordKey& key) const {
    RecordHeader header;
    return store_.Lookup(kPartition, key, &header);
  }
  void Commits(Seq seq) {
    StoreBatch batch;
    ctx_.Replica(kPartition).Commit(seq, &batch);
    ctx_.Persist(std::move(batch), [] {});
    Take();
  }
  void Has(const RecordKey& key, RecordHeader header) {
    StoreBatch batch;
    batch.changes.push_back(StoreBatch::PutRecord{kPartition, key, std::move(header), nullptr});
    ctx_.Persist(std::move(batch), [] {});
    Take();
  }
  // What is there: nothing if it is not.
  std::optional<RecordHeader> Held(const RecordKey& key) const {
    RecordHeader header;
    if (store_.Lookup(kPartition, key, &header) != ReadOutcome::kFound) return std::nullopt;
    return header;
  }
  void LogReaches(Seq seq) {
    StoreBatch batch;
    ctx_.Replica(kPartition).StartAt(seq, Digest{}, {Term(1), Boot(1), seq}, &batch);
    ctx_.Persist(std::move(batch), [this, applied = ctx_.Replica(kPartition).applied()] { ctx_.Replica(kPartition).DurableUpTo(applied); });
    Wait();
  }
  // A write of the log became durable.
  void Advances() {
    learner_.OnAdvanced(kPartition);
    Take();
  }
  void LinkBreaks() { learner_.OnLinkDown(kPrimary); }
  // Whatever waits for the disk is durable, and nothing else happens.
  void DiskGoesOn() {
    disk_stands = false;
    Take();
  }
  // The next answer is to the fetch of this number.
  void AnswerCall(std::uint64_t call) { fetch_call_ = call; }
  bool fetching() const { return fetch_call_ != 0; }
  std::uint64_t fetch_call() const { return fetch_call_; }
  bool done() const { return done_; }
  int compared() const { return compared_; }
  int listed() const { return listed_; }
  // Writes before the log may be missing.
  bool lacks() const { return ctx_.replicas.at(kPartition)->meta().lacks_to != Seq{}; }

  bool disk_stands = false;
  std::uint64_t log_of = 0;  // the choice that it was begun for

 private:
  // Of the partition, in the term and by the process that asked for the learner.
  template <class Message>
  static Message OfThePrimary() {
    Message message;
    message.set_partition(kPartition);
    message.set_term(1);
    message.set_boot(1);
    return message;
  }
  void OfferRanges(const std::string& last_key, std::uint64_t records, const std::string& digest, Seq as_of) {
    auto ranges = OfThePrimary<wire::Ranges>();
    auto* range = ranges.add_ranges();
    range->set_last_key(last_key);
    range->set_records(records);
    range->set_digest(digest);
    ranges.set_complete(true);
    ranges.set_as_of(as_of.value);
    learner_.OnRanges(kPrimary, std::move(ranges));
    Take();
  }
  void Answer(const wire::FetchedRecord& record, Seq as_of, const std::vector<Payload>& bodies) {
    auto fetched = OfThePrimary<wire::Fetched>();
    fetched.set_call(fetch_call_);
    *fetched.add_records() = record;
    fetched.set_as_of(as_of.value);
    learner_.OnFetched(kPrimary, fetched, bodies);
    Wait();
  }
  void AppliesLive(wire::WriteKind kind, const RecordKey& key, const RecordHeader& header, std::vector<Payload> bodies = {}) {
    PartitionReplica& replica = ctx_.Replica(kPartition);
    wire::Write write;
    write.set_kind(kind);
    write.set_zone(key.zone.str());
    write.set_id(key.id.str());
    write.add_items()->set_hash(header.hash.str());
    write.mutable_items(0)->set_size(header.size);
    SetStamp({Term(1), Boot(1), replica.last().Next()}, write.mutable_stamp());
    write.set_hash(HashWrite(replica.meta().last_hash, write).str());
    StoreBatch batch;
    REQUIRE(replica.Apply(std::make_shared<const wire::Write>(write), std::move(bodies), &batch));
    ctx_.Persist(std::move(batch), [this, applied = replica.applied()] { ctx_.Replica(kPartition).DurableUpTo(applied); });
    Take();
  }
  void Take() {
    Hear();
    while (!ctx_.continuations.empty() && !disk_stands) {
      for (auto& persist : std::exchange(ctx_.out.persist, {})) store_.Write(std::get<StoreBatch>(std::move(persist.what)), nullptr);
      store_.CompleteWrites();
      auto then = std::move(ctx_.continuations.front());
      ctx_.continuations.pop_front();
      then();
      Hear();
    }
  }
  void Hear() {
    for (const Outgoing& o : std::exchange(ctx_.out.send, {})) {
      const wire::Peer& said = o.message.header;
      if (said.has_fetch_request()) fetch_call_ = said.fetch_request().call();
      compared_ += said.has_ranges_request() ? 1 : 0;
      if (said.has_list_request()) {
        list_to_ = said.list_request().last_key();
        ++listed_;
      }
      done_ = done_ || said.has_history_done();
    }
  }

  MemoryStore store_;
  Context ctx_;
  LearnerResync learner_;
  std::uint64_t fetch_call_ = 0;
  std::string list_to_;  // where the last listing that was asked for ends
  int compared_ = 0;  // how often it asked what to compare with
  int listed_ = 0;    // and for a listing
  bool done_ = false;
};

}  // namespace coffer::node
