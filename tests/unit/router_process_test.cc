// The running router over real links: a fake storage node behind a link::Hub, calls from many threads, and the end.
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "cluster/layout.h"
#include "cluster/placement.h"
#include "coffer/v1/chunks.pb.h"
#include "router/core/errors.h"
#include "router/router_process.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr char kSecret[] = "a secret of the tests";

// One storage node that holds all partitions; answers on the hub's threads.
class FakeNode final : public link::Handler {
 public:
  FakeNode() {
    identity_.id.bytes[0] = 1;
    identity_.name = "node-1";
    identity_.role = 1;
    identity_.boot = Boot(1);
    identity_.cluster.bytes[0] = 7;
    identity_.address = "127.0.0.1:1";  // not known before it listens; the router is told by its seeds
    link::HubOptions options;
    options.listen = "127.0.0.1:0";
    options.keyring = kSecret;
    hub_ = link::Hub::Start(options, identity_, this);
    std::lock_guard lock(mutex_);
    identity_.address = "127.0.0.1:" + std::to_string(hub_->port());
    cluster::Member member;
    member.id = identity_.id;
    member.name = identity_.name;
    member.address = identity_.address;
    layout_.cluster = identity_.cluster;
    layout_.cluster_name = "demo";
    layout_.epoch = Epoch(1);
    layout_.settings.partitions = 12;
    layout_.members = {member};
    layout_.voters = {0};
    layout_.partitions.assign(12, {0, {0}, Term(1), {0}});
    ready_ = true;
  }
  ~FakeNode() override { hub_->Stop(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(hub_->port()); }
  void SetSilent(bool silent) {
    std::lock_guard lock(mutex_);
    silent_ = silent;
  }
  // Blocks until this many data requests were not answered.
  bool WaitForSwallowed(int n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(20), [&] { return swallowed_ >= n; });
  }

  link::RefusalInfo Admit(const link::Identity&, const std::string&) override { return {}; }
  void OnUp(const link::Identity&) override {}
  void OnDown(const NodeId&, const std::string&) override {}
  void OnDialFailed(const std::string&, const link::RefusalInfo&) override {}
  void OnMessages(const NodeId& from, std::vector<PeerMessage> messages) override {
    for (PeerMessage& message : messages) OnMessage(from, std::move(message));
  }
  void OnMessage(const NodeId& from, PeerMessage message) {
    std::lock_guard lock(mutex_);
    if (!ready_) return;
    PeerMessage answer;
    const wire::Peer& header = message.header;
    if (header.has_ping()) {
      answer.header.mutable_ping_ack()->set_sequence(header.ping().sequence());
    } else if (header.has_push_pull() && !header.push_pull().answer()) {
      auto* update = answer.header.mutable_push_pull()->add_updates();
      answer.header.mutable_push_pull()->set_answer(true);
      update->set_incarnation(1);
      update->set_state(1);
      update->mutable_facts()->set_id(identity_.id.str());
      update->mutable_facts()->set_name(identity_.name);
      update->mutable_facts()->set_address(identity_.address);
      update->mutable_facts()->set_role(1);
      update->mutable_facts()->set_epoch(1);
    } else if (header.has_layout_pull() && header.layout_pull().have_epoch() < 1) {
      answer.header.mutable_layout_push()->set_layout(Encode(layout_));
    } else if (header.has_data_request()) {
      if (silent_) {
        ++swallowed_;
        changed_.notify_all();
        return;
      }
      *answer.header.mutable_data_response() = Execute(header.data_request(), message.bodies, &answer.bodies);
    } else {
      return;
    }
    hub_->Send(from, std::move(answer));
  }

