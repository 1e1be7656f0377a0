// Each rule of the protos about requests, with the field and the limit it names.
#include <functional>

#include "router/core/methods.h"
#include "router/core/validate.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

constexpr std::uint64_t kChunkLimit = 1000;
const std::string kId(32, 'i');

v1::PutRequest GoodPut() {
  v1::PutRequest r;
  r.set_zone("shop");
  r.set_id(kId);
  r.set_data("x");
  return r;
}
v1::AppendRequest GoodAppend() {
  v1::AppendRequest r;
  r.set_zone("shop");
  r.set_chain(kId);
  r.set_position(1);
  r.set_predecessor(kId);
  r.add_entries()->set_body("x");
  return r;
}
v1::ReadRequest GoodRead() {
  v1::ReadRequest r;
  r.set_zone("shop");
  auto* q = r.add_queries();
  q->set_chain(kId);
  q->set_first(1);
  return r;
}
v1::ApplyRequest Change(const std::function<void(v1::LayoutChange&)>& change) {
  v1::ApplyRequest r;
  change(*r.mutable_change());
  return r;
}
template <class R>
R But(R request, const std::function<void(R&)>& change) {
  change(request);
  return request;
}

struct Row {
  Request request;
  std::string field;  // empty: valid
  std::string text;   // part of the rule
};

std::vector<Row> Rows() {
  std::vector<Row> rows;
  auto good = [&](Request r) { rows.push_back({std::move(r), "", ""}); };
  auto bad = [&](Request r, std::string field, std::string text) {
    rows.push_back({std::move(r), std::move(field), std::move(text)});
  };
  good(GoodPut());
  good(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.set_data(std::string(kChunkLimit, 'x')); }));
  bad(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.set_data(std::string(kChunkLimit + 1, 'x')); }), "data",
      "1000 bytes (chunk_limit_bytes), got 1001");
  bad(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.set_id("abc"); }), "id", "must be 32 bytes, got 3");
  bad(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.set_id(std::string(33, 'x')); }), "id", "got 33");
  bad(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.clear_zone(); }), "zone", "required");
  for (const char* name : {"Shop", "-shop", "shop-", "sh op", "sh_op", "sh\xc3\xb6p"}) {
    bad(But<v1::PutRequest>(GoodPut(), [name](auto& r) { r.set_zone(name); }), "zone", "1 to 63");
  }
  bad(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.set_zone(std::string(64, 'a')); }), "zone", "1 to 63");
  good(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.set_zone(std::string(63, 'a')); }));
  good(But<v1::PutRequest>(GoodPut(), [](auto& r) { r.set_zone("0-a-9"); }));

  v1::PutManyRequest many;
  many.set_zone("shop");
  good(many);
  for (int i = 0; i < 1000; ++i) many.add_chunks()->set_id(kId);
  good(many);
  bad(But<v1::PutManyRequest>(many, [](auto& r) { r.add_chunks()->set_id(kId); }), "chunks", "at most 1000 of them, got 1001");
  good(But<v1::PutManyRequest>(many, [](auto& r) { r.mutable_chunks(7)->set_id(""); }));  // that chunk's own status says so

  v1::HasRequest has;
  has.set_zone("shop");
  for (int i = 0; i < 1000; ++i) has.add_ids(kId);
  good(has);
  bad(But<v1::HasRequest>(has, [](auto& r) { r.add_ids(kId); }), "ids", "at most 1000");
  bad(But<v1::HasRequest>(has, [](auto& r) { r.set_ids(999, "short"); }), "ids[999]", "got 5");
  v1::GetManyRequest get;
  get.set_zone("shop");
  get.add_ids("short");
  good(get);
  v1::GetRequest one;
  one.set_zone("shop");
  bad(one, "id", "got 0");
  v1::DeleteRequest remove;
  remove.set_zone("shop");
  bad(remove, "id", "got 0");

  good(GoodAppend());
  good(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { r.set_position(0), r.clear_predecessor(); }));
  bad(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { r.clear_predecessor(); }), "predecessor", "32 bytes, got 0");
  bad(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { r.set_position(0), r.set_predecessor("abc"); }), "predecessor", "got 3");
  bad(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { r.clear_entries(); }), "entries", "1 to 1000 of them, got 0");
  bad(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { for (int i = 0; i < 1000; ++i) r.add_entries(); }), "entries", "got 1001");
  good(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { r.mutable_entries(0)->set_signature(std::string(128, 's')); }));
  bad(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { r.mutable_entries(0)->set_signature(std::string(129, 's')); }),
      "entries[0].signature", "at most 128 bytes, got 129");
  bad(But<v1::AppendRequest>(GoodAppend(), [](auto& r) { r.add_entries()->set_body(std::string(1000, 'x')); }), "entries",
      "1000 bytes (chunk_limit_bytes), got 1001");

  good(GoodRead());
  bad(But<v1::ReadRequest>(GoodRead(), [](auto& r) { r.clear_queries(); }), "queries", "1 to 100 of them, got 0");
  bad(But<v1::ReadRequest>(GoodRead(), [](auto& r) { for (int i = 0; i < 100; ++i) *r.add_queries() = r.queries(0); }), "queries",
      "got 101");
  bad(But<v1::ReadRequest>(GoodRead(), [](auto& r) { r.mutable_queries(0)->clear_first(); }), "queries[0].part", "required");
  bad(But<v1::ReadRequest>(GoodRead(),
                           [](auto& r) {
                             r.mutable_queries(0)->mutable_range()->set_from(5);
                             r.mutable_queries(0)->mutable_range()->set_to(4);
                           }),
      "queries[0].range.to", "below from");
  bad(But<v1::ReadRequest>(GoodRead(), [](auto& r) { r.mutable_queries(0)->set_chain("x"); }), "queries[0].chain", "got 1");
  bad(But<v1::ReadRequest>(GoodRead(), [](auto& r) { r.set_consistency(static_cast<v1::Consistency>(9)); }), "consistency", "unknown");
  v1::WatchRequest watch;
  watch.set_zone("shop");
  bad(watch, "chain", "got 0");

  v1::ZonesCreateRequest create;
  create.set_name("Bad");
  bad(create, "name", "1 to 63");
  create.set_name("shop");
  good(create);
  create.set_id("short");
  bad(create, "id", "16 bytes");
  create.set_id(std::string(16, '\0'));
  bad(create, "id", "not all zero");
  create.set_id(std::string(16, 'x'));
  good(create);
  v1::ZonesListRequest list;
  good(list);
  list.set_page_size(1001);
  bad(list, "page_size", "at most 1000, got 1001");
  list.set_page_size(10);
  list.set_page_token(PageToken("shop"));
  good(list);
  for (const char* token : {"x", "1zz", "173686", "1", "1ffff"}) {
    list.set_page_token(token);
    bad(list, "page_token", "previous response");
  }

  good(v1::PlanRequest());
  good(Change([](auto& c) { c.set_drain("node-1"); }));
  bad(v1::ApplyRequest(), "change", "required");
  bad(Change([](auto& c) { c.set_drain(""); }), "change.drain", "name of a storage node");
  bad(Change([](auto& c) { c.set_forget(""); }), "change.forget", "required");
  bad(Change([](auto& c) { c.set_undrain(""); }), "change.undrain", "required");
  bad(Change([](auto& c) { c.mutable_reweight()->set_node("n"); }), "change.reweight.weight", "1 to 1000, got 0");
  bad(Change([](auto& c) { c.mutable_reweight()->set_node("n"), c.mutable_reweight()->set_weight(1001); }), "change.reweight.weight",
      "got 1001");
  bad(Change([](auto& c) { c.set_min_copies(3); }), "change.min_copies", "1 or 2, got 3");
  bad(Change([](auto& c) { c.set_fresh(false); }), "change.fresh", "true");
  bad(Change([](auto& c) { c.set_force(""); }), "change.force", "I am sure that");
  bad(v1::ControlResyncRequest(), "action", "required");
  v1::ControlResyncRequest pause;
  pause.set_pause(false);
  bad(pause, "action", "true");
  pause.set_limit_bytes_per_second(0);
  good(pause);
  pause.set_limit_bytes_per_second(64 << 10);
  good(pause);
  pause.set_limit_bytes_per_second((64 << 10) - 1);
  bad(pause, "limit_bytes_per_second", "0 (no limit) or at least 65536");
  good(v1::ControlCacheRequest());
  v1::ControlCacheRequest cache;
  cache.set_policy(static_cast<v1::CachePolicy>(9));
  bad(cache, "policy", "unknown");
  return rows;
}

}  // namespace

