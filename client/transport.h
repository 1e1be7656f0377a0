// The connections of a client: per router one channel with one coalescing stream for small calls and one for bulky
// ones. Whatever is queued while a frame is being written goes into the next frame.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/router_choice.h"
#include "cluster/ids.h"
#include "cluster/message.h"
#include "proto/mutex.h"

namespace coffer::v1 {
class Reply;
}

namespace coffer::client {

// The clock of the shells, in the type the pure code takes.
inline Instant SteadyNow() {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

// A call that ended with its connection.
struct LostCall {
  std::uint64_t id;
  bool sent;  // false: nobody took it: no byte of it left this process, or what it reached is no router
};

// What happens on the connections. All methods but Flush are called with the owner's lock held; they must not block.
class TransportEvents {
 public:
  virtual ~TransportEvents() = default;
  virtual void OnSent(std::uint64_t call) = 0;
  // A frame came, before what is in it.
  virtual void OnHeard(std::size_t router) = 0;
  virtual void OnReply(std::size_t router, v1::Reply&& reply) = 0;
  virtual void OnLost(std::size_t router, const std::vector<LostCall>& calls, const std::string& why) = 0;
  // Called after the lock was released, once per batch of events: the place to run callbacks of the user.
  virtual void Flush() = 0;
};

struct TransportOptions {
  std::vector<std::string> routers;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_ca;
  std::uint64_t frame_bytes = 1u << 20;     // a frame closes at this size
  std::uint64_t message_bytes = 64u << 20;  // largest frame accepted
};

// Every method but WaitUntil, Wake and the destructor is called with the owner's lock held.
class Transport {
 public:
  // Throws std::runtime_error when a TLS file can't be used.
  Transport(TransportOptions options, Mutex* lock, TransportEvents* events);
  // Ends all streams and waits until no event can come any more, which it handles itself: nobody else may be in WaitUntil.
  // Without the lock.
  ~Transport();

  std::size_t size() const;
  const std::string& address(std::size_t router) const;
  RouterState state(std::size_t router) const;
  // The last error of a connection attempt, for people.
  const std::string& last_error(std::size_t router) const;
  // Whether the router has ever been connected.
  bool ever_up(std::size_t router) const;
  // Whether the last stream there was refused by something that does not know our service: a wrong port. It did nothing.
  bool no_router(std::size_t router) const;

  // Queues a call; connects when necessary. The call ends in OnReply or OnLost. `request` is serialised, and copied; `value` (may be null)
  // is what it puts (EncodeInvocation).
  void Send(std::size_t router, std::uint64_t id, std::string_view method, std::string_view request, Payload value, std::uint32_t deadline_ms,
            bool bulk);
  // Forgets a call: takes it out of the queue, or has the router cancel it when it was sent. (A lost connection may
  // name it once more.)
  void Drop(std::size_t router, std::uint64_t id);
  // Makes a new connection in place of one that seems dead; its calls are lost.
  void Reconnect(std::size_t router);

  // Blocks the driver thread until `when`, an event, or Wake; all events are handled by it, here. Without the lock.
  void WaitUntil(Instant when);
  // Ends a WaitUntil under way, or the next one at once. With or without the lock.
  void Wake();

  struct Impl;  // of the .cc file

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace coffer::client
