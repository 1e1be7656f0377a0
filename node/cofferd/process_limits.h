// What the process asks of the system before anything else.
#pragma once

#include <cstdint>

namespace coffer::server {

// As many descriptors as the hard limit allows: gRPC 1.51 never accepts again once they have run out. Returns what there are.
std::uint64_t RaiseDescriptorLimit();
// No core dumps, for they would hold the secret and the blocks; files we make are for our user only; a broken pipe is an
// error of the write, not a signal.
void HardenProcess();

}  // namespace coffer::server