TEST_CASE("every rule about requests is checked, and says field and limit") {
  for (const Row& row : Rows()) {
    const auto violations = Validate(row.request, kChunkLimit);
    INFO(NameOf(MethodOf(row.request)) << " expects " << row.field << ": " << row.text);
    if (row.field.empty()) {
      if (!violations.empty()) INFO("got " << violations[0].field << ": " << violations[0].rule);
      CHECK(violations.empty());
      continue;
    }
    REQUIRE_FALSE(violations.empty());
    CHECK(violations[0].field == row.field);
    CHECK(violations[0].rule.find(row.text) != std::string::npos);
  }
}

TEST_CASE("a list of violations is bounded") {
  v1::HasRequest has;
  has.set_zone("shop");
  for (int i = 0; i < 1000; ++i) has.add_ids("x");
  CHECK(Validate(has, kChunkLimit).size() == kMaxViolations);
}

TEST_CASE("methods are found by name, and their requests parsed") {
  for (std::size_t i = 0; i < kMethodNames.size(); ++i) {
    REQUIRE(FindMethod(kMethodNames[i]) == std::optional(static_cast<Method>(i)));
    REQUIRE(FindMethod("/" + std::string(kMethodNames[i])) == std::optional(static_cast<Method>(i)));
    const auto parsed = ParseRequest(static_cast<Method>(i), std::string());
    REQUIRE(parsed.has_value());
    CHECK(MethodOf(*parsed) == static_cast<Method>(i));
    CHECK_FALSE(ParseRequest(static_cast<Method>(i), std::string("\x0f\xff\xff")).has_value());
  }
  CHECK_FALSE(FindMethod("coffer.v1.Chunks/Nothing").has_value());
  CHECK_FALSE(FindMethod("").has_value());
}
