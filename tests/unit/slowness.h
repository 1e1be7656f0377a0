// How much longer things take in this build than in a plain one, for bounds of time that a test checks.
#pragma once

#include <absl/base/config.h>

namespace coffer {

#if defined(ABSL_HAVE_THREAD_SANITIZER) || defined(ABSL_HAVE_ADDRESS_SANITIZER)
inline constexpr int kSlowness = 4;
#else
inline constexpr int kSlowness = 1;
#endif

}  // namespace coffer
