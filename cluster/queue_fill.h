// How full a queue or a buffer is, and how full it may become: each has a bound (I18). Told to whoever checks that.
#pragma once

#include <cstdint>
#include <functional>

namespace coffer {

struct QueueFill {
  const char* what;        // is in it, for people
  std::uint64_t size = 0;
  std::uint64_t most = 0;
};

using QueueVisitor = std::function<void(const QueueFill&)>;

}  // namespace coffer
