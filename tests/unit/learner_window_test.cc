// What a learner asks for at a time: bounded in bytes until it is durable, by source, and asked for again as soon as there is room.
#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "node/memory_store.h"
#include "test_support.h"
#include "unit/learner_words.h"
#include "unit/store_samples.h"

namespace coffer::node {
namespace {

constexpr std::uint64_t kValue = 64 << 10;
constexpr std::uint64_t kOneFetch = 256 << 10;
constexpr int kChunks = 8;  // of a partition

const NodeId kOne = NodeId::Must("source-one-16byt");
const NodeId kTwo = NodeId::Must("source-two-16byt");

// A learner, and sources that the test speaks for. What it writes is durable when the test says so.
class Filling {
 public:
  Filling() : ctx_(LearnerConfig(), store_, 1), learner_(ctx_, [this](PartitionId, std::uint64_t) { return ++looks > 0; }) {
    for (int i = 0; i < kChunks; ++i) keys_.push_back(EncodeKey(ChunkAt(static_cast<char>('a' + i))));
  }

  void Learn(const NodeId& source, PartitionId partition) {
    learner_.OnRole(source, ChosenRole(partition));
    ++partitions_;
  }
  void Tick() {
    ctx_.now += std::chrono::milliseconds(20);
    learner_.Tick();
    Take();
  }
  // Answers what was compared and listed; fetches wait.
  void AnswerQuestions() {
    while (!questions_.empty()) {
      const auto [to, question] = std::move(questions_.front());
      questions_.pop_front();
      question.has_ranges_request() ? AnswerRanges(to, question.ranges_request()) : AnswerList(to, question.list_request());
      Take();
    }
  }
  // The oldest fetch from a source that does not keep silent; false: there is none.
  bool AnswerFetch() {
    const auto it = std::find_if(fetches_.begin(), fetches_.end(), [&](const auto& f) {
      return !silent.contains(f.first) && (!only_small || small.contains(f.second.partition()));
    });
    if (it == fetches_.end()) return false;
    const auto [to, fetch] = *it;
    fetches_.erase(it);
    wire::Fetched fetched;
    std::vector<Payload> bodies;
    fetched.set_partition(fetch.partition());
    fetched.set_term(1);
    fetched.set_boot(1);
    fetched.set_call(fetch.call());
    for (const auto& key : fetch.keys()) {
      auto* record = fetched.add_records();
      record->set_key(key);
      record->set_found(true);
      record->set_header(EncodeHeader(HeaderFor(value_)));
      bodies.push_back(value_);
    }
    coming_ -= bodies.size() * kValue;
    asked_of_[to] -= bodies.size() * kValue;
    writing_ += bodies.size() * kValue;
    written_.push_back(bodies.size() * kValue);
    learner_.OnFetched(to, fetched, bodies);
    Take();
    return true;
  }
  // What was written first is durable; false: nothing is under way.
  bool Sync() {
    if (batches_.empty()) return false;
    store_.Write(std::move(batches_.front().first), nullptr);
    store_.CompleteWrites();
    if (batches_.front().second) {
      writing_ -= written_.front();
      written_.pop_front();
    }
    batches_.pop_front();
    auto then = std::move(ctx_.continuations.front());
    ctx_.continuations.pop_front();
    then();
    Take();
    return true;
  }
  std::uint64_t window() const { return coming_ + writing_; }
  std::size_t fetches() const { return fetches_.size(); }
  // The partitions of those from one source, in the order in which they were asked for.
  std::vector<PartitionId> asked_of(const NodeId& source) const {
    std::vector<PartitionId> all;
    for (const auto& [to, fetch] : fetches_) {
      if (to == source) all.push_back(fetch.partition());
    }
    return all;
  }
  std::size_t done() const { return done_.size(); }
  std::size_t partitions() const { return partitions_; }
  bool Holds(PartitionId partition) const {
    RecordHeader header;
    Payload value;
    return std::all_of(keys_.begin(), keys_.end(), [&](const std::string& key) {
      return store_.Read(partition, *DecodeKey(key), &header, &value) == ReadOutcome::kFound && *value == *value_;
    });
  }

