// A learner is filled at the rate the layout allows, and not at all while resync is paused (S10).
#include <algorithm>
#include <memory>
#include <string>

#include "cluster/placement.h"
#include "cluster/sha256.h"
#include "sim/sim_cluster.h"
#include "test_support.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kChunkBytes = 4096;
constexpr std::uint64_t kChunks = 700;
constexpr std::uint64_t kLimit = 200'000;  // bytes a second

// Three nodes that hold two copies of every chunk; the last one is about to lose its disk.
class Filled {
 public:
  explicit Filled(std::uint64_t seed) : c(seed, 6) {
    asker_.bytes.fill(210);
    c.clients[asker_] = [this](const NodeId&, PeerMessage m) {
      answered_ = true;
      ok_ = m.header.data_response().status().code() == 0 && !m.header.data_response().fenced();
    };
    c.resync_delay = milliseconds(500);
    for (int i = 0; i < 3; ++i) c.AddNode();
    c.Start(0);
    c.Form(0);
    c.Start(1);
    c.Start(2);
    REQUIRE(c.RunUntil([&] { return c.Settled() && c.Newest()->settings.min_copies == 2; }, seconds(60)));
    for (std::uint64_t n = 0; n < kChunks; ++n) {
      for (int tries = 0; tries < 100 && !Put(n); ++tries) c.RunFor(milliseconds(50));
      REQUIRE(ok_);
    }
  }

  void Control(const std::function<void(v1::ControlResyncRequest*)>& set) {
    PeerMessage message;
    message.header.mutable_layout_change_request()->set_call(++calls_);
    set(message.header.mutable_layout_change_request()->mutable_resync());
    c.SendAs(asker_, 0, std::move(message));
  }
  // What node 2 was sent of this resync.
  std::uint64_t Sent() { return c.node(2).core->Report(c.now()).resync().bytes_sent(); }

  SimCluster c;

 private:
  // False: it was refused, as by a primary that is not active yet.
  bool Put(std::uint64_t n) {
    const std::string id = Sha256({"chunk", std::to_string(n)}).str();
    ZoneId zone;
    zone.bytes.fill(3);
    const auto layout = c.Newest();
    PeerMessage message;
    auto* request = message.header.mutable_data_request();
    request->set_call(++calls_);
    request->set_zone(zone.str());
    request->set_partition(cluster::PartitionOf(zone, BlockId::Must(id), c.partitions()));
    const auto& group = layout->group(request->partition());
    request->set_term(group.term.value);
    request->set_deadline_ms(5000);
    request->mutable_put_chunk()->set_id(id);
    message.bodies.push_back(std::make_shared<const std::string>(kChunkBytes, static_cast<char>('a' + n % 26)));
    answered_ = false;
    c.SendAs(asker_, *c.IndexOf(layout->members[group.primary].id), std::move(message));
    REQUIRE(c.RunUntil([&] { return answered_; }, seconds(5)));
    return ok_;
  }

  NodeId asker_;
  std::uint64_t calls_ = 0;
  bool answered_ = false;
  bool ok_ = false;
};

TEST_CASE("resync keeps to the layout's limit, and pause stops it") {
  Filled f(7);
  f.Control([](auto* resync) { resync->set_limit_bytes_per_second(kLimit); });
  REQUIRE(f.c.RunUntil([&] { return f.c.Newest()->settings.resync_limit_bytes_per_second == kLimit; }, seconds(10)));
  f.c.Kill(2);
  f.c.Wipe(2);
  f.c.Start(2);

  // From 300 kB on, when what may be spent at once is spent, for four seconds.
  REQUIRE(f.c.RunUntil([&] { return f.Sent() >= 300'000; }, seconds(60)));
  const std::uint64_t before = f.Sent();
  f.c.RunFor(seconds(4));
  const double rate = static_cast<double>(f.Sent() - before) / 4;
  CHECK(rate > 0.8 * kLimit);
  CHECK(rate < 1.2 * kLimit);

  f.Control([](auto* resync) { resync->set_pause(true); });
  REQUIRE(f.c.RunUntil([&] { return f.c.Newest()->settings.resync_paused; }, seconds(10)));
  f.c.RunFor(seconds(2));  // what was asked for by then still comes
  const std::uint64_t paused = f.Sent();
  f.c.RunFor(seconds(5));
  CHECK(f.Sent() == paused);

  f.Control([](auto* resync) { resync->set_resume(true); });
  REQUIRE(f.c.RunUntil([&] { return f.Sent() > paused + kLimit; }, seconds(30)));
  CHECK(f.c.RunUntil([&] { return f.c.Settled(); }, seconds(60)));
}

}  // namespace
}  // namespace coffer::sim
