// What waits to be written on a stream that goes away before it is.
#include "client/transport.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coffer/v1/stream.pb.h"
#include "tests/test_support.h"
#include "unit/client_fake_router.h"

namespace coffer::client {
namespace {

using test::FakeCluster;
using test::FakeRouter;

// A transport to one router, driven by the test.
class Connected : public TransportEvents {
 public:
  enum class End { kAnswered, kLost, kNeverSent };

  void OnSent(std::uint64_t) override {}
  void OnHeard(std::size_t) override {}
  void OnReply(std::size_t, v1::Reply&& reply) override {
    if (!reply.has_status()) return;
    ends[reply.id()] = End::kAnswered;
    if (on_reply) std::exchange(on_reply, {})();
  }
  void OnLost(std::size_t, const std::vector<LostCall>& calls, const std::string&) override {
    for (const LostCall& call : calls) ends[call.id] = call.sent ? End::kLost : End::kNeverSent;
  }
  void Flush() override {}

  // With the lock.
  void Send(std::uint64_t id) { transport.Send(0, id, "coffer.v1.Zones/List", "", nullptr, 5000, /*bulk=*/false); }
  // How the call ended.
  std::optional<End> Await(std::uint64_t id) {
    const Instant end = SteadyNow() + std::chrono::seconds(20);
    while (!ends.contains(id) && SteadyNow() < end) transport.WaitUntil(end);
    return ends.contains(id) ? std::optional(ends.at(id)) : std::nullopt;
  }

  std::unique_ptr<FakeRouter> router = std::make_unique<FakeRouter>(std::make_shared<FakeCluster>());
  std::map<std::uint64_t, End> ends;
  std::function<void()> on_reply;  // run at the next one, while the driver gathers what is to be written
  Mutex lock;
  Transport transport{{.routers = {router->address()}, .tls_certificate = "", .tls_key = "", .tls_ca = ""}, &lock, this};
};

TEST_CASE("what is gathered for a connection that is given up meanwhile leaves by the next, or is said never to have left") {
  Connected c;
  const bool gone = GENERATE(false, true);  // the router, so that there will be none
  const int times = GENERATE(1, 2);         // the next is given up before it is there
  c.on_reply = [&] {
    if (gone) c.router.reset();
    c.Send(2);
    for (int i = 0; i < times; ++i) c.transport.Reconnect(0);
  };
  {
    MutexLock guard(c.lock);
    c.Send(1);
  }
  CHECK(c.Await(1) == Connected::End::kAnswered);
  const Connected::End end = gone ? Connected::End::kNeverSent : Connected::End::kAnswered;
  CHECK(c.Await(2) == end);
  {
    MutexLock guard(c.lock);
    c.Send(3);
  }
  CHECK(c.Await(3) == end);
}

}  // namespace
}  // namespace coffer::client