  // All that was asked of a source by now is answered, and durable.
  void Serve(const NodeId& source) {
    const std::set<NodeId> others = std::exchange(silent, {source == kOne ? kTwo : kOne});
    for (std::size_t left = fetches_.size(); left > 0 && AnswerFetch(); --left) {}
    silent = others;
    while (Sync()) {}
    AnswerQuestions();
  }

  std::size_t looks = 0;                        // at a partition, whether it goes on
  std::set<NodeId> silent;
  std::set<PartitionId> small;                  // those of one chunk
  bool only_small = false;                      // are answered
  std::map<NodeId, std::uint64_t> most_of;      // the most that was asked of a source at a time
  std::uint64_t most = 0;          // the window's largest
  std::uint64_t most_of_one = 0;   // the largest fetch

 private:
  std::uint64_t ChunksOf(PartitionId partition) const { return small.contains(partition) ? 1 : kChunks; }
  void AnswerRanges(const NodeId& to, const wire::RangesRequest& request) {
    wire::Ranges ranges;
    ranges.set_partition(request.partition());
    ranges.set_term(1);
    ranges.set_boot(1);
    ranges.set_after(request.after());
    auto* range = ranges.add_ranges();
    range->set_last_key(keys_.back());
    range->set_records(ChunksOf(request.partition()));
    range->set_bytes(ChunksOf(request.partition()) * kValue);
    range->set_digest(std::string(32, 'd'));
    ranges.set_complete(true);
    learner_.OnRanges(to, std::move(ranges));
  }
  void AnswerList(const NodeId& to, const wire::ListRequest& request) {
    wire::Listing listing;
    listing.set_partition(request.partition());
    listing.set_term(1);
    listing.set_boot(1);
    listing.set_after(request.after());
    listing.set_last_key(request.last_key());
    for (std::uint64_t i = 0; i < ChunksOf(request.partition()); ++i) {
      auto* record = listing.add_records();
      record->set_key(keys_[i]);
      record->set_hash(RecordHash(HeaderFor(value_)).str());
      record->set_size(kValue);
    }
    learner_.OnListing(to, std::move(listing));
  }
  // What the learner said and handed to the disk.
  void Take() {
    for (Outgoing& o : std::exchange(ctx_.out.send, {})) {
      wire::Peer& said = o.message.header;
      if (said.has_ranges_request() || said.has_list_request()) questions_.emplace_back(o.to, std::move(said));
      if (said.has_history_done()) done_.insert(said.history_done().partition());
      if (!said.has_fetch_request()) continue;
      const std::uint64_t bytes = static_cast<std::uint64_t>(said.fetch_request().keys_size()) * kValue;
      coming_ += bytes;
      most_of[o.to] = std::max(most_of[o.to], asked_of_[o.to] += bytes);
      most_of_one = std::max(most_of_one, bytes);
      fetches_.emplace_back(o.to, std::move(*said.mutable_fetch_request()));
    }
    for (auto& persist : std::exchange(ctx_.out.persist, {})) {
      auto& batch = std::get<StoreBatch>(persist.what);
      const bool values = std::holds_alternative<StoreBatch::PutRecord>(batch.changes.front());
      batches_.emplace_back(std::move(batch), values);
    }
    most = std::max(most, window());
  }