 private:
  wire::DataResponse Execute(const wire::DataRequest& request, const std::vector<Payload>& in, std::vector<Payload>* out) {
    wire::DataResponse response;
    response.set_call(request.call());
    response.set_epoch(1);
    response.mutable_status();
    if (request.has_get_zone()) {
      auto* zone = response.mutable_zones()->add_zones();
      zone->set_name(request.get_zone().name());
      zone->set_id(std::string(16, 'z'));
    } else if (request.has_put_chunk()) {
      response.set_already_existed(!chunks_.emplace(request.put_chunk().id(), in.at(0)).second);
    } else if (request.has_get_chunk()) {
      auto it = chunks_.find(request.get_chunk().id());
      if (it == chunks_.end()) {
        *response.mutable_status() = MakeError(Code::kNotFound, "CHUNK_NOT_FOUND", "none");
      } else {
        response.set_total_size(it->second->size());
        response.set_settled(true);
        out->push_back(it->second);
      }
    }
    return response;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ready_ = false;
  bool silent_ = false;
  int swallowed_ = 0;
  link::Identity identity_;
  cluster::Layout layout_;
  std::map<std::string, Payload> chunks_;
  std::unique_ptr<link::Hub> hub_;
};

// Collects the answers of one call; complains about answers after the end.
class Sink final : public ResponseSink {
 public:
  void OnResponse(Response message) override {
    std::lock_guard lock(mutex_);
    if (ended_) ++late_;
    responses_.push_back(message.str());
  }
  void OnEnd(google::rpc::Status status) override {
    std::lock_guard lock(mutex_);
    if (ended_) ++late_;
    ended_ = true;
    status_ = std::move(status);
    changed_.notify_all();
  }
  Status Wait() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, seconds(30), [this] { return ended_; })) return MakeError(Code::kInternal, "NEVER_ENDED", "");
    return status_;
  }
  std::vector<std::string> responses() {
    std::lock_guard lock(mutex_);
    return responses_;
  }
  int late() {
    std::lock_guard lock(mutex_);
    return late_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  int late_ = 0;
  Status status_;
  std::vector<std::string> responses_;
};

RouterOptions Options(const FakeNode& node) {
  RouterOptions options;
  options.name = "router-1";
  options.listen = "127.0.0.1:0";
  options.advertised_address = "127.0.0.1:1";
  options.keyring = kSecret;
  options.seeds = {node.address()};
  options.version = "0.1.0";
  return options;
}

std::string PutBytes(int n, const std::string& data) {
  v1::PutRequest request;
  request.set_zone("shop");
  request.set_id(std::string(28, 'i') + std::string(reinterpret_cast<const char*>(&n), 4));
  request.set_data(data);
  return request.SerializeAsString();
}
std::string GetBytes(int n) {
  v1::GetRequest request;
  request.set_zone("shop");
  request.set_id(std::string(28, 'i') + std::string(reinterpret_cast<const char*>(&n), 4));
  return request.SerializeAsString();
}

struct Calling {
  std::shared_ptr<Sink> sink = std::make_shared<Sink>();
  std::shared_ptr<CallHandle> handle;
};
Calling Begin(RouterProcess& router, std::string_view method, std::string request,
             steady_clock::duration time = seconds(20)) {
  Calling calling;
  calling.handle = router.Invoke(FindMethod(method).value(), std::move(request), steady_clock::now() + time, {}, calling.sink);
  return calling;
}

}  // namespace

