#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "peers/load.h"

namespace coffer::peers {
namespace {

constexpr std::size_t kLists = 64;
constexpr std::size_t kLast = 20;

std::string Command(const std::vector<std::string>& words) {
  std::string out = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return out;
}

// Where the reply that begins at `at` ends; npos: it is not all here.
std::size_t ReplyEnd(const std::string& text, std::size_t at) {
  const std::size_t line = text.find("\r\n", at);
  if (line == std::string::npos) return line;
  long number = 0;
  std::from_chars(text.data() + at + 1, text.data() + line, number);
  if (text[at] == '$') {
    const std::size_t end = number < 0 ? line + 2 : line + 2 + static_cast<std::size_t>(number) + 2;
    return end <= text.size() ? end : std::string::npos;
  }
  std::size_t end = line + 2;
  if (text[at] == '*') {
    for (long i = 0; i < number && end != std::string::npos; ++i) {
      end = end < text.size() ? ReplyEnd(text, end) : std::string::npos;
    }
  }
  return end;
}

class Connection {
 public:
  explicit Connection(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error("no Redis at " + address);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Connection() { close(fd_); }
  int fd() const { return fd_; }

  // Blocks while the socket takes no more; the server reads on, so this ends.
  void Send(const std::string& bytes, int replies) {
    began = Stopwatch::Now();
    wanted_ = replies;
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) throw std::runtime_error("the connection to Redis broke");
      sent += static_cast<std::size_t>(n);
    }
  }
  // Takes in what has come; true when all replies are here.
  bool Receive() {
    char part[65536];
    const ssize_t n = recv(fd_, part, sizeof part, 0);
    if (n <= 0) throw std::runtime_error("the connection to Redis broke");
    in_.append(part, static_cast<std::size_t>(n));
    for (std::size_t end; wanted_ > 0 && parsed_ < in_.size() && (end = ReplyEnd(in_, parsed_)) != std::string::npos;
         --wanted_) {
      last_ = in_.substr(parsed_, std::min<std::size_t>(end - parsed_, 64));
      parsed_ = end;
    }
    if (wanted_ > 0) return false;
    in_.clear();
    parsed_ = 0;
    return true;
  }
  void Ask(const std::string& bytes, int replies) {
    Send(bytes, replies);
    while (!Receive()) {
    }
  }
  // The beginning of the last reply.
  const std::string& last() const { return last_; }

  Instant began{};

 private:
  int fd_;
  int wanted_ = 0;
  std::string in_, last_;
  std::size_t parsed_ = 0;
};

void Prepare(const LoadPlan& plan, Values* values) {
  Connection redis(plan.addresses.front());
  for (std::size_t k = 0; plan.work == "get" && k < plan.keys; ++k) {
    redis.Ask(Command({"SET", "key" + std::to_string(k), values->Next()}), 1);
  }
  for (std::size_t k = 0; plan.work == "last" && k < kLists * kLast; ++k) {
    redis.Ask(Command({"RPUSH", "list" + std::to_string(k % kLists), values->Next()}), 1);
  }
}

}  // namespace

LoadResult LoadRedis(const LoadPlan& plan) {
  Values values(plan.bytes);
  Prepare(plan, &values);
  std::vector<std::unique_ptr<Connection>> connections;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::uint64_t count = 0;
  const std::string wait = Command({"WAIT", "1", "0"});
  const auto ask = [&](Connection* c) {
    ++count;
    if (plan.work == "put") return c->Send(Command({"SET", "put" + std::to_string(count), values.Next()}) + wait, 2);
    if (plan.work == "get") return c->Send(Command({"GET", "key" + std::to_string(count * 7919 % plan.keys)}), 1);
    c->Send(Command({"LRANGE", "list" + std::to_string(count % kLists), "-20", "-1"}), 1);
  };
  const char good = plan.work == "put" ? ':' : plan.work == "get" ? '$' : '*';
  LoadResult result;
  const Stopwatch watch(plan);
  for (std::size_t i = 0; i < plan.in_flight; ++i) {
    connections.push_back(std::make_unique<Connection>(plan.addresses.front()));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connections.back().get();
    epoll_ctl(epoll, EPOLL_CTL_ADD, connections.back()->fd(), &event);
    ask(connections.back().get());
  }
  for (std::size_t open = plan.in_flight; open > 0;) {
    epoll_event events[128];
    const int n = epoll_wait(epoll, events, 128, 10'000);
    if (n == 0 || (n < 0 && errno != EINTR)) throw std::runtime_error("Redis does not answer");
    for (int i = 0; i < n; ++i) {
      auto* c = static_cast<Connection*>(events[i].data.ptr);
      if (!c->Receive()) continue;
      const bool ok = c->last()[0] == good && c->last() != ":0\r\n" && c->last() != "$-1\r\n";
      if (ok) {
        watch.Ended(c->began, &result);
      } else if (++result.errors == 1) {
        result.first_error = c->last();
      }
      if (watch.Over()) {
        --open;
      } else {
        ask(c);
      }
    }
  }
  close(epoll);
  return result;
}

}  // namespace coffer::peers
