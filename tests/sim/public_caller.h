// A client of routers: the library's decisions (client/retry.h, zone_ids.h) over simulated connections, every request and answer in its public
// encoding. Which router is asked is decided here; the library's engine and its connections need threads and gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/retry.h"
#include "client/zone_ids.h"
#include "google/rpc/status.pb.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

// One public operation.
struct PublicCall {
  std::string method;   // "coffer.v1.Chunks/Put"
  std::string request;  // serialised
  client::Effect effect = client::Effect::kRead;
  // Whether a failure proves that no attempt at this write counts; null: never.
  std::function<bool(const client::Status&)> settles;
  // Of a write: the name of its zone. Empty: none is named.
  std::string zone;
};

// How it ended, as the library says it.
struct PublicAnswer {
  client::RetryClass retry_class = client::RetryClass::kOk;
  google::rpc::Status status;           // of the attempt that decided; code 0 also when nobody answered
  std::vector<std::string> responses;   // of the attempt that succeeded
  // Nothing happened and nothing will: a failure that is definite.
  bool Definite() const { return retry_class == client::RetryClass::kFailed || retry_class == client::RetryClass::kRetryLater; }
};

class PublicCaller {
 public:
  using Done = std::function<void(const PublicAnswer&)>;

  PublicCaller(SimCluster& cluster, const NodeId& self, std::uint64_t seed);

  // One at a time. `done` is not called before this returns.
  void Ask(PublicCall call, Duration timeout, Done done);
  bool Idle() const { return !open_ && !telling_; }
  std::string Describe() const { return open_ ? open_->call.method : "nothing"; }

 private:
  struct Try {
    client::Attempt attempt = 0;
    std::size_t router = 0;
    std::uint64_t life = 0;
    std::vector<std::string> responses;
  };
  struct Open {
    PublicCall call;
    client::ZoneStages stages;
    Instant deadline;
    Done done;
    std::optional<client::RetryMachine> machine;  // of the present stage
    std::map<std::uint64_t, Try> tries;  // by the number of the call
    google::rpc::Status last_error;
  };
  void Begin();
  void Obey(const client::RetryOutput& output);
  void Launch(const client::RetryOutput& output);
  void End(const client::RetryOutput& output);
  void Lost(std::uint64_t call, bool sent);
  void Fail(std::uint64_t call, const client::ReplyFacts& facts);
  void OnReply(v1::Reply reply);
  void Wake();
  std::size_t Choose(bool elsewhere);

  SimCluster& cluster_;
  const NodeId self_;
  Random random_;
  client::HedgeBudget budget_;
  client::ZoneIds zones_;
  std::optional<Open> open_;
  bool telling_ = false;                     // the end of the last one is on its way to who asked
  std::uint64_t next_call_ = 1;
  std::uint64_t operation_ = 0;              // number of the one that is open: timers of others are void
  std::map<std::size_t, Instant> penalised_;  // routers that were lost: not preferred until then
  std::size_t last_router_ = 0;
};

}  // namespace coffer::sim
