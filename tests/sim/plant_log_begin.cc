// Linked with a test of the node: from the start on the bug is there.
#include "cluster/planted_bug.h"

namespace coffer {
namespace {

[[maybe_unused]] const bool planted = [] {
  planted_bug = Bug::kLogBeginCounts;
  return true;
}();

}  // namespace
}  // namespace coffer
