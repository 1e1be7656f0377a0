// Routers that live in the test: real gRPC servers with coffer.v1.Stream in front of one cluster in memory, which fail
// on command. Several may share a cluster.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "coffer/v1/chains.pb.h"
#include "coffer/v1/cluster.pb.h"
#include "google/rpc/status.pb.h"

namespace coffer::test {

google::rpc::Status RpcError(int code, const std::string& message, const std::string& reason = "");

// The data and its rules, as the protos promise them. Thread-safe.
class FakeCluster {
 public:
  struct Outcome {
    std::vector<std::string> responses;
    google::rpc::Status status;
    bool keep_open = false;  // a stream that stays
  };
  // Carries a method out.
  Outcome Handle(const std::string& method, const std::string& request);

  // Guards everything below.
  std::mutex lock;
  std::size_t chunk_limit = 4u << 20;
  std::map<std::string, std::map<std::string, std::string>> chunks;  // zone -> id -> bytes
  std::map<std::string, std::map<std::string, bool>> deleted;
  struct Chain {
    std::vector<v1::Entry> entries;
  };
  std::map<std::string, std::map<std::string, Chain>> chains;
  std::map<std::string, std::string> zones;  // name -> id
  std::set<std::string> deleted_zones;       // ids
  v1::Status status;
  v1::PlanResponse plan;
  std::vector<v1::LayoutChange> applied;
  std::vector<v1::ControlResyncRequest> controlled;
  v1::ControlCacheResponse cache;
  // Called after an apply, with the lock held: the test moves `status` on.
  std::function<void(const v1::LayoutChange&)> on_apply;
  std::map<std::string, int> calls;  // method -> how often it was carried out
  std::map<std::string, std::string> last_request;  // method -> as it came

  FakeCluster();
};

// What happens to a call instead of, or after, being carried out.
struct Fault {
  enum class Kind {
    kReply,         // answered with `status`, not carried out
    kSwallow,       // never answered, not carried out
    kApplySwallow,  // carried out, never answered
    kApplyKill,     // carried out, then the stream breaks
    kKill,          // the stream breaks, not carried out
  };
  Kind kind = Kind::kSwallow;
  google::rpc::Status status;
};

class FakeRouter {
 public:
  explicit FakeRouter(std::shared_ptr<FakeCluster> cluster, int port = 0);
  ~FakeRouter();
  std::string address() const;
  int port() const;
  // The next calls of `method` meet these faults, in order; "" is any method.
  void Inject(const std::string& method, std::vector<Fault> faults);
  // Every call of `method` meets this fault from now on.
  void InjectAlways(const std::string& method, Fault fault);
  // Sends another response on every open stream call of `method`, made by `next` from its request (empty: none).
  void Push(const std::string& method, const std::function<std::string(const std::string& request)>& next);
  // Ends every open stream call of `method` with a status.
  void EndStreams(const std::string& method, const google::rpc::Status& status);
  // Breaks every connection's stream.
  void KillStreams();
  // Calls received, frames received, cancels received. The client asks for a zone's id by itself before it writes: that counts as neither.
  int calls() const;
  int frames() const;
  int cancels() const;
  int open_streams(const std::string& method) const;
  // Waits until `condition` holds; false after 10 s. It is evaluated whenever something happens at this router.
  bool WaitFor(const std::function<bool()>& condition);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace coffer::test
