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
    if (on_lost) std::exchange(on_lost, {})();
  }
  void Flush() override {}

  // With the lock.
  void Send(std::uint64_t id) { transport.Send(0, id, "coffer.v1.Zones/List", "", 5000, /*bulk=*/false); }
  // How the call ended.
  std::optional<End> Await(std::uint64_t id) {
    const Instant end = SteadyNow() + std::chrono::seconds(20);
    while (!ends.contains(id) && SteadyNow() < end) transport.WaitUntil(end);
    return ends.contains(id) ? std::optional(ends.at(id)) : std::nullopt;
  }

  std::unique_ptr<FakeRouter> router = std::make_unique<FakeRouter>(std::make_shared<FakeCluster>());
  std::map<std::uint64_t, End> ends;
  std::function<void()> on_reply, on_lost;  // run at the next one, while the driver gathers what is to be written
  Mutex lock;
  Transport transport{{.routers = {router->address()}, .tls_certificate = "", .tls_key = "", .tls_ca = ""}, &lock, this};
};

TEST_CASE("what is gathered for a connection that is given up meanwhile does not leave before there is another") {
  Connected c;
  const bool gone = GENERATE(false, true);  // the router, so that there will be none
  c.on_reply = [&] {
    if (gone) c.router.reset();
    c.Send(2);
    c.transport.Reconnect(0);
  };
  c.on_lost = [&] { c.Send(3); };
  {
    MutexLock guard(c.lock);
    c.Send(1);
  }
  CHECK(c.Await(1) == Connected::End::kAnswered);
  CHECK(c.Await(2) == Connected::End::kNeverSent);
  CHECK(c.Await(3) == (gone ? Connected::End::kNeverSent : Connected::End::kAnswered));
}

}  // namespace
}  // namespace coffer::client
