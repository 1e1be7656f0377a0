#include "client/transport.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <set>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "client/request_frame.h"
#include "coffer/v1/stream.pb.h"
#include "proto/link/credentials.h"
#include "proto/link/poller.h"

namespace coffer::client {

struct Transport::Impl {
  class Lane;
  struct Link;
  struct Side;

  TransportOptions options;
  Mutex* lock;
  TransportEvents* events;
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  std::vector<std::unique_ptr<Link>> links;
  std::set<Lane*> lanes;  // all that may still call back
  bool closing = false;
  // One thread waits for the network and runs what comes of it: the callback API of gRPC 1.51 would hand every event to
  // another of its threads.
  link::Poller poller{grpc::ServerBuilder().AddCompletionQueue()};
  std::atomic<std::thread::id> driver;
  bool gathering = false;    // the driver runs what has arrived; its calls wait for the end of that
  std::set<Side*> gathered;  // have such calls

  void Connect(Link& link);
  void OnConnectivity(Link& link, std::uint64_t generation);
  void LinkUp(Link& link);
  void LinkFailed(Link& link, const std::string& why);
  // Writes what is queued, now or when the driver has run everything that has arrived. Else frames would stay as small as they are
  // once: each answer leads to a call that leaves alone and is answered alone.
  void Pump(Side& side);
  void Write(Side& side);
  void WriteGathered();
};

struct Transport::Impl::Side {
  Link* link = nullptr;
  std::deque<EncodedCall> queue;
  Lane* lane = nullptr;  // takes new calls; an older stream may still be ending beside it
};

// One stream under way. Deletes itself in OnDone.
class Transport::Impl::Lane : public link::PolledClientStream {
 public:
  Lane(Transport::Impl* impl, Side* side);
  // With the first frame.
  void Open(const std::shared_ptr<grpc::Channel>& channel, const grpc::ByteBuffer& frame);
  void Write(const grpc::ByteBuffer& frame);
  void Cancel() { context_.TryCancel(); }
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  bool writing = false;
  absl::flat_hash_set<std::uint64_t> sent;  // calls written on this stream and not ended

 private:
  void Deliver();

  Transport::Impl* const impl_;
  Side& side_;
  const std::uint64_t generation_;  // of the channel it is opened on
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  grpc::ByteBuffer read_;  // of the read in flight
  v1::OpenResponse incoming_;
};

// One router. The sides: small calls, bulky calls.
struct Transport::Impl::Link {
  std::size_t index = 0;
  std::string address;
  RouterState state = RouterState::kIdle;
  std::string last_error;
  bool ever_up = false;
  bool no_router = false;  // see Transport::no_router
  std::uint64_t generation = 0;  // of the channel, or the next; a watch of an older one is ignored
  bool watching = false;
  std::shared_ptr<grpc::Channel> channel;
  Side sides[2];
};

namespace {

constexpr char kMethod[] = "/coffer.v1.Stream/Open";
constexpr char kNoRouter[] =
    "what answers there is no router; a router's public port is meant (public_listen, 7700), not a member's peer port (listen, 7701)";
// So that the router is at work on one half of many calls while this side is at work on the other.
constexpr std::size_t kCallsPerFrame = 32;

using Lane = Transport::Impl::Lane;
using Link = Transport::Impl::Link;
using Side = Transport::Impl::Side;

// A connectivity watch on the queue. Deletes itself.
struct Watch final : link::Poller::Event {
  Watch(Transport::Impl* impl, Link* link, std::uint64_t generation) : impl(impl), link(link), generation(generation) {}
  void Run(bool ok) override;
  Transport::Impl* const impl;
  Link* const link;
  const std::uint64_t generation;
};

// Empties a queue; its calls never left.
std::vector<LostCall> TakeQueue(Side& side) {
  std::vector<LostCall> lost;
  for (const EncodedCall& call : side.queue) {
    if (call.invokes) lost.push_back({call.id, false});
  }
  side.queue.clear();
  return lost;
}

void Watch::Run(bool) {
  {
    MutexLock guard(*impl->lock);
    impl->OnConnectivity(*link, generation);
  }
  impl->events->Flush();
  delete this;
}

}  // namespace

Transport::Impl::Lane::Lane(Transport::Impl* impl, Side* side) : impl_(impl), side_(*side), generation_(side->link->generation) {}

void Transport::Impl::Lane::Open(const std::shared_ptr<grpc::Channel>& channel, const grpc::ByteBuffer& frame) {
  impl_->lanes.insert(this);
  context_.set_initial_metadata_corked(true);
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel);
  stream_ = stub.PrepareCall(&context_, kMethod, impl_->poller.queue());
  StartCall(stream_.get());
  Write(frame);
  StartRead(&read_);
}

