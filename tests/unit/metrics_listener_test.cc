// The operators' HTTP listener.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "node/cofferd/http_listener.h"
#include "tests/test_support.h"

namespace coffer::server {
namespace {

using Catch::Contains;
using Catch::StartsWith;

const std::map<std::string, HttpListener::Page> kPages = {
    {"/livez", [] { return HttpResponse{200, "text/plain", "alive\n"}; }},
    {"/readyz", [] { return HttpResponse{503, "text/plain", "no layout\n"}; }}};

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

// All that comes until the other side closes.
std::string ReadAll(int fd) {
  std::string all;
  char bytes[4096];
  for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) > 0;) all.append(bytes, static_cast<std::size_t>(n));
  close(fd);
  return all;
}

std::string Ask(int port, const std::string& request) {
  const int fd = Connect(port);
  REQUIRE(send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
  return ReadAll(fd);
}

TEST_CASE("pages are answered, and nothing else") {
  const auto listener = HttpListener::Start("127.0.0.1:0", kPages);
  const std::string alive = Ask(listener->port(), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK_THAT(alive, StartsWith("HTTP/1.1 200 OK\r\n") && Contains("Content-Length: 6\r\n") && Contains("\r\n\r\nalive\n"));
  CHECK_THAT(Ask(listener->port(), "GET /readyz?verbose HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 503 "));
  CHECK_THAT(Ask(listener->port(), "GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 ") && Contains("/livez /readyz"));
  CHECK_THAT(Ask(listener->port(), "POST /livez HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405 ") && Contains("Allow: GET"));
  for (const char* bad : {"GET /livez\r\n\r\n", "GET  /livez HTTP/1.1\r\n\r\n", "GET /livez HTTP/2.0\r\n\r\n", "\r\n\r\n",
                          "x\r\n\r\n", "GET /livez HTTP/1.1 \r\n\r\n"}) {
    CAPTURE(bad);
    CHECK_THAT(Ask(listener->port(), bad), StartsWith("HTTP/1.1 400 "));
  }
}

TEST_CASE("a request may come in pieces, but not without end") {
  const auto listener = HttpListener::Start("127.0.0.1:0", kPages);
  const int fd = Connect(listener->port());
  for (const char c : std::string("GET /livez HTTP/1.1\r\n\r\n")) REQUIRE(send(fd, &c, 1, MSG_NOSIGNAL) == 1);
  CHECK_THAT(ReadAll(fd), StartsWith("HTTP/1.1 200 "));
  CHECK_THAT(Ask(listener->port(), "GET /livez HTTP/1.1\r\nX: " + std::string(8192, 'x')), StartsWith("HTTP/1.1 431 "));
}

TEST_CASE("more connections than the bound wait for a place") {
  const auto listener = HttpListener::Start("127.0.0.1:0", kPages);
  std::vector<int> idle;
  for (int i = 0; i < 32; ++i) idle.push_back(Connect(listener->port()));
  const int waiting = Connect(listener->port());
  const std::string request = "GET /livez HTTP/1.1\r\n\r\n";
  REQUIRE(send(waiting, request.data(), request.size(), MSG_NOSIGNAL) > 0);
  pollfd answered{waiting, POLLIN, 0};
  CHECK(poll(&answered, 1, 100) == 0);
  close(idle.back());
  idle.pop_back();
  CHECK_THAT(ReadAll(waiting), StartsWith("HTTP/1.1 200 "));
  for (int fd : idle) close(fd);
}

TEST_CASE("a port in use is an error that says so") {
  const auto listener = HttpListener::Start("127.0.0.1:0", kPages);
  const std::string address = "127.0.0.1:" + std::to_string(listener->port());
  CHECK_THROWS_WITH(HttpListener::Start(address, kPages), Contains(address) && Contains("in use") && Contains("metrics_listen"));
  CHECK_THROWS_WITH(HttpListener::Start("no.such.host.invalid:1", kPages), Contains("no.such.host.invalid"));
}

}  // namespace
}  // namespace coffer::server
