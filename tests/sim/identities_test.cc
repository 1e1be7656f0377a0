// The checker of identities notices what may not be.
#include "sim/check_identities.h"

#include "tests/test_support.h"

namespace coffer::sim {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}

}  // namespace

TEST_CASE("I2: a boot counter that falls is noticed, of each id for itself") {
  IdentityChecker checker;
  CHECK_FALSE(checker.Boot(Node(1), "a", 3));
  CHECK_FALSE(checker.Boot(Node(1), "a", 3));
  CHECK_FALSE(checker.Boot(Node(1), "a", 4));
  CHECK_FALSE(checker.Boot(Node(2), "a", 1));  // the machine has a new disk
  CHECK(checker.Boot(Node(1), "a", 3));
}

TEST_CASE("I13: two processes of one id, and one whose disk was lost, are noticed") {
  IdentityChecker checker;
  CHECK_FALSE(checker.Runs(Node(1), "a"));
  CHECK_FALSE(checker.Runs(Node(1), "a"));
  CHECK(checker.Runs(Node(1), "b"));
  checker.Ends(Node(1), "a");
  CHECK_FALSE(checker.Runs(Node(1), "b"));  // its folder was moved
  checker.Ends(Node(1), "b");
  checker.Over(Node(1));
  CHECK(checker.Runs(Node(1), "b"));
  CHECK_FALSE(checker.Runs(Node(2), "b"));
}

TEST_CASE("I19: an incarnation that falls is noticed") {
  IdentityChecker checker;
  CHECK_FALSE(checker.Believes(Node(1), 1, Node(2), "b", Incarnation(7)));
  CHECK_FALSE(checker.Believes(Node(1), 1, Node(2), "b", Incarnation(8)));
  CHECK(checker.Believes(Node(1), 1, Node(2), "b", Incarnation(7)));
  CHECK_FALSE(checker.Believes(Node(1), 2, Node(2), "b", Incarnation(7)));  // a new process may have heard of the older one only
  CHECK_FALSE(checker.Believes(Node(2), 1, Node(2), "b", Incarnation(9)));
  CHECK(checker.Believes(Node(2), 2, Node(2), "b", Incarnation(8)));  // its own is another matter
}

TEST_CASE("I2, I13: a wiped disk that keeps its id is noticed at its start") {
  SimCluster cluster(1, 4);
  IdentityChecker checker;
  cluster.on_id_over = [&](const NodeId& id) { checker.Over(id); };
  const std::size_t node = cluster.AddNode();
  cluster.Start(node);
  CHECK_FALSE(checker.Look(cluster, node));
  cluster.Kill(node);
  CHECK_FALSE(checker.Look(cluster, node));
  cluster.Start(node);
  CHECK_FALSE(checker.Look(cluster, node));
  cluster.Kill(node);
  const SimFolder folder = cluster.CopyFolder(node);
  cluster.Wipe(node);
  cluster.Start(node);
  CHECK_FALSE(checker.Look(cluster, node));  // under another id
  cluster.Kill(node);
  cluster.PutFolder(node, folder);
  cluster.Start(node);
  CHECK(checker.Look(cluster, node));
}

}  // namespace coffer::sim