void Transport::Impl::Lane::Write(const grpc::ByteBuffer& frame) {
  writing = true;
  StartWrite(frame);
}

void Transport::Impl::Lane::Deliver() {
  MutexLock guard(*impl_->lock);
  if (side_.lane == this) {  // not what an earlier connection says late
    side_.link->no_router = false;
    impl_->events->OnHeard(side_.link->index);
  }
  for (v1::Reply& reply : *incoming_.mutable_replies()) {
    if (sent.count(reply.id()) == 0) continue;  // dropped meanwhile
    if (reply.has_status()) sent.erase(reply.id());
    impl_->events->OnReply(side_.link->index, std::move(reply));
  }
}

void Transport::Impl::Lane::OnReadDone(bool ok) {
  if (ok && grpc::SerializationTraits<v1::OpenResponse>::Deserialize(&read_, &incoming_).ok()) {
    Deliver();
    impl_->events->Flush();
    StartRead(&read_);
    return;
  }
  {
    MutexLock guard(*impl_->lock);
    // No more writes on this stream; OnDone tells why it ended.
    if (side_.lane == this) side_.lane = nullptr;
  }
  if (!ok) return;  // it has ended by itself; to cancel it now would put that in place of what the other side said
  context_.TryCancel();
  StartRead(&read_);  // the end comes as the failure of a read
}

void Transport::Impl::Lane::OnWriteDone(bool ok) {
  MutexLock guard(*impl_->lock);
  writing = false;
  if (ok && side_.lane == this) impl_->Pump(side_);
}

void Transport::Impl::Lane::OnDone(const grpc::Status& status) {
  {
    MutexLock guard(*impl_->lock);
    Link& link = *side_.link;
    if (side_.lane == this) side_.lane = nullptr;
    if (!impl_->closing) {
      std::vector<LostCall> lost;
      const bool current = generation_ == link.generation;  // else another connection has taken its place, and its calls
      if (current && side_.lane == nullptr) lost = TakeQueue(side_);
      const bool no_router = status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
      for (std::uint64_t id : sent) lost.push_back({id, !no_router});
      std::string why = status.error_message().empty() ? "the router ended the stream" : status.error_message();
      if (no_router) why = kNoRouter + (status.error_message().empty() ? "" : ": " + status.error_message());
      if (current) {
        link.last_error = why;
        link.no_router = no_router;
        if (link.state == RouterState::kUp) link.state = no_router ? RouterState::kFailed : RouterState::kIdle;
      }
      if (!lost.empty()) impl_->events->OnLost(link.index, lost, why);
    }
    impl_->lanes.erase(this);
  }
  impl_->events->Flush();
  delete this;
}

void Transport::Impl::Connect(Link& link) {
  if (closing || link.watching) return;
  if (!link.channel) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    args.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(options.message_bytes));
    args.SetInt(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, static_cast<int>(options.message_bytes));
    // A connection that carries nothing any more ends, though only bulky calls wait on it, whose silence proves nothing. A ping queues
    // up behind what is being sent: 16 MiB at a megabit a second.
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 120'000);
    // Own connections: a new channel must really dial anew.
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    link.channel = grpc::CreateCustomChannel(link.address, credentials, args);
  }
  const grpc_connectivity_state now = link.channel->GetState(true);
  if (now == GRPC_CHANNEL_READY) return LinkUp(link);
  if (link.state != RouterState::kFailed) link.state = RouterState::kConnecting;
  link.watching = true;
  const auto until = std::chrono::system_clock::now() + std::chrono::seconds(5);
  link::Poller::Begin(new Watch(this, &link, link.generation),
                      [&](void* tag) { link.channel->NotifyOnStateChange(now, until, poller.queue(), tag); });
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
  for (Side& side : link.sides) Pump(side);
}

void Transport::Impl::LinkFailed(Link& link, const std::string& why) {
  link.state = RouterState::kFailed;
  link.no_router = false;
  link.last_error = why;
  for (Side& side : link.sides) {
    if (side.lane != nullptr) continue;  // its own end will say
    const std::vector<LostCall> lost = TakeQueue(side);
    if (!lost.empty()) events->OnLost(link.index, lost, why);
  }
}

