#include "unit/client_fake_router.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <set>
#include <stdexcept>

#include "coffer/v1/stream.grpc.pb.h"

namespace coffer::test {
namespace {

class Session;

struct OpenStream {
  Session* session;
  std::uint64_t id;
  std::string method;
  std::string request;
};

}  // namespace

struct FakeRouter::Impl : public v1::Stream::CallbackService {
  std::shared_ptr<FakeCluster> cluster;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  mutable std::mutex lock;
  std::condition_variable changed;
  std::map<std::string, std::deque<Fault>> faults;
  std::map<std::string, Fault> always;
  std::set<Session*> sessions;
  std::vector<OpenStream> streams;
  int calls = 0;
  int frames = 0;
  int cancels = 0;

  grpc::ServerBidiReactor<v1::OpenRequest, v1::OpenResponse>* Open(grpc::CallbackServerContext* context) override;
  const Fault* NextFault(const std::string& method, Fault* storage);
};

namespace {

// One client's stream. Deletes itself when it is done.
class Session : public grpc::ServerBidiReactor<v1::OpenRequest, v1::OpenResponse> {
 public:
  explicit Session(FakeRouter::Impl* router) : router_(router) {
    std::lock_guard<std::mutex> guard(router_->lock);
    router_->sessions.insert(this);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    std::lock_guard<std::mutex> guard(router_->lock);
    if (!ok) return End();
    ++router_->frames;
    for (const v1::Call& call : request_.calls()) OnCall(call);
    router_->changed.notify_all();
    if (killed_) return End();
    StartRead(&request_);
  }

  void OnWriteDone(bool) override {
    std::lock_guard<std::mutex> guard(router_->lock);
    writing_ = false;
    Pump();
  }

  void OnDone() override {
    {
      std::lock_guard<std::mutex> guard(router_->lock);
      router_->sessions.erase(this);
      std::erase_if(router_->streams, [this](const OpenStream& s) { return s.session == this; });
      router_->changed.notify_all();
    }
    delete this;
  }

  // With the router's lock held.
  void Reply(std::uint64_t id, const std::string* response, const google::rpc::Status* status) {
    v1::Reply& reply = *queued_.add_replies();
    reply.set_id(id);
    if (response != nullptr) {
      reply.set_response(*response);
      reply.set_has_response(true);
    }
    if (status != nullptr) *reply.mutable_status() = *status;
    Pump();
  }

  void End() {
    if (finished_) return;
    finished_ = true;
    Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the fake router broke the stream"));
  }

 private:
  void OnCall(const v1::Call& call) {
    if (call.has_cancel()) {
      router_->cancels += resolving_.erase(call.id()) == 0;
      std::erase_if(router_->streams, [&](const OpenStream& s) { return s.session == this && s.id == call.id(); });
      return;
    }
    const std::string& method = call.invocation().method();
    const bool resolves = method == "coffer.v1.Zones/Resolve";
    router_->calls += !resolves;
    if (resolves) resolving_.insert(call.id());
    if (call.invocation().deadline_ms() == 0) {
      const auto status = RpcError(3, "a deadline is needed");
      return Reply(call.id(), nullptr, &status);
    }
    Fault storage;
    const Fault* fault = router_->NextFault(method, &storage);
    using Kind = Fault::Kind;
    if (fault != nullptr) {
      if (fault->kind == Kind::kReply) return Reply(call.id(), nullptr, &fault->status);
      if (fault->kind == Kind::kKill) killed_ = true;
      if (fault->kind == Kind::kKill || fault->kind == Kind::kSwallow) return;
    }
    const FakeCluster::Outcome outcome = router_->cluster->Handle(method, call.invocation().request());
    if (fault != nullptr) {
      if (fault->kind == Kind::kApplyKill) killed_ = true;
      return;
    }
    for (std::size_t i = 0; i < outcome.responses.size(); ++i) {
      const bool last = i + 1 == outcome.responses.size() && !outcome.keep_open;
      Reply(call.id(), &outcome.responses[i], last ? &outcome.status : nullptr);
    }
    if (outcome.responses.empty() && !outcome.keep_open) Reply(call.id(), nullptr, &outcome.status);
    if (outcome.keep_open) router_->streams.push_back({this, call.id(), method, call.invocation().request()});
  }

