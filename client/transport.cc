#include "client/transport.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <set>
#include <unordered_set>

#include "coffer/v1/stream.grpc.pb.h"
#include "proto/link/credentials.h"

namespace coffer::client {
namespace {
class Lane;
struct Link;
}  // namespace

struct Transport::Impl {
  TransportOptions options;
  Mutex* lock;
  TransportEvents* events;
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  std::vector<std::unique_ptr<Link>> links;
  std::set<Lane*> lanes;  // all that may still call back
  Condition no_lanes;
  bool closing = false;
  grpc::CompletionQueue queue;
  Mutex alarm_lock;
  std::unique_ptr<grpc::Alarm> alarm ABSL_GUARDED_BY(alarm_lock);  // non-null while a wake is under way

  void Connect(Link& link);
  void OnConnectivity(Link& link, std::uint64_t generation);
  void LinkUp(Link& link);
  void LinkFailed(Link& link, const std::string& why);
  void Pump(Link& link, bool bulk);
};

namespace {

struct Outgoing {
  v1::Call call;
  std::size_t bytes;
};

// One stream under way. Deletes itself in OnDone.
class Lane : public grpc::ClientBidiReactor<v1::OpenRequest, v1::OpenResponse> {
 public:
  Lane(Transport::Impl* impl, Link* link, bool bulk) : impl_(impl), link_(link), bulk_(bulk) {}
  void Open(v1::Stream::Stub* stub);
  void Cancel() { context_.TryCancel(); }
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  bool writing = false;
  v1::OpenRequest frame;
  std::unordered_set<std::uint64_t> sent;  // calls written on this stream and not ended

 private:
  Transport::Impl* impl_;
  Link* link_;
  const bool bulk_;
  grpc::ClientContext context_;
  v1::OpenResponse incoming_;
};

struct Side {
  std::deque<Outgoing> queue;
  Lane* lane = nullptr;  // takes new calls; an older stream may still be ending beside it
};

// One router. The sides: small calls, bulky calls.
struct Link {
  std::size_t index = 0;
  std::string address;
  RouterState state = RouterState::kIdle;
  std::string last_error;
  bool ever_up = false;
  std::uint64_t generation = 0;  // of the channel; a watch of an older one is ignored
  bool watching = false;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Stream::Stub> stub;
  Side sides[2];
};

// Tag of a connectivity watch on the queue.
struct Watch {
  Link* link;
  std::uint64_t generation;
};

// Empties a queue; its calls never left.
std::vector<LostCall> TakeQueue(Side& side) {
  std::vector<LostCall> lost;
  for (const Outgoing& o : side.queue) {
    if (o.call.has_invocation()) lost.push_back({o.call.id(), false});
  }
  side.queue.clear();
  return lost;
}

void Lane::Open(v1::Stream::Stub* stub) {
  impl_->lanes.insert(this);
  stub->async()->Open(&context_, this);
  // The hold lets StartWrite be called from outside a reaction; it is released when reading ends.
  AddHold();
  StartRead(&incoming_);
  StartCall();
}

void Lane::OnReadDone(bool ok) {
  {
    MutexLock guard(*impl_->lock);
    if (ok) {
      for (v1::Reply& reply : *incoming_.mutable_replies()) {
        if (sent.count(reply.id()) == 0) continue;  // dropped meanwhile
        if (reply.has_status()) sent.erase(reply.id());
        impl_->events->OnReply(link_->index, std::move(reply));
      }
    } else if (link_->sides[bulk_].lane == this) {
      // No more writes on this stream; OnDone tells why it ended.
      link_->sides[bulk_].lane = nullptr;
    }
  }
  impl_->events->Flush();
  if (ok) {
    incoming_.Clear();
    StartRead(&incoming_);
  } else {
    context_.TryCancel();
    RemoveHold();
  }
}

void Lane::OnWriteDone(bool ok) {
  MutexLock guard(*impl_->lock);
  writing = false;
  if (ok && link_->sides[bulk_].lane == this) impl_->Pump(*link_, bulk_);
}

void Lane::OnDone(const grpc::Status& status) {
  Transport::Impl* impl = impl_;
  {
    MutexLock guard(*impl->lock);
    Side& side = link_->sides[bulk_];
    if (side.lane == this) side.lane = nullptr;
    if (!impl->closing) {
      std::vector<LostCall> lost;
      if (side.lane == nullptr) lost = TakeQueue(side);
      for (std::uint64_t id : sent) lost.push_back({id, true});
      std::string why = status.error_message().empty() ? "the router ended the stream" : status.error_message();
      if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) why = "this is not a Coffer router: " + why;
      link_->last_error = why;
      if (link_->state == RouterState::kUp) link_->state = RouterState::kIdle;
      if (!lost.empty()) impl->events->OnLost(link_->index, lost, why);
    }
  }
  impl->events->Flush();
  MutexLock guard(*impl->lock);
  impl->lanes.erase(this);
  if (impl->lanes.empty()) impl->no_lanes.NotifyAll();
  delete this;
}

}  // namespace

