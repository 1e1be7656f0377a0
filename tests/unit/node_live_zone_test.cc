// Reads of a zone that is known not to be dropped spare the look for its drop; one that was dropped before, while and after they are carried
// out is never taken for live.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/core/read_task.h"
#include "unit/node_serving.h"

namespace coffer::node {
namespace {

const BlockId kChunk = BlockId::Must("a chunk's id, which has 32 bytes");

// There is a chunk in its partition. What it writes after that goes to the disk when the test says so.
class Alone : public ServesAlone {
 public:
  Alone() {
    wire::DataRequest request = Request();
    request.mutable_put_chunk()->set_id(kChunk.str());
    writes.Handle(kRouter, std::move(request), {std::make_shared<const std::string>("bytes")});
    SyncAll();
    REQUIRE(Code() == 0);
  }

  // All that is remembered of the partition beside the store goes.
  void Restart() {
    const PartitionMeta meta = replica().meta();
    ctx.replicas[0] = std::make_unique<PartitionReplica>(0, store, meta, 64, ++ctx.replicas_made);
    REQUIRE_FALSE(KnownLive());
  }
  void DropZone() {
    wire::DataRequest request = Request();
    request.mutable_drop_zone();
    writes.Handle(kRouter, std::move(request), {});
  }

  // A get on its way to another thread.
  ReadTask BeginGet() {
    wire::DataRequest request = Request();
    request.mutable_get_chunk()->set_id(kChunk.str());
    reads.Handle(kRouter, std::move(request));
    return TakeTask();
  }
  ReadTask TakeTask() {
    reads.Flush();
    REQUIRE(ctx.out.reads.size() == 1);
    ReadTask task = std::move(ctx.out.reads[0]);
    ctx.out.reads.clear();
    return task;
  }
  // There and back. True: the chunk was found.
  bool Get() {
    ReadResult result = RunRead(store, BeginGet());
    while (result.needs_confirmation) {
      reads.OnReadDone(std::move(result));
      result = RunRead(store, TakeTask());
    }
    reads.OnReadDone(std::move(result));
    return Code() == 0;
  }
  // Of the one answer.
  int Code() {
    const auto said = Said();
    REQUIRE(said.size() == 1);
    return said[0].data_response().status().code();
  }

  PartitionReplica& replica() { return ctx.Replica(0); }
  bool KnownLive() { return replica().KnownLive(kZone); }
};

}  // namespace

TEST_CASE("a node that only reads learns that a zone is not dropped, and does not look again") {
  Alone node;
  node.Restart();
  const ReadTask first = node.BeginGet();
  CHECK_FALSE(first.zone_live);
  node.reads.OnReadDone(RunRead(node.store, first));
  CHECK(node.Code() == 0);
  CHECK(node.KnownLive());
  CHECK(node.BeginGet().zone_live);
}

TEST_CASE("R13: a zone that is dropped before a get is not found, on the disk or not") {
  Alone node;
  const bool restarted = GENERATE(true, false);
  const bool on_disk = GENERATE(true, false);
  if (restarted) node.Restart();
  node.DropZone();
  CHECK_FALSE(node.KnownLive());
  if (on_disk) {
    node.SyncAll();
    CHECK(node.Code() == 0);
    CHECK_FALSE(node.Get());
  }
  CHECK_FALSE(node.BeginGet().zone_live);
}

TEST_CASE("a read that came before a drop does not tell that the zone is live") {
  Alone node;
  node.Restart();
  const bool on_disk = GENERATE(true, false);
  ReadResult looked = RunRead(node.store, node.BeginGet());
  REQUIRE(looked.no_drop);
  node.DropZone();
  if (on_disk) node.SyncAll();
  node.Said();
  node.reads.OnReadDone(std::move(looked));
  CHECK_FALSE(node.KnownLive());
  node.SyncAll();
  node.Said();
  CHECK_FALSE(node.Get());
}

TEST_CASE("a read that was handed out while a drop was on its way to the disk does not tell that the zone is live") {
  Alone node;
  node.DropZone();
  ReadResult looked = RunRead(node.store, node.BeginGet());
  REQUIRE(looked.no_drop);
  node.SyncAll();
  node.Said();
  node.reads.OnReadDone(std::move(looked));
  node.Said();
  CHECK_FALSE(node.KnownLive());
  CHECK_FALSE(node.Get());
}

TEST_CASE("what a read saw of a partition that was discarded meanwhile tells nothing of the one made after it") {
  Alone node;
  node.Restart();
  ReadResult looked = RunRead(node.store, node.BeginGet());
  node.Restart();
  node.reads.OnReadDone(std::move(looked));
  CHECK_FALSE(node.KnownLive());
}

TEST_CASE("R13.1: a get that began before a drop may miss it, and says nothing is missing only when it has seen it") {
  Alone node;
  REQUIRE(node.KnownLive());
  const ReadTask early = node.BeginGet();
  REQUIRE(early.zone_live);
  const ReadTask late = node.BeginGet();
  node.DropZone();
  CHECK_FALSE(RunRead(node.store, early).needs_confirmation);
  node.SyncAll();  // the drop is committed, and has erased the chunk
  node.Said();
  ReadResult missed = RunRead(node.store, late);
  REQUIRE(missed.needs_confirmation);
  node.reads.OnReadDone(std::move(missed));
  const ReadTask confirmed = node.TakeTask();
  CHECK_FALSE(confirmed.zone_live);
  CHECK(RunRead(node.store, confirmed).answer.header.data_response().status().message() == "the zone was deleted");
}

TEST_CASE("a read that is handed out again looks for a drop itself") {
  Alone node;
  ReadTask task = node.BeginGet();
  REQUIRE(task.zone_live);
  node.reads.Emit(std::move(task));
  CHECK_FALSE(node.TakeTask().zone_live);
}

}  // namespace coffer::node
