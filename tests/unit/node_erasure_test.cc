// What a committed delete erases while it is being read, or repaired.
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/core/read_task.h"
#include "node/core/repair.h"
#include "node/core/write_keys.h"
#include "unit/node_serving.h"

namespace coffer::node {
namespace {

const ZoneId& kZone = ServingSide::kZone;
const BlockId& kChain = ServingSide::kChain;
const BlockId kOtherChain = BlockId::Must("another one's id, of 32 bytes...");

// A node that leads its one partition, in which there is a chain of three entries, and another one.
class Serving : public ServingSide {
 public:
  // The other member holds the partition, too, or nobody does.
  explicit Serving(bool alone) {
    cluster::MemberList holders = {0};
    if (!alone) holders.push_back(1);
    ctx.linked.insert(kOther);
    Adopt(1, {cluster::Group{0, holders, Term(1), holders}}, 1);
    primaries.StartTerm(0);
    Answer();
    for (const char* body : {"one", "two", "three"}) Append(kChain, body);
    Append(kOtherChain, "one");
  }

  void Append(const BlockId& chain, const std::string& body) {
    coffer::v1::ChainHead& head = heads_.try_emplace(chain).first->second;
    if (head.length() == 0) head.set_hash(Digest().str());
    wire::DataRequest request = Request();
    auto* op = request.mutable_append();
    op->set_chain(chain.str());
    op->set_position(head.length());
    op->set_predecessor(head.hash());
    op->add_signatures();
    writes.Handle(kRouter, std::move(request), {std::make_shared<const std::string>(body)});
    SyncAll();
    Answer();
    const std::uint64_t before = head.length();
    for (const wire::Peer& message : Said()) {
      if (message.has_data_response()) head = message.data_response().head().head();
    }
    REQUIRE(head.length() == before + 1);
  }
  void Delete(const BlockId& chain) {
    wire::DataRequest request = Request();
    request.mutable_delete_chain()->set_chain(chain.str());
    writes.Handle(kRouter, std::move(request), {});
    SyncAll();
  }
  void DropZone() {
    wire::DataRequest request = Request();
    request.mutable_drop_zone();
    writes.Handle(kRouter, std::move(request), {});
    SyncAll();
  }
  // The other member holds all there is.
  void Answer(bool sync = true) {
    SyncAll();
    const PartitionReplica& replica = ctx.Replica(0);
    if (primaries.Progress(0)->ackset().size() > 1) {
      wire::ContactAnswer answer;
      answer.set_term(1);
      answer.set_boot(1);
      auto* mark = answer.add_log();
      mark->set_seq(replica.last().value);
      mark->set_hash(replica.meta().last_hash.str());
      primaries.OnContactAnswer(kOther, answer);
      wire::ReplicateAck ack;
      ack.set_term(1);
      ack.set_boot(1);
      ack.mutable_durable()->set_seq(replica.last().value);
      primaries.OnAck(kOther, ack);
    }
    primaries.Tick();
    if (sync) SyncAll();
  }
  // A read of the chain on its way to another thread.
  ReadTask BeginRead(bool head) {
    wire::DataRequest request = Request();
    if (head) request.mutable_head_chain()->set_chain(kChain.str());
    else request.mutable_read_chain()->set_chain(kChain.str());
    reads.Handle(kRouter, std::move(request));
    reads.Flush();
    return TakeTask();
  }
  ReadTask TakeTask() {
    REQUIRE(ctx.out.reads.size() == 1);
    ReadTask task = std::move(ctx.out.reads[0]);
    ctx.out.reads.clear();
    return task;
  }
  bool Holds(std::uint64_t position) {
    RecordHeader header;
    Payload value;
    return store.Read(0, EntryKey(kZone, kChain, position), &header, &value) == ReadOutcome::kFound;
  }

  // What the other copy answers to the fetch that a repair has just asked for.
  wire::Fetched AnswerToRepair(const RecordKey& key, const RecordHeader& header) {
    wire::Fetched fetched;
    for (const wire::Peer& message : Said()) {
      if (message.has_fetch_request()) fetched.set_call(message.fetch_request().call());
    }
    auto* record = fetched.add_records();
    record->set_key(EncodeKey(key));
    record->set_found(true);
    record->set_header(EncodeHeader(header));
    return fetched;
  }

  int read_again = 0;
  Repairs repairs{ctx, [this](ReadTask) { ++read_again; }, [](PartitionId) {}};