  void Pump() {
    if (writing_ || finished_ || queued_.replies_size() == 0) return;
    writing_ = true;
    frame_.Clear();
    frame_.Swap(&queued_);
    StartWrite(&frame_);
  }

  FakeRouter::Impl* router_;
  std::set<std::uint64_t> resolving_;  // calls
  v1::OpenRequest request_;
  v1::OpenResponse queued_;
  v1::OpenResponse frame_;
  bool writing_ = false;
  bool finished_ = false;
  bool killed_ = false;
};

}  // namespace

google::rpc::Status RpcError(int code, const std::string& message, const std::string&) {
  google::rpc::Status s;
  s.set_code(code);
  s.set_message(message);
  return s;
}

grpc::ServerBidiReactor<v1::OpenRequest, v1::OpenResponse>* FakeRouter::Impl::Open(grpc::CallbackServerContext*) {
  return new Session(this);
}

const Fault* FakeRouter::Impl::NextFault(const std::string& method, Fault* storage) {
  for (const std::string& key : {method, std::string()}) {
    auto& queue = faults[key];
    if (!queue.empty()) {
      *storage = queue.front();
      queue.pop_front();
      return storage;
    }
    const auto it = always.find(key);
    if (it != always.end()) return &(*storage = it->second);
  }
  return nullptr;
}

FakeRouter::FakeRouter(std::shared_ptr<FakeCluster> cluster, int port) : impl_(new Impl) {
  impl_->cluster = std::move(cluster);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(), &impl_->port);
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterService(impl_.get());
  impl_->server = builder.BuildAndStart();
  if (!impl_->server || impl_->port == 0) throw std::runtime_error("the fake router can't listen");
}

FakeRouter::~FakeRouter() {
  KillStreams();
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  impl_->server->Wait();
}

std::string FakeRouter::address() const {
  return "127.0.0.1:" + std::to_string(impl_->port);
}
int FakeRouter::port() const {
  return impl_->port;
}

void FakeRouter::Inject(const std::string& method, std::vector<Fault> faults) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  for (Fault& f : faults) impl_->faults[method].push_back(std::move(f));
}

void FakeRouter::InjectAlways(const std::string& method, Fault fault) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  impl_->always[method] = std::move(fault);
}

void FakeRouter::Push(const std::string& method, const std::function<std::string(const std::string&)>& next) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  for (const OpenStream& s : impl_->streams) {
    if (s.method != method) continue;
    const std::string response = next(s.request);
    s.session->Reply(s.id, &response, nullptr);
  }
}

void FakeRouter::EndStreams(const std::string& method, const google::rpc::Status& status) {
  std::lock_guard<std::mutex> guard(impl_->lock);
  for (const OpenStream& s : impl_->streams) {
    if (s.method == method) s.session->Reply(s.id, nullptr, &status);
  }
  std::erase_if(impl_->streams, [&](const OpenStream& s) { return s.method == method; });
}

void FakeRouter::KillStreams() {
  std::lock_guard<std::mutex> guard(impl_->lock);
  for (Session* s : impl_->sessions) s->End();
}

int FakeRouter::calls() const {
  std::lock_guard<std::mutex> guard(impl_->lock);
  return impl_->calls;
}
int FakeRouter::frames() const {
  std::lock_guard<std::mutex> guard(impl_->lock);
  return impl_->frames;
}
int FakeRouter::cancels() const {
  std::lock_guard<std::mutex> guard(impl_->lock);
  return impl_->cancels;
}
int FakeRouter::open_streams(const std::string& method) const {
  std::lock_guard<std::mutex> guard(impl_->lock);
  int n = 0;
  for (const OpenStream& s : impl_->streams) n += s.method == method;
  return n;
}

bool FakeRouter::WaitFor(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (;;) {
    if (condition()) return true;
    std::unique_lock<std::mutex> guard(impl_->lock);
    // The short bound covers what changed between the check and the wait.
    impl_->changed.wait_for(guard, std::chrono::milliseconds(20));
    if (std::chrono::steady_clock::now() > end) return false;
  }
}

}  // namespace coffer::test
