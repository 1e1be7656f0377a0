#include "router/front_probe.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace coffer::router {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The client's connection preface and an empty SETTINGS frame (RFC 9113, 3.4).
constexpr char kHello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
constexpr std::size_t kHelloBytes = sizeof kHello - 1;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

std::string Reachable(const std::string& host) {
  if (host.empty() || host == "0.0.0.0") return "127.0.0.1";
  if (host == "::" || host == "[::]") return "::1";
  if (host.front() == '[') return host.substr(1, host.size() - 2);
  return host;
}

// False when the descriptor stays silent until then.
bool WaitFor(int fd, short events, steady_clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - steady_clock::now()).count();
    pollfd p{fd, events, 0};
    const int ready = poll(&p, 1, static_cast<int>(left > 0 ? left : 0));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

ProbeOutcome Talk(int fd, steady_clock::time_point until) {
  if (!WaitFor(fd, POLLOUT, until)) return ProbeOutcome::kSilent;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return ProbeOutcome::kSilent;
  // If it does not go out, something has closed the connection, so something has accepted it.
  if (send(fd, kHello, kHelloBytes, MSG_NOSIGNAL) < 0) return ProbeOutcome::kAccepted;
  return WaitFor(fd, POLLIN, until) ? ProbeOutcome::kAccepted : ProbeOutcome::kSilent;
}

}  // namespace

ProbeOutcome ProbeListener(const std::string& host, int port, milliseconds patience) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(Reachable(host).c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return ProbeOutcome::kInconclusive;
  }
  const Descriptor fd(socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto until = steady_clock::now() + patience;
  ProbeOutcome outcome = ProbeOutcome::kInconclusive;
  if (fd.get() >= 0) {
    const bool begun = connect(fd.get(), found->ai_addr, found->ai_addrlen) == 0 || errno == EINPROGRESS;
    outcome = begun ? Talk(fd.get(), until) : ProbeOutcome::kSilent;
  }
  freeaddrinfo(found);
  return outcome;
}

ListenerProbe::ListenerProbe(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

ListenerProbe::~ListenerProbe() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
}

void ListenerProbe::Run() {
  int silent = 0;
  while (SleepFor(options_.interval)) {
    const ProbeOutcome outcome = ProbeListener(options_.host, options_.port, options_.patience);
    if (outcome == ProbeOutcome::kAccepted) silent = 0;
    if (outcome == ProbeOutcome::kSilent) ++silent;
    if (silent < options_.failures) continue;
    options_.on_dead("the listener on port " + std::to_string(options_.port) + " accepts no connections any more (" +
                     std::to_string(silent) +
                     " tries); the usual cause is that the process ran out of file descriptors: raise LimitNOFILE (systemd) or "
                     "ulimit -n, then start it again");
    return;
  }
}

bool ListenerProbe::SleepFor(milliseconds interval) {
  MutexLock lock(mutex_);
  return !wake_.WaitFor(mutex_, interval, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
}

}  // namespace coffer::router