 private:
  std::map<BlockId, coffer::v1::ChainHead> heads_;
};

}  // namespace

TEST_CASE("a chain that was read while a delete erased it is read anew, and is deleted then") {
  Serving node(/*alone=*/true);
  const bool head = GENERATE(true, false);
  const bool zone = GENERATE(true, false);
  ReadTask task = node.BeginRead(head);
  zone ? node.DropZone() : node.Delete(kChain);
  ReadResult late = RunRead(node.store, std::move(task));  // what it saw is neither the chain nor that it is deleted
  REQUIRE(node.reads.ReadAnew(late));
  ReadResult anew = RunRead(node.store, node.TakeTask());
  const wire::DataResponse& answer = anew.answer.header.data_response();
  const bool said = answer.status().message().find("was deleted") != std::string::npos;
  CHECK((head && !zone ? answer.head().head().length() == 0 : said));  // a chain that was deleted has an empty head
  CHECK_FALSE(node.reads.ReadAnew(anew));
}

TEST_CASE("a chain that was read while another one was deleted is answered") {
  Serving node(/*alone=*/true);
  ReadTask task = node.BeginRead(/*head=*/false);
  node.Delete(kOtherChain);
  ReadResult result = RunRead(node.store, std::move(task));
  CHECK_FALSE(node.reads.ReadAnew(result));
  CHECK(result.answer.header.data_response().chain().head().length() == 3);
}

TEST_CASE("a chain that had been deleted before it was read is not read anew because another one goes meanwhile") {
  Serving node(/*alone=*/true);
  node.Delete(kChain);
  node.Answer();
  ReadTask task = node.BeginRead(/*head=*/false);
  node.Delete(kOtherChain);
  node.Answer();
  ReadResult result = RunRead(node.store, std::move(task));
  CHECK_FALSE(node.reads.ReadAnew(result));
  CHECK(result.answer.header.data_response().status().message().find("was deleted") != std::string::npos);
}

TEST_CASE("R5: a read that a delete overtook is not read anew by whom another has succeeded") {
  Serving node(/*alone=*/true);
  ReadTask task = node.BeginRead(/*head=*/false);
  node.Delete(kChain);
  node.Answer();
  node.Adopt(2, {cluster::Group{1, {1}, Term(2), {1}}}, 1);
  node.Said();
  ReadResult late = RunRead(node.store, std::move(task));
  REQUIRE(node.reads.ReadAnew(late));
  CHECK(node.ctx.out.reads.empty());
  const auto said = node.Said();
  REQUIRE(said.size() == 1);
  CHECK(said[0].data_response().fenced());
}

TEST_CASE("S9: what a committed delete has erased is not written back by a repair that was under way") {
  Serving node(/*alone=*/false);
  const bool zone = GENERATE(true, false);
  const bool committed = GENERATE(true, false);
  const bool proven = GENERATE(true, false);
  const RecordKey key = EntryKey(kZone, kChain, 0);
  RecordHeader header;
  Payload value;
  REQUIRE(node.store.Read(0, key, &header, &value) == ReadOutcome::kFound);
  REQUIRE(node.store.DamageRecord(0, key, MemoryStore::Part::kValue));
  node.Said();
  ReadResult bad;
  *bad.task.request.mutable_data_request() = Serving::Request();
  bad.damaged.push_back({0, key});
  node.repairs.OnDamagedRead(std::move(bad));
  const wire::Fetched fetched = node.AnswerToRepair(key, header);
  REQUIRE(fetched.call() != 0);
  zone ? node.DropZone() : node.Delete(kChain);
  if (committed) node.Answer(/*sync=*/!proven);  // while the erasure is on its way to the disk the header is still there
  REQUIRE(node.Holds(1) == (!committed || proven));
  node.repairs.OnFetched(OneSide::kOther, fetched, {value});
  node.SyncAll();
  node.ctx.now += std::chrono::seconds(3);
  node.repairs.Tick();
  CHECK(node.Holds(0) == !committed);
  CHECK(node.read_again == 1);
  CHECK(node.repairs.CountLost() == 0);
}

TEST_CASE("L10.1: what a repair mends counts as on its way until the disk has it, so that a merge lists it") {
  Serving node(/*alone=*/false);
  const RecordKey key = EntryKey(kZone, kChain, 0);
  RecordHeader header;
  Payload value;
  REQUIRE(node.store.Read(0, key, &header, &value) == ReadOutcome::kFound);
  REQUIRE(node.store.DamageRecord(0, key, MemoryStore::Part::kValue));
  node.Said();
  node.repairs.Start(0, key);
  const wire::Fetched fetched = node.AnswerToRepair(key, header);
  REQUIRE(node.ctx.Replica(0).Settled());
  node.repairs.OnFetched(OneSide::kOther, fetched, {value});
  CHECK_FALSE(node.ctx.Replica(0).Settled());
  node.SyncAll();
  CHECK(node.ctx.Replica(0).Settled());
  CHECK(node.Holds(0));
}

}  // namespace coffer::node