void Transport::Impl::Connect(Link& link) {
  if (closing || link.watching) return;
  if (!link.channel) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    args.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(options.message_bytes));
    args.SetInt(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, static_cast<int>(options.message_bytes));
    // Own connections: a new channel must really dial anew.
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    link.channel = grpc::CreateCustomChannel(link.address, credentials, args);
    link.stub = v1::Stream::NewStub(link.channel);
    ++link.generation;
  }
  const grpc_connectivity_state now = link.channel->GetState(true);
  if (now == GRPC_CHANNEL_READY) return LinkUp(link);
  if (link.state != RouterState::kFailed) link.state = RouterState::kConnecting;
  link.watching = true;
  link.channel->NotifyOnStateChange(now, std::chrono::system_clock::now() + std::chrono::seconds(5), &queue,
                                    new Watch{&link, link.generation});
}

void Transport::Impl::OnConnectivity(Link& link, std::uint64_t generation) {
  if (generation != link.generation || closing) return;
  link.watching = false;
  const grpc_connectivity_state now = link.channel->GetState(true);
  if (now == GRPC_CHANNEL_READY) return LinkUp(link);
  if (now == GRPC_CHANNEL_TRANSIENT_FAILURE) LinkFailed(link, "can't connect to " + link.address);
  // Keeps trying while somebody may want it: a client whose router comes back finds it up.
  Connect(link);
}

void Transport::Impl::LinkUp(Link& link) {
  link.state = RouterState::kUp;
  link.ever_up = true;
  for (const bool bulk : {false, true}) Pump(link, bulk);
}

void Transport::Impl::LinkFailed(Link& link, const std::string& why) {
  link.state = RouterState::kFailed;
  link.last_error = why;
  for (Side& side : link.sides) {
    if (side.lane != nullptr) continue;  // its own end will say
    const std::vector<LostCall> lost = TakeQueue(side);
    if (!lost.empty()) events->OnLost(link.index, lost, why);
  }
}

void Transport::Impl::Pump(Link& link, bool bulk) {
  Side& side = link.sides[bulk];
  if (side.queue.empty() || closing) return;
  if (side.lane == nullptr) {
    side.lane = new Lane(this, &link, bulk);
    side.lane->Open(link.stub.get());
  }
  Lane& lane = *side.lane;
  if (lane.writing) return;
  lane.frame.Clear();
  std::size_t bytes = 0;
  while (!side.queue.empty() && (bytes == 0 || bytes + side.queue.front().bytes <= options.frame_bytes)) {
    Outgoing next = std::move(side.queue.front());
    side.queue.pop_front();
    bytes += next.bytes;
    if (next.call.has_invocation()) {
      lane.sent.insert(next.call.id());
      events->OnSent(next.call.id());
    }
    *lane.frame.add_calls() = std::move(next.call);
  }
  lane.writing = true;
  lane.StartWrite(&lane.frame);
}

Transport::Transport(TransportOptions options, Mutex* lock, TransportEvents* events) : impl_(new Impl) {
  impl_->credentials = link::ChannelCredentialsFor({options.tls_certificate, options.tls_key, options.tls_ca});
  impl_->lock = lock;
  impl_->events = events;
  for (const std::string& address : options.routers) {
    auto link = std::make_unique<Link>();
    link->index = impl_->links.size();
    link->address = address;
    impl_->links.push_back(std::move(link));
  }
  impl_->options = std::move(options);
}

