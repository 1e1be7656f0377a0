// When a process gives its free memory back: once, when it has become quiet.
#include "node/cofferd/quiet_watch.h"
#include "test_support.h"

namespace coffer::server {
namespace {

using std::chrono::milliseconds;

TEST_CASE("quiet watch: a process that started, or was busy, has become quiet once") {
  QuietWatch watch;
  QuietWatch::Instant now{std::chrono::hours(1)};
  QuietWatch::Duration used{};
  const auto after = [&](milliseconds wall, milliseconds processor) {
    now += wall;
    used += processor;
    return watch.BecameQuiet(now, used);
  };
  CHECK_FALSE(after(milliseconds(2000), milliseconds(900)));  // what came before the first call is not known
  CHECK(after(milliseconds(2000), milliseconds(99)));         // started, and quiet now
  CHECK_FALSE(after(milliseconds(2000), milliseconds(99)));   // quiet still
  CHECK_FALSE(after(milliseconds(2000), milliseconds(101)));  // busy
  CHECK_FALSE(after(milliseconds(2000), milliseconds(4000)));
  CHECK(after(milliseconds(2000), milliseconds(0)));
  CHECK_FALSE(after(milliseconds(2000), milliseconds(0)));
}

TEST_CASE("quiet watch: calls that come too soon are not counted") {
  QuietWatch watch;
  QuietWatch::Instant now{std::chrono::hours(1)};
  CHECK_FALSE(watch.BecameQuiet(now, milliseconds(0)));
  CHECK_FALSE(watch.BecameQuiet(now + milliseconds(999), milliseconds(0)));
  CHECK_FALSE(watch.BecameQuiet(now + milliseconds(1500), milliseconds(80)));  // 80 of 1500, not of 501: busy
  CHECK(watch.BecameQuiet(now + milliseconds(2500), milliseconds(80)));
}

TEST_CASE("quiet watch: the processor's time of a process grows with its work") {
  const auto before = ProcessorTime();
  volatile std::uint64_t sum = 0;
  while (ProcessorTime() - before < milliseconds(5)) sum = sum + 1;
  CHECK(ProcessorTime() > before);
}

}  // namespace
}  // namespace coffer::server
