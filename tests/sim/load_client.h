// A client under load: draws operations on ids and chains it shares with the others, retries as a router does, and tells the
// checkers what it asked and what it was answered.
//
// It keeps a layout of its own and learns a newer one only when it is fenced or not answered, so a deposed primary is asked, too. Or
// it goes through routers, as users do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/check_chains.h"
#include "sim/check_chunks.h"
#include "sim/check_layouts.h"
#include "sim/check_primaries.h"
#include "sim/public_caller.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

// What the clients of a run share.
struct Load {
  ZoneId zone;
  std::string zone_name;  // under which routers find it
  const LayoutChecker* layouts = nullptr;
  PrimaryChecker primaries;
  std::vector<std::string> ids;
  std::vector<std::string> chains;
  Duration think{};
  Duration patience{};  // with an operation: then its outcome is unknown
  std::uint64_t deletes_per_mille = 0;
  ChunkChecker chunks;
  ChainChecker chains_seen;
  // Something was answered that must be durable from now on; by this node.
  std::function<void(const std::string& id, const NodeId& by)> saw_chunk;
  std::function<void(const std::string& chain)> saw_chain;
  std::string NewId();
  std::uint64_t next_id = 1;
  // The hash of a chain up to each of the entries that somebody read last: reading them again does not cost hashing them again.
  struct Hashed {
    std::vector<std::string> entries;
    std::vector<Digest> hashes;
  };
  std::map<std::string, Hashed> hashed;
  Digest HashOf(const std::string& chain, const std::vector<std::string>& entries);
  std::uint64_t succeeded = 0, refused = 0, unknown = 0;
};

class LoadClient {
 public:
  enum class Kind { kDirect, kOnlyReads, kRouted };
  LoadClient(SimCluster& cluster, Load& load, std::uint8_t number, Kind kind);

  // Begins operations at random times until Stop.
  void Go();
  void Stop() { going_ = false; }
  bool Idle() const { return !open_ && (!routers_ || routers_->Idle()); }
  // What the operation under way is, for people.
  std::string Describe() const;
  // Reads these, one after the other; `Idle()` and `left()` tell the end.
  void ReadBack(std::vector<std::string> ids, std::vector<std::string> chains);
  std::size_t left() const { return back_ids_.size() + back_chains_.size() + (Idle() ? 0 : 1); }

 private:
  // Null: nobody answered in time.
  using Done = std::function<void(const wire::DataResponse*, const std::vector<Payload>&, const NodeId& by)>;
  struct Open {
    wire::DataRequest request;
    std::vector<Payload> bodies;
    bool any_holder = false;
    Instant deadline;
    Instant next_attempt;
    struct Asked {
      std::uint64_t call = 0;
      Term term;
    };
    std::vector<Asked> attempts;
    Done done;
  };
  void Act();
  void Begin(PartitionId partition, wire::DataRequest request, std::vector<Payload> bodies, Done done);
  void AskRouters(wire::DataRequest request, std::vector<Payload> bodies, Done done);
  void Attempt();
  void Poll();
  void OnMessage(const NodeId& by, PeerMessage message);
  void Finish(const wire::DataResponse* response, const std::vector<Payload>& bodies, const NodeId& by);
  // The layout it goes by for a partition. One that only reads learns of each partition by itself, and so asks a deposed primary
  // for as long as that answers.
  std::shared_ptr<const cluster::Layout>& LayoutFor(PartitionId partition) { return layouts_[only_reads_ ? partition : 0]; }
  void LearnLayout(PartitionId partition);
  bool ByPrimary(PartitionId partition, const NodeId& by, Epoch answered, Epoch asked) const;
  void Report(const std::optional<std::string>& complaint) {
    if (complaint) cluster_.Violate(*complaint);
  }

  void Put(const std::string& id);
  void Get(const std::string& id, bool any_holder);
  void Has(const std::string& id);
  void Delete(const std::string& id);
  void ReadChain(const std::string& chain);
  void Append(const std::string& chain);
  void Head(const std::string& chain);
  void DeleteChain(const std::string& chain);
  PartitionId PartitionOfId(const std::string& id) const;

  SimCluster& cluster_;
  Load& load_;
  Random random_;
  NodeId self_;
  std::string name_;
  const bool only_reads_;
  std::uint64_t next_call_ = 1;
  std::uint64_t next_body_ = 1;
  std::map<PartitionId, std::shared_ptr<const cluster::Layout>> layouts_;
  std::optional<Open> open_;
  std::unique_ptr<PublicCaller> routers_;  // null: it asks nodes
  bool going_ = false;
  std::map<std::string, std::pair<std::uint64_t, Digest>> heads_;  // of chains as last seen: length and hash
  std::vector<std::string> back_ids_;
  std::vector<std::string> back_chains_;
};

}  // namespace coffer::sim