  const Payload value_ = MakeValue(std::string(kValue, 'v'));
  std::vector<std::string> keys_;
  MemoryStore store_;
  Context ctx_;
  LearnerResync learner_;
  std::deque<std::pair<NodeId, wire::Peer>> questions_;
  std::deque<std::pair<NodeId, wire::FetchRequest>> fetches_;
  std::deque<std::pair<StoreBatch, bool>> batches_;
  std::deque<std::uint64_t> written_;
  std::set<PartitionId> done_;
  std::size_t partitions_ = 0;
  std::uint64_t coming_ = 0, writing_ = 0;
  std::map<NodeId, std::uint64_t> asked_of_;
};

TEST_CASE("what was asked for and is not durable stays within the window's most, which is used when nothing takes long") {
  Filling f;
  for (PartitionId p = 0; p < 100; ++p) f.Learn(kOne, p);
  for (int i = 0; i < 2000 && f.done() < f.partitions(); ++i) {
    if (i % 50 == 0) f.Tick();
    f.AnswerQuestions();
    // Answers come in faster than they are written, then the disk catches up.
    if (i % 3 == 0 || !f.AnswerFetch()) f.Sync();
  }
  CHECK(f.done() == f.partitions());
  for (PartitionId p = 0; p < 100; ++p) CHECK(f.Holds(p));
  CHECK(f.most > FillWindow::kFirst);
  CHECK(f.most < FillWindow::kMost + kOneFetch);
  CHECK(f.most_of_one == kOneFetch);
}

TEST_CASE("room in the window is used at once, and the partition behind one that is done begins") {
  Filling f;
  for (PartitionId p = 0; p < 100; ++p) f.Learn(kOne, p);
  f.Tick();
  f.AnswerQuestions();
  CHECK(f.window() == FillWindow::kFirst);
  const std::size_t under_way = f.fetches();
  REQUIRE(f.AnswerFetch());
  CHECK(f.fetches() == under_way - 1);  // what came is not durable yet
  REQUIRE(f.Sync());
  CHECK(f.fetches() >= under_way);
  // Without a tick from here on.
  for (int i = 0; i < 4000; ++i) {
    f.AnswerQuestions();
    if (!f.AnswerFetch() && !f.Sync()) break;
  }
  CHECK(f.done() == f.partitions());
}

TEST_CASE("what came is looked at, not all that wait for room or for their turn") {
  Filling f;
  for (PartitionId p = 0; p < 1000; ++p) f.Learn(kOne, p);
  f.Tick();
  f.AnswerQuestions();
  f.looks = 0;
  std::size_t came = 0;
  for (; f.done() < f.partitions(); f.AnswerQuestions()) {
    if (f.AnswerFetch()) ++came;
    else REQUIRE(f.Sync());
  }
  CHECK(came >= 2 * f.partitions());  // two fetches each
  CHECK(f.looks < 10 * came);
}

TEST_CASE("those that wait for room at one source keep their turn while another has room") {
  Filling f;
  for (PartitionId p = 0; p < 60; ++p) f.Learn(p < 30 ? kOne : kTwo, p);
  f.Tick();
  f.AnswerQuestions();
  const std::vector<PartitionId> before = f.asked_of(kOne);
  f.Serve(kTwo);
  CHECK(f.asked_of(kOne) == before);
  f.Serve(kOne);
  const std::vector<PartitionId> after = f.asked_of(kOne);
  // Beside those that were asked before and go on, the first that waited.
  const auto next = std::find_if(after.begin(), after.end(), [&](PartitionId p) { return p > before.back(); });
  REQUIRE(next != after.end());
  CHECK(*next == before.back() + 1);
}

TEST_CASE("a source that keeps silent holds up nobody else") {
  Filling f;
  f.silent = {kOne};
  for (PartitionId p = 0; p < 40; ++p) f.Learn(p < 20 ? kOne : kTwo, p);
  for (int i = 0; i < 4000 && f.done() < 20; ++i) {
    if (i % 20 == 0) f.Tick();
    f.AnswerQuestions();
    if (!f.AnswerFetch()) f.Sync();
  }
  CHECK(f.done() == 20);
  for (PartitionId p = 20; p < 40; ++p) CHECK(f.Holds(p));
}

TEST_CASE("how long a far source takes is nothing to what may be asked of a near one") {
  Filling f;
  for (PartitionId p = 0; p < 600; ++p) f.Learn(p % 3 != 0 ? kOne : kTwo, p);
  f.Tick();
  f.AnswerQuestions();
  for (int i = 0; i < 60; ++i) {
    f.Tick();
    f.Tick();
    f.Serve(kOne);
    if (i % 5 == 4) f.Serve(kTwo);
  }
  CHECK(f.most_of[kOne] > 2 * FillWindow::kFirst);
}

TEST_CASE("a small fetch says nothing about how long a large one may take") {
  Filling f;
  for (PartitionId p = 0; p < 600; ++p) {
    if (p % 4 == 0) f.small.insert(p);
    f.Learn(kOne, p);
  }
  f.Tick();
  f.AnswerQuestions();
  for (int i = 0; i < 60; ++i) {
    f.only_small = true;
    f.Serve(kOne);  // what was asked for just now
    f.only_small = false;
    f.Tick();
    f.Tick();
    f.Serve(kOne);
  }
  CHECK(f.most_of[kOne] > 2 * FillWindow::kFirst);
}

}  // namespace
}  // namespace coffer::node
