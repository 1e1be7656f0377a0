// The gRPC front door: coffer.v1.{Chunks,Chains,Zones,Cluster,Stream}, health and reflection, on the public port.
//
// It decodes nothing but the envelope of the coalescing stream: requests go to the Api as bytes and answers come back as
// bytes. Its own decisions are who may enter (front_admission.h), deadlines, cancellation, bounds, and health.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "proto/link/link.h"
#include "router/api.h"
#include "router/core/errors.h"
#include "router/core/methods.h"
#include "router/front_admission.h"

namespace coffer::link {
class Poller;
}

namespace coffer::router {

// Told about every call. Called on any thread; must not block.
class FrontObserver {
 public:
  virtual ~FrontObserver() = default;
  virtual void OnCallEnd(Method method, Code code, std::chrono::steady_clock::duration took) = 0;
};

// The bounds of one coalescing stream.
struct StreamBounds {
  std::uint64_t calls = 4096;                // open calls; beyond: RESOURCE_EXHAUSTED with RetryInfo
  std::uint64_t request_bytes = 64u << 20;   // of open calls; beyond: RESOURCE_EXHAUSTED with RetryInfo
  std::uint64_t reply_bytes = 64u << 20;     // not written yet; beyond: nothing more is read from the stream
  std::uint64_t frame_bytes = 1u << 20;      // a frame closes at this size
};

struct FrontOptions {
  std::string listen;                        // host:port; port 0 takes a free one
  link::TlsFiles tls;                        // empty: cleartext. With a ca, callers may show a certificate of it
  bool require_certificate = false;          // callers must show one
  AdmissionLimits admission;
  StreamBounds stream;
  std::uint64_t writable_bytes = 1u << 20;   // a server-streaming call takes no more answers while this much waits
  int max_message_bytes = 17 << 20;          // 16 MiB of request and the envelope around it
  std::chrono::milliseconds health_interval{100};  // how soon health follows Api::Serving
  std::chrono::milliseconds probe_interval{5'000}; // how often the listener is tried from outside; 0: never
  // Polled by another thread until after Stop: the front's calls come and end there. Null: the front has a thread of its own.
  link::Poller* poller = nullptr;
  FrontObserver* observer = nullptr;         // may be null; must outlive the server
  // The listener has died while the process lives (gRPC 1.51 never accepts again after running out of descriptors once).
  // Called once, on a thread of the server, with a message for the operator; the process should end.
  std::function<void(const std::string&)> on_dead;
};

// Thread-safe.
class FrontServer {
 public:
  // Binds and serves; throws std::runtime_error with a message for the operator (port in use, bad certificate...).
  // `api` must outlive the server.
  static std::unique_ptr<FrontServer> Start(FrontOptions options, Api* api);
  virtual ~FrontServer() = default;  // as Stop(0)

  // Port actually bound.
  virtual int port() const = 0;
  // Health says NOT_SERVING, new calls are refused with UNAVAILABLE, idle streams and watches end; other calls go on.
  virtual void Drain() = 0;
  // Drains, waits at most this long for the calls under way, ends the rest, and frees the port. Idempotent.
  virtual void Stop(std::chrono::milliseconds patience) = 0;

  // What is under way now.
  struct Load {
    std::uint64_t calls = 0;          // with those inside streams
    std::uint64_t request_bytes = 0;
    std::uint64_t streams = 0;
  };
  virtual Load load() const = 0;
};

}  // namespace coffer::router
