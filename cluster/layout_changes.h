// What a layout changed, in words for a log.
#pragma once

#include <string>

#include "cluster/layout.h"

namespace coffer::cluster {

// One line: who came, went and changed, how many copies were added and removed, how many primaries moved, which settings and
// voters are new. Every part is counted from the two layouts themselves. Members of more than a handful are counted, not named.
std::string WhatChanged(const Layout& before, const Layout& after);

}  // namespace coffer::cluster
