// The checker of primaries notices a second one.
#include "sim/check_primaries.h"

#include "tests/test_support.h"

namespace coffer::sim {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}

}  // namespace

TEST_CASE("two nodes that answer as primary of one partition in one term are noticed") {
  PrimaryChecker checker;
  CHECK_FALSE(checker.Answered(1, Term(5), Node(1)));
  CHECK_FALSE(checker.Answered(1, Term(5), Node(1)));
  CHECK_FALSE(checker.Answered(1, Term(6), Node(2)));
  CHECK_FALSE(checker.Answered(2, Term(5), Node(2)));
  CHECK(checker.Answered(1, Term(5), Node(2)));
}

}  // namespace coffer::sim
