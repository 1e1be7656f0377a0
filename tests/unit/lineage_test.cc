// How an old copy of a data folder is told from the folder itself. R8.
#include "cluster/lineage.h"

#include "cluster/random.h"
#include "test_support.h"

namespace coffer::cluster {
namespace {

BootNonce Fresh(Random& random) {
  BootNonce nonce;
  for (auto& byte : nonce.bytes) byte = static_cast<std::uint8_t>(random.Next());
  return nonce;
}

TEST_CASE("lineage: every later state of a folder continues every earlier one") {
  Random random(1);
  Lineage lineage;
  std::vector<FolderMark> seen;
  for (int i = 0; i < 300; ++i) {
    if (i == 0 || random.Chance(1, 3)) AddStart(&lineage, Fresh(random));
    else ++lineage.back().step;
    seen.push_back(lineage.back());
    for (const FolderMark& mark : seen) REQUIRE_FALSE(WhyNotContinued(lineage, mark));
  }
}

TEST_CASE("lineage: a copy that is started again does not continue what was seen after it was made") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    Lineage real;
    for (std::uint64_t n = random.Below(4) + 1; n > 0; --n) AddStart(&real, Fresh(random));
    real.back().step = random.Below(5);
    Lineage copy = real;
    // The real one goes on, in the same start or in later ones.
    real.back().step += random.Below(2);
    for (std::uint64_t n = random.Below(4); n > 0; --n) AddStart(&real, Fresh(random));
    if (real == copy) ++real.back().step;
    for (std::uint64_t n = random.Below(6) + 1; n > 0; --n) AddStart(&copy, Fresh(random));
    INFO("seed " << seed);
    CHECK(WhyNotContinued(copy, real.back()));
  }
}

TEST_CASE("lineage: starts before the oldest one kept count as continued, and the oldest are dropped") {  // R8.7
  Random random(2);
  Lineage lineage;
  for (std::size_t i = 0; i < kMaxLineage + 10; ++i) AddStart(&lineage, Fresh(random));
  CHECK(lineage.size() == kMaxLineage);
  CHECK(lineage.back().boot == Boot(kMaxLineage + 10));
  CHECK_FALSE(WhyNotContinued(lineage, {Boot(10), Fresh(random), 0}));
  CHECK(WhyNotContinued(lineage, {Boot(11), Fresh(random), 0}));
}

TEST_CASE("lineage: the steps of the running start may be told in any order") {
  Random random(3);
  Lineage lineage;
  AddStart(&lineage, Fresh(random));
  FolderMark later = lineage.back();
  later.step = 7;
  CHECK_FALSE(WhyNotContinued(lineage, later));
  AddStart(&lineage, Fresh(random));
  CHECK(WhyNotContinued(lineage, later));
}

}  // namespace
}  // namespace coffer::cluster
