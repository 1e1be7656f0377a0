// A RouterCore among fake storage nodes in virtual time: messages take time, nodes die, layouts change, all from one seed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/layout.h"
#include "router/core/router_core.h"
#include "router_truth.h"

namespace coffer::router {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct FakeNode {
  NodeId id;
  std::string name;
  std::string address;
  bool up = true;         // its process runs: dialling works, links stand
  bool silent = false;    // takes requests and never answers them (a hung process); probes too
  std::uint64_t epoch = 0;  // of its layout: index into RouterWorld::layouts
  Duration delay = milliseconds(1);  // before it answers a DataRequest
  std::vector<wire::DataRequest> got;
  std::vector<wire::LayoutChangeRequest> changes_got;
  // Looked at first: true means handled (nothing else happens).
  std::function<bool(FakeNode&, const wire::DataRequest&, const std::vector<Payload>&)> intercept;
  // The report it gives; absent: it never reports.
  std::optional<wire::NodeReport> report;
};

class RouterWorld {
 public:
  struct Result {
    std::vector<std::string> responses;
    std::optional<Status> end;
    int ends = 0;
  };

  explicit RouterWorld(int nodes, std::uint32_t partitions = 12, std::uint64_t seed = 1, RouterCoreConfig config = {});

  // ---- The cluster
  FakeNode& node(std::size_t i) { return *nodes_[i]; }
  std::size_t size() const { return nodes_.size(); }
  Truth& truth() { return truth_; }
  const cluster::Layout& layout() const { return layouts_.at(newest_); }
  FakeNode& PrimaryOf(PartitionId p);
  FakeNode& NodeOf(cluster::MemberIndex m) { return ById(layout().members[m].id); }
  // Decides a layout: the change is applied to a copy of the newest, changed groups get the new epoch as term. Every node
  // that is up knows it at once; the router only when it asks or hears.
  void Decide(const std::function<void(cluster::Layout&)>& change);
  // The other in_sync member becomes primary of all partitions of `i`, which leaves in_sync.
  void FailOver(std::size_t i);
  void Kill(std::size_t i);
  void Start(std::size_t i);
  ZoneId AddZone(const std::string& name);

  // ---- The router
  RouterCore& core() { return *core_; }
  // Runs until the router has a layout and a link to every node that is up.
  void Settle();
  CallId Call(Request request, Duration deadline = seconds(5));
  Result& result(CallId id) { return results_[id]; }
  bool ended(CallId id) { return results_[id].end.has_value(); }
  // Runs virtual time until the call has ended (or a minute has passed).
  Result& Finish(CallId id);
  // Call and Finish.
  Result& Do(Request request, Duration deadline = seconds(5)) { return Finish(Call(std::move(request), deadline)); }
  void Cancel(CallId id) { Take(core_->Cancel(now_, id)); }
  void Run(Duration time);
  void RunUntil(const std::function<bool()>& done, Duration most = seconds(60));
  Instant now() const { return now_; }
  // Sends of the router that are dropped before they leave: the next `n` data requests.
  int refuse_sends = 0;
  bool writable = true;

  // For intercepts: an answer to the router after the node's delay, if it is up then.
  void Answer(FakeNode& node, wire::DataResponse response, std::vector<Payload> bodies = {});
  void AnswerError(FakeNode& node, const wire::DataRequest& request, Code code, const std::string& reason,
                   const std::string& message = "told so by the test");
  // From now on every node answers reads of chains with this.
  void AnswerChainReads(const wire::ChainResult& result, const std::vector<Payload>& bodies);
  // Carries the request out as the node's true self.
  void Serve(FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>& bodies);
  void At(Instant when, std::function<void()> what);
  // Any message from the node to the router.
  void Send(FakeNode& node, PeerMessage message) { ToRouter(node, std::move(message.header), std::move(message.bodies)); }
  // Orders to the disk of the router's cache; what they lead to is fed.
  std::function<void(std::vector<DiskWrite>, std::vector<DiskRead>)> on_disk = [](auto, auto) {};
  void Feed(RouterCore::Output output) { Take(std::move(output)); }
  std::function<void(FakeNode&)> on_report = [](FakeNode&) {};  // called when a node is asked for a report

 private:
  FakeNode& ById(const NodeId& id);
  FakeNode* ByAddress(const std::string& address);
  bool Linked(const FakeNode& node) const { return links_.count(node.id) > 0; }
  void Take(RouterCore::Output output);
  void Dial(const std::string& address);
  void Deliver(FakeNode& node, PeerMessage message);
  void ToRouter(FakeNode& node, wire::Peer header, std::vector<Payload> bodies = {}, Duration delay = milliseconds(1));
  void OnData(FakeNode& node, const wire::DataRequest& request, const std::vector<Payload>& bodies);
  void Watch(FakeNode& node, const wire::DataRequest& request, Instant until);
  bool Step(Instant limit);

  Truth truth_;
  std::vector<std::unique_ptr<FakeNode>> nodes_;
  std::map<std::uint64_t, cluster::Layout> layouts_;
  std::uint64_t newest_ = 0;
  Instant now_;
  std::set<NodeId> links_;
  std::map<NodeId, std::uint64_t> link_number_;  // messages of an earlier link are lost
  std::multimap<Instant, std::function<void()>> events_;
  std::map<CallId, Result> results_;
  CallId next_call_ = 1;
  std::unique_ptr<RouterCore> core_;
};

// ---- Requests and values, in short.
BlockId Id(int n);
v1::PutRequest Put(const std::string& zone, const BlockId& id, const std::string& data);
v1::GetRequest Get(const std::string& zone, const BlockId& id, std::uint64_t offset = 0, std::uint64_t length = 0);
v1::AppendRequest Append(const std::string& zone, const BlockId& chain, std::uint64_t position,
                         const std::vector<std::string>& bodies, const std::string& predecessor = "");
// How often the node was asked for a chunk.
int Gets(const FakeNode& node);
// The response of a unary call, parsed.
template <class Response>
Response Only(const RouterWorld::Result& result) {
  Response response;
  if (result.responses.size() == 1) response.ParseFromString(result.responses[0]);
  return response;
}

}  // namespace coffer::router
