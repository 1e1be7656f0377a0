// A client that records what it was told, and the checkers that read the record.
//
// It speaks the routers' language (DataRequest) with the layout of any living node, retries what gave no answer until its
// deadline, and keeps three outcomes apart: acknowledged, refused, unknown.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/sim_cluster.h"

namespace coffer::sim {

// What is known of one chunk.
struct ChunkRecord {
  PartitionId partition = 0;
  std::string value;
  bool put_acknowledged = false;
  bool delete_started = false;
  std::optional<Epoch> deleted_in;  // the layout of whoever acknowledged the delete
};

// What is known of one chain: bodies are "<chain>/<position>/<attempt>".
struct ChainRecord {
  PartitionId partition = 0;
  std::vector<std::string> acknowledged;  // by position
  std::vector<std::string> unknown;       // an append without an answer: it may still come to be, so it alone is asked for again
};

class SimClient {
 public:
  SimClient(SimCluster& cluster, std::uint64_t number);

  // Starts one random operation when none is under way. Call from a loop.
  void Act();
  bool Idle() const { return !open_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t unknown() const { return unknown_; }
  // What a promise was broken by, if one was.
  const std::optional<std::string>& broken() const { return broken_; }
  // Reads back everything that was acknowledged; Idle() and broken() tell the end.
  void StartVerifying();
  bool Verified() const { return verifying_ && verify_queue_.empty() && !open_; }

 private:
  struct Open {
    wire::DataRequest request;
    std::vector<Payload> bodies;
    Instant deadline;
    Instant sent{};
    std::uint64_t call = 0;
    bool ever_sent = false;
    std::function<void(const wire::DataResponse*, const std::vector<Payload>&)> done;  // null response: unknown
  };
  void Begin(wire::DataRequest request, std::vector<Payload> bodies,
             std::function<void(const wire::DataResponse*, const std::vector<Payload>&)> done);
  void Attempt();
  void Poll();
  void OnMessage(PeerMessage message);
  void Put();
  void Get(const std::string& id);
  void Delete(const std::string& id);
  void Append(const std::string& chain);
  void ReadChain(const std::string& chain);
  void Break(std::string what) {
    if (!broken_) broken_ = std::move(what);
  }

  SimCluster& cluster_;
  Random random_;
  NodeId id_;
  ZoneId zone_;
  std::uint64_t next_call_ = 1;
  std::uint64_t next_id_ = 1;
  std::optional<Open> open_;
  std::map<std::string, ChunkRecord> chunks_;
  std::map<std::string, ChainRecord> chains_;
  std::vector<std::pair<char, std::string>> verify_queue_;
  bool verifying_ = false;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t unknown_ = 0;
  std::optional<std::string> broken_;
};

}  // namespace coffer::sim
