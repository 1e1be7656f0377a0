#include "sim/power_loss.h"

#include <algorithm>
#include <cassert>
#include <vector>

namespace coffer::sim {

std::string AfterPowerLoss(std::string_view before, std::string_view written, std::size_t hole, Random* random) {
  std::string disk(before);
  disk.resize(std::max(before.size(), written.size()), '\0');
  const auto arrives = [&](std::size_t from, std::size_t to) {
    std::copy(written.begin() + static_cast<std::ptrdiff_t>(from), written.begin() + static_cast<std::ptrdiff_t>(to),
              disk.begin() + static_cast<std::ptrdiff_t>(from));
  };
  arrives(0, std::min(hole, written.size()));
  for (std::size_t sector = (hole / kSector + 1) * kSector; sector < written.size(); sector += kSector) {
    const std::size_t end = std::min(sector + kSector, written.size());
    switch (random->Below(8)) {
      case 0: arrives(sector, sector + random->Below(end - sector)); break;
      case 1: case 2: case 3: arrives(sector, end); break;
      default: break;
    }
  }
  return disk;
}

std::size_t HoleWithin(std::string_view before, std::string_view written, std::size_t from, std::size_t to, Random* random) {
  std::vector<std::size_t> places;
  for (std::size_t i = from; i < to; ++i) {
    if (i >= before.size() ? written[i] != '\0' : written[i] != before[i]) places.push_back(i);
  }
  assert(!places.empty());
  return places[random->Below(places.size())];
}

}  // namespace coffer::sim