TEST_CASE("calls from many threads are answered, values small and large") {
  FakeNode node;
  auto router = RouterProcess::Start(Options(node));
  CHECK(Begin(*router, "coffer.v1.Chunks/Put", PutBytes(0, "first")).sink->Wait().code() == 0);
  CHECK(router->Serving());
  REQUIRE(router->layout());
  CHECK(router->layout()->cluster_name == "demo");
  CHECK(router->peer_port() > 0);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&router, &wrong, t] {
      for (int i = 1; i <= 50; ++i) {
        const int n = t * 1000 + i;
        const std::string data(i % 10 == 0 ? 300'000 : 100, static_cast<char>('a' + i % 26));
        if (Begin(*router, "coffer.v1.Chunks/Put", PutBytes(n, data)).sink->Wait().code() != 0) ++wrong;
        auto get = Begin(*router, "/coffer.v1.Chunks/Get", GetBytes(n));
        v1::GetResponse response;
        if (get.sink->Wait().code() != 0 || get.sink->responses().size() != 1) ++wrong;
        if (!response.ParseFromString(get.sink->responses().at(0)) || response.data() != data) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(router->calls_under_way() == 0);
  CHECK(Begin(*router, "coffer.v1.Chunks/Get", GetBytes(99999)).sink->Wait().code() == static_cast<int>(Code::kNotFound));
  router->Drain();
  CHECK_FALSE(router->Serving());
  CHECK(Begin(*router, "coffer.v1.Chunks/Get", GetBytes(0)).sink->Wait().code() == 0);  // still answers
}

TEST_CASE("what can be refused is refused at once") {
  FakeNode node;
  auto router = RouterProcess::Start(Options(node));
  CHECK(Begin(*router, "coffer.v1.Chunks/Put", "\x0f\xff").sink->Wait().code() == static_cast<int>(Code::kInvalidArgument));
  CHECK(Begin(*router, "coffer.v1.Chunks/Put", "").sink->Wait().code() == static_cast<int>(Code::kInvalidArgument));
  CHECK(ReasonOf(Begin(*router, "coffer.v1.Chunks/Put", PutBytes(1, "x"), seconds(-1)).sink->Wait()) == "NOT_SENT");
  CHECK(router->calls_under_way() == 0);
}

TEST_CASE("more calls or bytes than the bound are shed before the driver sees them") {
  FakeNode node;
  RouterOptions options = Options(node);
  SECTION("calls") { options.max_calls = 2; }
  SECTION("bytes") { options.max_queued_bytes = PutBytes(1, std::string(1000, 'x')).size() * 2 + 10; }
  auto router = RouterProcess::Start(options);
  REQUIRE(Begin(*router, "coffer.v1.Chunks/Put", PutBytes(0, "warm")).sink->Wait().code() == 0);
  node.SetSilent(true);
  auto first = Begin(*router, "coffer.v1.Chunks/Put", PutBytes(1, std::string(1000, 'x')));
  auto second = Begin(*router, "coffer.v1.Chunks/Put", PutBytes(2, std::string(1000, 'x')));
  const Status shed = Begin(*router, "coffer.v1.Chunks/Put", PutBytes(3, std::string(1000, 'x'))).sink->Wait();
  CHECK(shed.code() == static_cast<int>(Code::kResourceExhausted));
  CHECK(RetryAfter(shed).has_value());
  CHECK(router->Metrics().shed_before_core == 1);
  first.handle->Cancel();
  CHECK(first.sink->Wait().code() == static_cast<int>(Code::kCancelled));
  node.SetSilent(false);
  CHECK(Begin(*router, "coffer.v1.Chunks/Put", PutBytes(4, std::string(900, 'x'))).sink->Wait().code() == 0);
}

TEST_CASE("a cancelled call ends once; a stop ends the rest, and nothing comes after it") {
  FakeNode node;
  auto router = RouterProcess::Start(Options(node));
  REQUIRE(Begin(*router, "coffer.v1.Chunks/Put", PutBytes(0, "warm")).sink->Wait().code() == 0);
  node.SetSilent(true);
  std::vector<Calling> calls;
  for (int n = 1; n <= 20; ++n) calls.push_back(Begin(*router, "coffer.v1.Chunks/Put", PutBytes(n, "x")));
  REQUIRE(node.WaitForSwallowed(20));
  for (int n = 0; n < 5; ++n) calls[static_cast<std::size_t>(n)].handle->Cancel();
  for (int n = 0; n < 5; ++n) {
    CHECK(calls[static_cast<std::size_t>(n)].sink->Wait().code() == static_cast<int>(Code::kCancelled));
  }
  router->Stop();
  for (std::size_t n = 5; n < 20; ++n) CHECK(ReasonOf(calls[n].sink->Wait()) == "STOPPING");
  CHECK(ReasonOf(Begin(*router, "coffer.v1.Chunks/Put", PutBytes(30, "x")).sink->Wait()) == "STOPPING");
  CHECK_FALSE(router->Serving());
  router->Stop();
  router.reset();
  for (auto& call : calls) {
    call.handle->Cancel();  // long over
    CHECK(call.sink->late() == 0);
  }
}

TEST_CASE("a router that reaches nobody says so, and stops all the same") {
  RouterOptions options;
  options.name = "router-1";
  options.keyring = kSecret;
  options.seeds = {"127.0.0.1:1"};
  auto router = RouterProcess::Start(options);
  CHECK_FALSE(router->Serving());
  CHECK(router->peer_port() == 0);
  CHECK(ReasonOf(Begin(*router, "coffer.v1.Chunks/Get", GetBytes(1), std::chrono::milliseconds(200)).sink->Wait()) == "NO_LAYOUT");
}
