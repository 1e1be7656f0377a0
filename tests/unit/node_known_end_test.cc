// "The last n" of a chain, asked by a router that names the end it has: a node says that it is the end still, or sends what is.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coffer/v1/chains.pb.h"
#include "node/core/read_task.h"
#include "unit/node_serving.h"

namespace coffer::node {
namespace {

class Alone : public ServesAlone {
 public:
  // Appends an entry; the head is the chain's from then on.
  void Append(const std::string& body) {
    wire::DataRequest request = Request();
    auto* op = request.mutable_append();
    op->set_chain(kChain.str());
    op->set_position(head.length());
    op->set_predecessor(head.length() == 0 ? Digest().str() : head.hash());
    op->add_signatures();
    writes.Handle(kRouter, std::move(request), {std::make_shared<const std::string>(body)});
    SyncAll();
    const wire::DataResponse answer = Answer();
    REQUIRE(answer.status().code() == 0);
    head = answer.head().head();
  }

  // The last entries, told that the router has the end as of a head.
  wire::DataResponse Last(std::uint64_t last, const std::optional<coffer::v1::ChainHead>& known) {
    wire::DataRequest request = Request();
    auto* op = request.mutable_read_chain();
    op->set_chain(kChain.str());
    op->set_last(last);
    op->set_packed(true);
    if (known) {
      op->mutable_known()->set_length(known->length());
      op->mutable_known()->set_hash(known->hash());
    }
    reads.Handle(kRouter, std::move(request));
    reads.Flush();
    for (ReadTask& task : std::exchange(ctx.out.reads, {})) reads.OnReadDone(RunRead(store, std::move(task)));
    return Answer();
  }

  coffer::v1::ChainHead head;

 private:
  wire::DataResponse Answer() {
    const auto said = Said();
    REQUIRE(said.size() == 1);
    REQUIRE(said[0].has_data_response());
    return said[0].data_response();
  }
};

void CheckSent(const wire::DataResponse& answer, const coffer::v1::ChainHead& head, std::uint64_t count) {
  REQUIRE(answer.has_chain());
  CHECK_FALSE(answer.chain().unchanged());
  CHECK(answer.chain().head().hash() == head.hash());
  CHECK(answer.chain().packed().first() == head.length() - count);
  CHECK(answer.chain().packed().count() == count);
}

}  // namespace

TEST_CASE("an end that a router has already is not sent again, and what comes behind it is") {
  Alone node;
  for (const char* body : {"a", "b", "c"}) node.Append(body);
  CheckSent(node.Last(2, std::nullopt), node.head, 2);  // the node keeps it now
  CheckSent(node.Last(2, std::nullopt), node.head, 2);
  const coffer::v1::ChainHead known = node.head;
  const auto again = node.Last(2, known);
  CHECK(again.chain().unchanged());
  CHECK(again.chain().complete());
  CHECK(again.chain().head().length() == 3);
  CHECK(again.chain().head().hash() == node.head.hash());
  CHECK_FALSE(again.chain().has_packed());
  node.Append("d");
  CheckSent(node.Last(2, known), node.head, 2);
  CHECK(node.Last(2, node.head).chain().unchanged());
}

TEST_CASE("an end is the same only if its length and its hash are") {
  Alone node;
  for (const char* body : {"a", "b", "c"}) node.Append(body);
  node.Last(2, std::nullopt);
  coffer::v1::ChainHead known = node.head;
  known.set_length(2);
  CheckSent(node.Last(2, known), node.head, 2);
  known = node.head;
  known.mutable_hash()->back() ^= 1;
  CheckSent(node.Last(2, known), node.head, 2);
}

}  // namespace coffer::node
