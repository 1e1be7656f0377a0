#include "client/command/bench_load.h"

#include <algorithm>
#include <cstring>

namespace coffer::command {
namespace {

using client::CallOptions;
using client::Result;

constexpr std::size_t kBulkBytes = 64u << 10;  // answers from here on take the second stream
// Of small values: many, so that millions are stored in minutes.
constexpr std::size_t kFillAtOnce = 512;
// Values begin at so many different places of the noise.
constexpr std::uint64_t kNoiseBytes = 64u << 10;
// Keys that are put in the measured time stand above those that are stored before.
constexpr std::uint64_t kFreshKeys = std::uint64_t{1} << 48;

Instant Now() {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

BlockId Drawn(Random random) {
  BlockId id;
  for (std::size_t i = 0; i < id.bytes.size(); i += 8) {
    const std::uint64_t word = random.Next();
    std::memcpy(id.bytes.data() + i, &word, 8);
  }
  return id;
}

CallOptions OptionsFor(std::uint64_t answer_bytes) {
  CallOptions options;
  options.bulk = answer_bytes >= kBulkBytes;
  return options;
}

}  // namespace

bool BenchPlan::Has(BenchOp op) const {
  return std::any_of(mix.all().begin(), mix.all().end(), [&](const auto& lot) { return lot.what == op; });
}

std::uint64_t BenchPlan::LargestSize() const {
  std::uint64_t most = 0;
  for (const auto& lot : sizes.all()) most = std::max(most, lot.what);
  return most;
}

void BenchTally::Add(const BenchTally& other) {
  latency.Add(other.latency);
  finished += other.finished;
  bytes += other.bytes;
  errors += other.errors;
}

void BenchResult::Add(const BenchResult& other) {
  for (std::size_t op = 0; op < ops.size(); ++op) ops[op].Add(other.ops[op]);
  wrong += other.wrong;
  unserved += other.unserved;
  for (const auto& [reason, count] : other.errors) errors[reason] += count;
  if (!first_error) first_error = other.first_error;
}

BenchTally BenchResult::All() const {
  BenchTally all;
  for (const BenchTally& op : ops) all.Add(op);
  return all;
}

BenchWorker::BenchWorker(const BenchPlan& plan, std::uint64_t number, std::uint64_t in_flight,
                         client::ClientOptions options)
    : plan_(plan),
      number_(number),
      in_flight_(in_flight),
      keys_(plan.keys, plan.key_skew),
      random_(plan.seed + number) {
  const std::uint64_t most = plan.LargestSize();
  Random noise(plan.seed);
  noise_.resize((most + kNoiseBytes + 7) / 8 * 8);
  for (std::size_t i = 0; i < noise_.size(); i += 8) {
    const std::uint64_t word = noise.Next();
    std::memcpy(noise_.data() + i, &word, 8);
  }
  next_key_ = kFreshKeys * (number + 1);
  if (plan.Has(BenchOp::kAppend) || plan.Has(BenchOp::kLast)) {
    for (std::uint64_t i = 0; i < plan.chains; ++i) chains_.push_back({FreshChain(), 0, Digest()});
  }
  options.max_in_flight_bytes = std::max<std::uint64_t>(64u << 20, 2 * in_flight * (most + 1024));
  client_ = client::Client::Connect(std::move(options));
}

// ---- What is stored -----------------------------------------------------------------------------------------------

BlockId BenchWorker::IdOf(std::uint64_t key) const {
  return Drawn(Random(plan_.seed ^ (key * 0x9e3779b97f4a7c15)));
}

std::uint64_t BenchWorker::SizeOf(std::uint64_t key) const {
  Random random(key + 1);
  return plan_.sizes.Draw(random);
}

std::string BenchWorker::ValueOf(std::uint64_t key) const {
  std::string value = noise_.substr(key * 8 % kNoiseBytes, SizeOf(key));
  std::memcpy(value.data(), &key, std::min(value.size(), sizeof key));
  return value;
}

BlockId BenchWorker::FreshChain() {
  return Drawn(Random(plan_.seed ^ ((number_ << 32 | next_chain_id_++) * 0xd1342543de82ef95 + 1)));
}

client::Status BenchWorker::Prepare(const std::function<void(std::uint64_t)>& step) {
  client::Status failure;
  std::deque<std::pair<client::Future<client::PutResult>, std::uint64_t>> under_way;
  const auto settle = [&](std::size_t leave) {
    while (under_way.size() > leave) {
      const auto put = under_way.front().first.Get();
      if (!put.ok() && failure.ok()) failure = put.status;
      step(under_way.front().second);
      under_way.pop_front();
    }
  };
  const bool reads = plan_.Has(BenchOp::kGet) || plan_.Has(BenchOp::kHas);
  for (std::uint64_t key = number_; reads && key < plan_.keys && failure.ok(); key += plan_.clients) {
    under_way.emplace_back(client_->Put(IdOf(key), ValueOf(key)), SizeOf(key));
    const std::uint64_t size = std::max<std::uint64_t>(1, plan_.LargestSize());
    settle(std::clamp<std::size_t>((16u << 20) / size, 4, kFillAtOnce));
  }
  settle(0);
  std::vector<Chain> chains;
  {
    MutexLock lock(mutex_);
    chains = chains_;
  }
  for (std::size_t c = 0; plan_.Has(BenchOp::kLast) && c < chains.size() && failure.ok(); ++c) {
    std::vector<client::NewEntry> entries;
    std::uint64_t bytes = 0;
    for (std::uint64_t i = 0; i < plan_.last; ++i) {
      entries.push_back({ValueOf(c * plan_.last + i), ""});
      bytes += entries.back().body.size();
    }
    const auto appended = client_->Append(chains[c].id, 0, Digest(), std::move(entries)).Get();
    if (!appended.ok()) return appended.status;
    MutexLock lock(mutex_);
    chains_[c].position = appended.value.head.length;
    chains_[c].predecessor = appended.value.head.hash;
    step(bytes);
  }
  return failure;
}

// ---- The loop
// ---------------------------------------------------------------------------------------------------------

void BenchWorker::Start(Instant now, Instant from, Instant end) {
  {
    MutexLock lock(mutex_);
    from_ = from;
    end_ = end;
    if (plan_.per_second > 0) {
      arrivals_.emplace(now, plan_.per_second / static_cast<double>(plan_.clients), plan_.seed + 7919 * (number_ + 1));
    }
  }
  Pace(now);
}

std::optional<Instant> BenchWorker::Next(Instant now) {
  if (under_way_ >= in_flight_) return std::nullopt;
  std::optional<Instant> due = now;
  if (arrivals_) {
    due = arrivals_->next() < end_ ? arrivals_->Take(now) : std::nullopt;
  } else if (now >= end_) {
    due.reset();
  }
  if (due) ++under_way_;
  return due;
}

Instant BenchWorker::Pace(Instant now) {
  while (true) {
    std::optional<Instant> due;
    {
      MutexLock lock(mutex_);
      due = Next(now);
      if (!due) return arrivals_ && under_way_ < in_flight_ ? arrivals_->next() : kNever;
    }
    Begin(*due);
  }
}

void BenchWorker::Stop(Instant now) {
  MutexLock lock(mutex_);
  end_ = std::min(end_, now);
}

void BenchWorker::Drain(Instant most) {
  MutexLock lock(mutex_);
  const auto done = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return under_way_ == 0 && (!arrivals_ || arrivals_->next() >= end_);
  };
  idle_.WaitUntil(mutex_, std::chrono::steady_clock::time_point(most.time_since_epoch()), done);
  while (arrivals_ && arrivals_->Take(end_)) ++result_.unserved;
}

BenchResult BenchWorker::Figures() const {
  MutexLock lock(mutex_);
  return result_;
}

Histogram BenchWorker::TakeRecent() {
  MutexLock lock(mutex_);
  return std::exchange(recent_, Histogram());
}

void BenchWorker::Ended(BenchOp op, Instant due, std::uint64_t bytes, const client::Status& status, bool wrong) {
  const Instant now = Now();
  std::optional<Instant> next;
  {
    MutexLock lock(mutex_);
    --under_way_;
    BenchTally& tally = result_.ops[static_cast<std::size_t>(op)];
    const bool measured = due >= from_ && due < end_;
    if (wrong) ++result_.wrong;
    if (status.ok()) {
      recent_.Add(now - due);
      if (measured) tally.latency.Add(now - due);
      if (now >= from_ && now < end_) {
        ++tally.finished;
        tally.bytes += bytes;
      }
    } else if (measured) {
      ++tally.errors;
      ++result_.errors[status.reason.empty() ? client::CodeName(status.code) : status.reason];
      if (!result_.first_error) result_.first_error = status;
    }
    next = Next(now);
    if (under_way_ == 0) idle_.NotifyAll();
  }
  if (next) Begin(*next);
}

// ---- Operations
// -------------------------------------------------------------------------------------------------------

void BenchWorker::Begin(Instant due) {
  BenchOp op;
  {
    MutexLock lock(mutex_);
    op = plan_.mix.Draw(random_);
  }
  switch (op) {
    case BenchOp::kPut:
      return BeginPut(due);
    case BenchOp::kGet:
      return BeginGet(due);
    case BenchOp::kAppend:
      return BeginAppend(due);
    case BenchOp::kLast:
      return BeginLast(due);
    case BenchOp::kHas:
      return BeginHas(due);
  }
}

void BenchWorker::BeginPut(Instant due) {
  std::uint64_t key = 0;
  {
    MutexLock lock(mutex_);
    key = next_key_++;
  }
  client_->Put(IdOf(key), ValueOf(key), {}, [this, due, size = SizeOf(key)](Result<client::PutResult> put) {
    Ended(BenchOp::kPut, due, size, put.status);
  });
}

void BenchWorker::BeginGet(Instant due) {
  std::uint64_t key = 0;
  {
    MutexLock lock(mutex_);
    key = keys_.Draw(random_);
  }
  const std::uint64_t size = SizeOf(key);
  client_->Get(IdOf(key), OptionsFor(size), [this, due, key, size](Result<client::GetResult> got) {
    const std::string& data = got.value.data;
    const bool wrong =
        got.ok() && (data.size() != size || std::memcmp(data.data(), &key, std::min<std::size_t>(size, 8)) != 0);
    Ended(BenchOp::kGet, due, data.size(), got.status, wrong);
  });
}

void BenchWorker::BeginHas(Instant due) {
  std::uint64_t key = 0;
  {
    MutexLock lock(mutex_);
    key = keys_.Draw(random_);
  }
  client_->Has({IdOf(key)}, {}, [this, due](Result<std::vector<bool>> has) {
    Ended(BenchOp::kHas, due, 0, has.status, has.ok() && !has.value.front());
  });
}

void BenchWorker::BeginLast(Instant due) {
  BlockId chain;
  {
    MutexLock lock(mutex_);
    chain = chains_[random_.Below(chains_.size())].id;
  }
  const CallOptions options = OptionsFor(plan_.last * plan_.LargestSize());
  client_->Read(chain, client::Part::Last(plan_.last), options, [this, due](Result<client::ReadResult> read) {
    std::uint64_t bytes = 0;
    for (const client::Entry& entry : read.value.entries) bytes += entry.body.size();
    Ended(BenchOp::kLast, due, bytes, read.status, read.ok() && read.value.entries.size() != plan_.last);
  });
}

// The only writer of a chain knows its end without asking, so it need not wait for one append before the next.
void BenchWorker::BeginAppend(Instant due) {
  auto append = std::make_shared<Appending>();
  append->due = due;
  {
    MutexLock lock(mutex_);
    append->body = ValueOf(next_key_++);
    append->chain = next_chain_;
    next_chain_ = (next_chain_ + 1) % chains_.size();
    Chain& chain = chains_[append->chain];
    append->id = chain.id;
    append->position = chain.position++;
    append->predecessor = chain.predecessor;
    chain.predecessor = client::EntryHash(chain.id, append->position, append->predecessor, "", append->body);
  }
  SendAppend(std::move(append));
}

void BenchWorker::SendAppend(std::shared_ptr<Appending> append) {
  const Appending& a = *append;
  client_->Append(a.id, a.position, a.predecessor, {{a.body, ""}}, {},
                  [this, append](Result<client::AppendResult> result) {
                    const auto& conflict = result.status.conflict;
                    const bool early =
                        result.status.code == client::Code::kAborted && conflict && conflict->length < append->position;
                    bool given_up = !early;
                    {
                      MutexLock lock(mutex_);
                      Chain& chain = chains_[append->chain];
                      if (chain.id != append->id || Now() - append->due > plan_.timeout) given_up = true;
                      // What follows a lost append can't succeed: a new chain.
                      if (!result.ok() && given_up && chain.id == append->id) chain = {FreshChain(), 0, Digest()};
                    }
                    if (!given_up) return SendAppend(append);
                    Ended(BenchOp::kAppend, append->due, append->body.size(), result.status);
                  });
}

}  // namespace coffer::command