Transport::~Transport() {
  {
    MutexLock guard(*impl_->lock);
    impl_->closing = true;
    for (Lane* lane : impl_->lanes) lane->Cancel();
    while (!impl_->lanes.empty()) impl_->no_lanes.Wait(*impl_->lock);
    for (auto& link : impl_->links) {
      link->stub.reset();
      link->channel.reset();  // ends the watches of its connectivity
    }
  }
  {
    MutexLock guard(impl_->alarm_lock);
    if (impl_->alarm) impl_->alarm->Cancel();
  }
  impl_->queue.Shutdown();
  void* tag;
  bool ok;
  while (impl_->queue.Next(&tag, &ok)) {
    if (tag != nullptr) delete static_cast<Watch*>(tag);
  }
}

std::size_t Transport::size() const {
  return impl_->links.size();
}
const std::string& Transport::address(std::size_t router) const {
  return impl_->links[router]->address;
}
RouterState Transport::state(std::size_t router) const {
  return impl_->links[router]->state;
}
const std::string& Transport::last_error(std::size_t router) const {
  return impl_->links[router]->last_error;
}
bool Transport::ever_up(std::size_t router) const {
  return impl_->links[router]->ever_up;
}

void Transport::Send(std::size_t router, std::uint64_t id, std::string method, std::string request,
                     std::uint32_t deadline_ms, bool bulk) {
  Link& link = *impl_->links[router];
  Outgoing out;
  out.bytes = request.size() + 64;
  out.call.set_id(id);
  v1::Invocation& invocation = *out.call.mutable_invocation();
  invocation.set_method(std::move(method));
  invocation.set_request(std::move(request));
  invocation.set_deadline_ms(deadline_ms);
  link.sides[bulk].queue.push_back(std::move(out));
  if (link.sides[bulk].lane != nullptr) return impl_->Pump(link, bulk);
  impl_->Connect(link);
}

void Transport::Drop(std::size_t router, std::uint64_t id) {
  Link& link = *impl_->links[router];
  for (const bool bulk : {false, true}) {
    Side& side = link.sides[bulk];
    if (side.lane != nullptr && side.lane->sent.erase(id) > 0) {
      Outgoing cancel;
      cancel.bytes = 16;
      cancel.call.set_id(id);
      cancel.call.set_cancel(true);
      side.queue.push_back(std::move(cancel));
      impl_->Pump(link, bulk);
      return;
    }
    const auto it = std::find_if(side.queue.begin(), side.queue.end(),
                                 [&](const Outgoing& o) { return o.call.id() == id && o.call.has_invocation(); });
    if (it != side.queue.end()) {
      side.queue.erase(it);
      return;
    }
  }
}

void Transport::Reconnect(std::size_t router) {
  Link& link = *impl_->links[router];
  for (Side& side : link.sides) {
    if (side.lane != nullptr) side.lane->Cancel();
    side.lane = nullptr;  // reports its calls as lost when it has ended
  }
  link.stub.reset();
  link.channel.reset();
  link.watching = false;
  link.state = RouterState::kIdle;
}

void Transport::WaitUntil(Instant when) {
  void* tag = nullptr;
  bool ok = false;
  const Duration left = std::min<Duration>(when - SteadyNow(), std::chrono::seconds(60));
  const auto deadline = std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::microseconds>(left);
  if (impl_->queue.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return;
  if (tag == nullptr) {
    MutexLock guard(impl_->alarm_lock);
    impl_->alarm.reset();
    return;
  }
  std::unique_ptr<Watch> watch(static_cast<Watch*>(tag));
  {
    MutexLock guard(*impl_->lock);
    impl_->OnConnectivity(*watch->link, watch->generation);
  }
  impl_->events->Flush();
}

void Transport::Wake() {
  MutexLock guard(impl_->alarm_lock);
  if (impl_->alarm) return;
  impl_->alarm = std::make_unique<grpc::Alarm>();
  impl_->alarm->Set(&impl_->queue, std::chrono::system_clock::now(), nullptr);
}

}  // namespace coffer::client
