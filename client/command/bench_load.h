// The load of a benchmark: many operations at once, each timed from the moment it was due.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/command/bench_draw.h"
#include "client/command/bench_histogram.h"
#include "client/command/bench_schedule.h"
#include "proto/mutex.h"

namespace coffer::command {

struct BenchPlan {
  Lots<BenchOp> mix{{{BenchOp::kPut, 1}}};
  Lots<std::uint64_t> sizes{{{1024, 1}}};
  double key_skew = 0;
  std::uint64_t keys = 10'000;   // chunks that are stored before, for get and has
  std::uint64_t chains = 64;     // of each client, for append and last
  std::uint64_t last = 20;       // entries that `last` reads
  std::uint64_t in_flight = 64;  // of all clients; in an open loop the most that may be
  double per_second = 0;         // of all clients, in an open loop; 0: closed loop
  std::uint64_t clients = 1;     // connections, each with threads of its own
  std::chrono::milliseconds timeout{10'000};
  std::uint64_t seed = 1;

  bool Has(BenchOp op) const;
  std::uint64_t LargestSize() const;
};

// What is counted of one kind of operation.
struct BenchTally {
  Histogram latency;           // of those that were due in the measured time and succeeded
  std::uint64_t finished = 0;  // succeeded within the measured time
  std::uint64_t bytes = 0;     // of values, of those
  std::uint64_t errors = 0;    // due in the measured time
  void Add(const BenchTally& other);
};

struct BenchResult {
  std::array<BenchTally, kBenchOps> ops;
  std::uint64_t wrong = 0;  // answers that were not what was stored
  std::uint64_t unserved =
      0;  // open loop: due in the measured time, not begun when patience ended; no part of the latencies
  std::map<std::string, std::uint64_t> errors;  // by reason or code
  std::optional<client::Status> first_error;
  void Add(const BenchResult& other);
  BenchTally All() const;
};

// One client and its share of the load. Thread-safe. Operations begin on the client's threads (when one ends) and in
// Pace.
class BenchWorker {
 public:
  // `plan` must outlive the worker. `number` tells the workers of a run apart.
  BenchWorker(const BenchPlan& plan, std::uint64_t number, std::uint64_t in_flight, client::ClientOptions options);

  // Stores the share of the keys and chains that reading needs; blocks. `step` is called on this thread after each,
  // with the bytes. Returns the first failure.
  client::Status Prepare(const std::function<void(std::uint64_t)>& step);

  // Begins; what is due in [from, end) is measured.
  void Start(Instant now, Instant from, Instant end);
  // Open loop: begins what is due. Returns when to be called again.
  Instant Pace(Instant now);
  // Nothing more is due from now on; the measured time ends here.
  void Stop(Instant now);
  // Waits until nothing is under way or waiting, at most until `most`.
  void Drain(Instant most);

  BenchResult Figures() const;
  // Latencies since the last call, all operations together.
  Histogram TakeRecent();

 private:
  struct Chain {
    BlockId id;
    std::uint64_t position = 0;
    Digest predecessor;
  };
  // An append under way: repeated as it is when an earlier one of its chain has not arrived yet.
  struct Appending {
    std::size_t chain = 0;
    BlockId id;
    std::uint64_t position = 0;
    Digest predecessor;
    std::string body;
    Instant due{};
  };

  void Begin(Instant due);
  void BeginPut(Instant due);
  void BeginGet(Instant due);
  void BeginHas(Instant due);
  void BeginLast(Instant due);
  void BeginAppend(Instant due);
  void SendAppend(std::shared_ptr<Appending> append);
  void Ended(BenchOp op, Instant due, std::uint64_t bytes, const client::Status& status, bool wrong = false);
  // Whether one more may begin, and when it was due.
  std::optional<Instant> Next(Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  BlockId IdOf(std::uint64_t key) const;
  std::uint64_t SizeOf(std::uint64_t key) const;
  std::string ValueOf(std::uint64_t key) const;
  BlockId FreshChain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const BenchPlan& plan_;
  const std::uint64_t number_;
  const std::uint64_t in_flight_;
  const KeyLots keys_;
  std::string noise_;  // values are cut from here

  mutable Mutex mutex_;
  Condition idle_;
  Random random_ ABSL_GUARDED_BY(mutex_);
  std::optional<ArrivalSchedule> arrivals_ ABSL_GUARDED_BY(mutex_);
  Instant from_ ABSL_GUARDED_BY(mutex_){};
  Instant end_ ABSL_GUARDED_BY(mutex_){};
  std::uint64_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t next_key_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t next_chain_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::size_t next_chain_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Chain> chains_ ABSL_GUARDED_BY(mutex_);
  BenchResult result_ ABSL_GUARDED_BY(mutex_);
  Histogram recent_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<client::Client> client_;  // last: its end runs callbacks that use the rest
};

}  // namespace coffer::command
