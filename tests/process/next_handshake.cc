// The handshake of a release to come: the same, with the next number of the protocol.
#define kProtocol kProtocolOfThisRelease
#include "proto/link/handshake.h"
#undef kProtocol

namespace coffer::link {
inline constexpr std::uint32_t kProtocol = kProtocolOfThisRelease + 1;
}  // namespace coffer::link

#include "proto/link/handshake.cc"
