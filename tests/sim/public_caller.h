// A client of routers: the library's decisions (client/retry.h, router_choice.h, zone_ids.h) over simulated connections, every request and
// answer in its public encoding. The library's engine and its connections need threads and gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/responses.h"
#include "client/retry.h"
#include "client/router_choice.h"
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
  client::Responses responses;  // of the attempt that succeeded
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
    std::size_t router = 0;  // by its place in the client's list
    std::uint64_t life = 0;
    std::uint64_t connection = 0;
    Instant since{};
    client::Responses responses;
  };
  // To one router.
  struct Connection {
    client::RouterState state = client::RouterState::kIdle;
    Instant failed_at{};           // with kFailed
    std::uint64_t number = 0;      // no other connection of this client has it
    std::uint64_t life = 0;        // of the router, that it was made to
    std::uint64_t first_call = 0;  // calls with lesser numbers went over earlier ones
  };
  struct Open {
    PublicCall call;
    client::ZoneStages stages;
    Instant deadline;
    Done done;
    std::optional<client::RetryMachine> machine;  // of the present stage
    std::map<std::uint64_t, Try> tries;  // by the number of the call
    std::optional<std::size_t> last_router;
    google::rpc::Status last_error;
  };
  void StartAnew();
  // Of a router's place in the list, the process.
  std::size_t ProcessOf(std::size_t router) const { return kFirstRouter + (first_ + router) % connections_.size(); }
  void Begin();
  void Obey(const client::RetryOutput& output);
  void Launch(const client::RetryOutput& output);
  void End(const client::RetryOutput& output);
  void Judge();
  std::vector<client::OpenTry> OpenTries() const;
  std::size_t Choose(bool elsewhere);
  void Connect(std::size_t router);
  // Gives the connection up; the router hears of it, if at all, as late as of what was sent before.
  void Reconnect(std::size_t router);
  void OnConnectionLost(std::size_t process, std::uint64_t life);
  void Lose(std::size_t router, const std::vector<std::uint64_t>& calls, bool sent);
  void CancelAt(const Try& one, std::uint64_t number);
  void Fail(std::uint64_t call, const client::ReplyFacts& facts);
  void OnReply(std::size_t process, v1::Reply reply);
  void Wake();

  SimCluster& cluster_;
  const NodeId self_;
  Random random_;
  client::HedgeBudget budget_;
  client::ZoneIds zones_;
  std::optional<Open> open_;
  bool telling_ = false;                     // the end of the last one is on its way to who asked
  std::uint64_t next_call_ = 1;
  std::uint64_t operation_ = 0;              // number of the one that is open: timers of others are void
  // Of the program that runs here now, by the place in its list of routers, which is everybody's from another beginning.
  std::size_t first_ = 0;
  std::vector<Connection> connections_;
  std::uint64_t connections_made_ = 0;
  std::optional<client::RouterChoice> choice_;
};

}  // namespace coffer::sim
