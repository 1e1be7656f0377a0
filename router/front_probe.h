// Tries the listener from outside. Only a fresh connection shows whether anything is accepted still: gRPC 1.51 destroys its
// listener when it runs out of descriptors once, and goes on serving the connections it has.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "proto/mutex.h"

namespace coffer::router {

enum class ProbeOutcome {
  kAccepted,      // something answered, or closed what it had accepted
  kSilent,        // refused, or connected by the kernel and never accepted
  kInconclusive,  // the probe itself could not be made (no descriptors)
};

// One try: connects, says the first bytes of HTTP/2 and waits for any reaction; a TLS listener answers them by closing.
ProbeOutcome ProbeListener(const std::string& host, int port, std::chrono::milliseconds patience);

// Probes at an interval on a thread of its own.
class ListenerProbe {
 public:
  struct Options {
    std::string host;                     // as listened on; a wildcard is tried through loopback
    int port = 0;
    std::chrono::milliseconds interval{5'000};
    std::chrono::milliseconds patience{3'000};
    int failures = 3;                     // silent tries in a row that mean dead
    std::function<void(const std::string&)> on_dead;  // called once
  };
  explicit ListenerProbe(Options options);
  ~ListenerProbe();

 private:
  void Run();
  bool SleepFor(std::chrono::milliseconds interval);

  const Options options_;
  Mutex mutex_;
  Condition wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace coffer::router