void Transport::Impl::Pump(Side& side) {
  if (gathering && driver == std::this_thread::get_id() && side.queue.size() < kCallsPerFrame) {
    gathered.insert(&side);
  } else {
    Write(side);
  }
}

void Transport::Impl::WriteGathered() {
  gathering = false;
  for (Side* side : std::exchange(gathered, {})) Write(*side);
}

void Transport::Impl::Write(Side& side) {
  if (side.queue.empty() || closing) return;
  Lane* const old = side.lane;
  if (old != nullptr && old->writing) return;
  // What waited for a stream that ended, or was given up, meanwhile: whoever ends it takes the queue, or the next connection does.
  if (old == nullptr && side.link->state != RouterState::kUp) return;
  if (old == nullptr) side.lane = new Lane(this, &side);
  const std::size_t calls = CallsOfFrame(side.queue, {kCallsPerFrame, options.frame_bytes});
  for (std::size_t i = 0; i < calls; ++i) {
    const EncodedCall& call = side.queue[i];
    if (!call.invokes) continue;
    side.lane->sent.insert(call.id);
    events->OnSent(call.id);
  }
  const grpc::ByteBuffer frame = TakeFrame(&side.queue, calls);
  old == nullptr ? side.lane->Open(side.link->channel, frame) : side.lane->Write(frame);
}

Transport::Transport(TransportOptions options, Mutex* lock, TransportEvents* events) : impl_(new Impl) {
  impl_->credentials = link::ChannelCredentialsFor({options.tls_certificate, options.tls_key, options.tls_ca});
  impl_->lock = lock;
  impl_->events = events;
  for (const std::string& address : options.routers) {
    auto link = std::make_unique<Link>();
    link->index = impl_->links.size();
    link->address = address;
    for (Side& side : link->sides) side.link = link.get();
    impl_->links.push_back(std::move(link));
  }
  impl_->options = std::move(options);
}

Transport::~Transport() {
  {
    MutexLock guard(*impl_->lock);
    impl_->closing = true;
    for (Lane* lane : impl_->lanes) lane->Cancel();
  }
  const auto lanes = [this] {
    MutexLock guard(*impl_->lock);
    return !impl_->lanes.empty();
  };
  while (lanes()) impl_->poller.Poll(std::chrono::steady_clock::time_point::max());
  {
    MutexLock guard(*impl_->lock);
    for (auto& link : impl_->links) link->channel.reset();  // ends the watches of its connectivity
  }
  impl_->poller.Shutdown();
  while (impl_->poller.Poll(std::chrono::steady_clock::time_point::max())) {
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
bool Transport::no_router(std::size_t router) const {
  return impl_->links[router]->no_router;
}

void Transport::Send(std::size_t router, std::uint64_t id, std::string_view method, std::string_view request,
                     Payload value, std::uint32_t deadline_ms, bool bulk) {
  Link& link = *impl_->links[router];
  link.sides[bulk].queue.push_back(EncodeInvocation(id, method, request, std::move(value), deadline_ms));
  if (link.sides[bulk].lane != nullptr) return impl_->Pump(link.sides[bulk]);
  impl_->Connect(link);
}

void Transport::Drop(std::size_t router, std::uint64_t id) {
  Link& link = *impl_->links[router];
  for (Side& side : link.sides) {
    if (side.lane != nullptr && side.lane->sent.erase(id) > 0) {
      side.queue.push_back(EncodeCancel(id));
      impl_->Pump(side);
      return;
    }
    const auto it = std::find_if(side.queue.begin(), side.queue.end(),
                                 [&](const EncodedCall& call) { return call.id == id && call.invokes; });
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
  link.channel.reset();
  ++link.generation;
  link.watching = false;
  link.state = RouterState::kIdle;
  // What waits to be sent waits for the next connection.
  if (!link.sides[0].queue.empty() || !link.sides[1].queue.empty()) impl_->Connect(link);
}

void Transport::WaitUntil(Instant when) {
  impl_->driver = std::this_thread::get_id();
  {
    MutexLock guard(*impl_->lock);
    impl_->gathering = true;
  }
  impl_->poller.Poll(std::chrono::steady_clock::time_point(when.time_since_epoch()));
  MutexLock guard(*impl_->lock);
  impl_->WriteGathered();
}

void Transport::Wake() {
  impl_->poller.Wake();
}

}  // namespace coffer::client
