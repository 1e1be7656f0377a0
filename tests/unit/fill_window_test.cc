// How much a learner has under way: as much as nobody waits for.
#include <chrono>

#include "node/core/fill_window.h"
#include "test_support.h"

namespace coffer::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Fetches one after the other, each of which takes this long.
void Fetch(FillWindow& window, Instant& now, int times, Duration took) {
  for (int i = 0; i < times; ++i) {
    now += took;
    window.Took(now, took);
  }
}

TEST_CASE("with empty queues the window grows to its most") {
  FillWindow window;
  Instant now{seconds(100)};
  Fetch(window, now, 1000, milliseconds(4));
  CHECK(window.bytes() == FillWindow::kMost);
}

TEST_CASE("queues that fill up make the window small, and empty ones large again") {
  FillWindow window;
  Instant now{seconds(100)};
  Fetch(window, now, 1000, milliseconds(4));
  Fetch(window, now, 30, milliseconds(40));
  CHECK(window.bytes() == FillWindow::kLeast);
  Fetch(window, now, 1000, milliseconds(5));
  CHECK(window.bytes() == FillWindow::kMost);
}

TEST_CASE("a disk that is always slow is no queue, once its best is known") {
  FillWindow window;
  Instant now{seconds(100)};
  Fetch(window, now, 100, milliseconds(4));
  Fetch(window, now, 200, milliseconds(40));  // 8 s
  CHECK(window.bytes() == FillWindow::kLeast);
  Fetch(window, now, 1000, milliseconds(40));
  CHECK(window.bytes() == FillWindow::kMost);
}

TEST_CASE("what was under way together shrinks the window once") {
  FillWindow window;
  Instant now{seconds(100)};
  Fetch(window, now, 1000, milliseconds(4));
  now += milliseconds(40);
  for (int i = 0; i < 16; ++i) window.Took(now, milliseconds(40));
  CHECK(window.bytes() == FillWindow::kMost - FillWindow::kMost / 4);
}

}  // namespace
}  // namespace coffer::node
