#include "node/cofferd/http_listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <list>
#include <stdexcept>
#include <thread>
#include <vector>

namespace coffer::server {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostConnections = 32;
constexpr std::size_t kMostHead = 8192;
constexpr auto kPatience = std::chrono::seconds(5);

const char* ReasonOf(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

std::string Serialised(const HttpResponse& response) {
  std::string head = "HTTP/1.1 " + std::to_string(response.code) + " " + ReasonOf(response.code) +
                     "\r\nContent-Type: " + response.content_type + "\r\nContent-Length: " +
                     std::to_string(response.body.size()) + "\r\nConnection: close\r\nCache-Control: no-store\r\n";
  if (response.code == 405) head += "Allow: GET\r\n";
  return head + "\r\n" + response.body;
}

int Listen(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (failed != 0) throw std::runtime_error("metrics_listen: " + address + " is no address here: " + gai_strerror(failed));
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int yes = 1;
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const bool up = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 64) == 0;
  const int error = errno;
  freeaddrinfo(found);
  if (up) return fd;
  if (fd >= 0) close(fd);
  throw std::runtime_error("metrics_listen: can't listen on " + address + ": " + std::strerror(error) +
                           (error == EADDRINUSE ? ". Another process has that port; stop it or choose another port" : ""));
}

struct Connection {
  int fd = -1;
  Clock::time_point until;
  std::string in;
  std::string out;
  std::size_t sent = 0;
  bool over = false;
};

class Listener final : public HttpListener {
 public:
  Listener(const std::string& address, std::map<std::string, Page> pages) : pages_(std::move(pages)), fd_(Listen(address)) {
    wake_ = eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread([this] { Run(); });
  }

  ~Listener() override {
    const std::uint64_t one = 1;
    (void)!write(wake_, &one, sizeof one);
    thread_.join();
    for (Connection& c : connections_) close(c.fd);
    close(fd_);
    close(wake_);
  }

  int port() const override {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                               : reinterpret_cast<sockaddr_in&>(address).sin_port);
  }

 private:
  void Run() {
    for (;;) {
      std::vector<pollfd> polled = {{wake_, POLLIN, 0}};
      // At the bound, or without descriptors, new connections wait in the kernel's queue.
      const bool accepting = connections_.size() < kMostConnections && Clock::now() >= accept_after_;
      polled.push_back({accepting ? fd_ : -1, POLLIN, 0});
      for (const Connection& c : connections_) {
        polled.push_back({c.fd, static_cast<short>(c.out.empty() ? POLLIN : POLLOUT), 0});
      }
      poll(polled.data(), polled.size(), 250);
      if (polled[0].revents != 0) return;
      std::size_t i = 2;
      for (Connection& c : connections_) Serve(&c, polled[i++].revents != 0);
      connections_.remove_if([](const Connection& c) { return c.over && close(c.fd) == 0; });
      if (polled[1].revents != 0) Accept();
    }
  }

  void Accept() {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      connections_.push_back({fd, Clock::now() + kPatience, {}, {}, 0, false});
    } else if (errno == EMFILE || errno == ENFILE) {
      accept_after_ = Clock::now() + std::chrono::milliseconds(200);
    }
  }

  void Serve(Connection* c, bool ready) {
    if (Clock::now() >= c->until) c->over = true;
    if (c->over || !ready) return;
    if (c->out.empty()) Read(c);
    if (!c->out.empty()) Write(c);
  }

  void Read(Connection* c) {
    char bytes[2048];
    const ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) c->over = true;
    if (n <= 0) return;
    c->in.append(bytes, static_cast<std::size_t>(n));
    const std::size_t end = c->in.find("\r\n\r\n");
    if (end != std::string::npos && end <= kMostHead) {
      c->out = Serialised(AnswerTo(c->in.substr(0, end + 2), pages_));
    } else if (c->in.size() > kMostHead) {
      c->out = Serialised({431, "text/plain; charset=utf-8", "the request is larger than 8 KiB\n"});
    }
    if (!c->out.empty()) c->until = Clock::now() + kPatience;
  }

  void Write(Connection* c) {
    const ssize_t n = send(c->fd, c->out.data() + c->sent, c->out.size() - c->sent, MSG_NOSIGNAL);
    if (n < 0) {
      c->over = errno != EAGAIN && errno != EINTR;
      return;
    }
    c->sent += static_cast<std::size_t>(n);
    if (c->sent < c->out.size()) return;
    shutdown(c->fd, SHUT_WR);
    c->over = true;
  }

  const std::map<std::string, Page> pages_;
  const int fd_;
  int wake_ = -1;
  std::list<Connection> connections_;  // of the thread
  Clock::time_point accept_after_;     // of the thread
  std::thread thread_;
};

}  // namespace

std::unique_ptr<HttpListener> HttpListener::Start(const std::string& listen, std::map<std::string, Page> pages) {
  return std::make_unique<Listener>(listen, std::move(pages));
}

HttpResponse AnswerTo(const std::string& head, const std::map<std::string, HttpListener::Page>& pages) {
  const std::string line = head.substr(0, head.find("\r\n"));
  const std::size_t first = line.find(' ');
  const std::size_t second = line.find(' ', first == std::string::npos ? first : first + 1);
  const char* plain = "text/plain; charset=utf-8";
  const bool whole = second != std::string::npos && line.find(' ', second + 1) == std::string::npos;
  const std::string version = whole ? line.substr(second + 1) : "";
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return {400, plain, "this is no HTTP/1.1 request\n"};
  if (line.substr(0, first) != "GET") return {405, plain, "only GET is answered here\n"};
  std::string path = line.substr(first + 1, second - first - 1);
  path = path.substr(0, path.find('?'));
  const auto page = pages.find(path);
  if (page != pages.end()) return page->second();
  std::string body = "there is no such page; there are:";
  for (const auto& [name, unused] : pages) body += " " + name;
  return {404, plain, body + "\n"};
}

}  // namespace coffer::server
