// What a loss of power leaves of bytes that were written and not synced.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "cluster/random.h"

namespace coffer::sim {

// What a disk keeps whole. Whatever was not synced is there or not by sectors, in no order.
inline constexpr std::size_t kSector = 512;

// `before` was on the disk, `written` was on its way over it, from the same place on. All of it before `hole` is there, and from `hole` on
// nothing up to the end of that sector: it is torn. Each of the sectors behind reached the disk or did not, one in eight with its front
// only. What did not is as it was, and zeros where nothing was. A hole at the end: all is there.
std::string AfterPowerLoss(std::string_view before, std::string_view written, std::size_t hole, Random* random);

// A place in [from, to) of what is written, at random, whose byte differs from what was there before: with a hole there something is
// lacking. Some byte has to differ.
std::size_t HoleWithin(std::string_view before, std::string_view written, std::size_t from, std::size_t to, Random* random);

}  // namespace coffer::sim
