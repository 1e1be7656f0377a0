// Answers that carry values, taken apart by hand: whatever protobuf reads is read alike, and bytes that it refuses are refused.
#include <string>

#include "client/response_bytes.h"
#include "cluster/random.h"
#include "coffer/v1/chains.pb.h"
#include "coffer/v1/chunks.pb.h"
#include "test_support.h"

namespace coffer::client {
namespace {

std::string Noise(Random& random, std::size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random.Next());
  return out;
}

v1::ReadResponse SomePage(Random& random) {
  v1::ReadResponse page;
  page.set_index(static_cast<std::uint32_t>(random.Below(3)));
  if (random.Chance(1, 3)) page.mutable_status()->set_code(5);
  page.set_complete(random.Chance(1, 2));
  page.set_staleness_ms(random.Below(2) * random.Below(1u << 30));
  page.mutable_head()->set_length(random.Next() >> random.Below(64));
  page.mutable_head()->set_hash(Noise(random, 32));
  for (std::uint64_t i = 0, n = random.Below(6); i < n; ++i) {
    auto* entry = page.add_entries();
    entry->set_position(random.Next() >> random.Below(64));
    entry->set_body(Noise(random, random.Below(3) * random.Below(300)));
    if (random.Chance(1, 2)) entry->set_signature(Noise(random, 64));
    entry->set_predecessor(Noise(random, 32));
    entry->set_hash(Noise(random, 32));
  }
  return page;
}

void CheckAlike(const ReadPage& page, const v1::ReadResponse& expected) {
  CHECK(page.index == expected.index());
  CHECK(page.status.code() == expected.status().code());
  CHECK(page.complete == expected.complete());
  CHECK(page.part.staleness.count() == static_cast<std::int64_t>(expected.staleness_ms()));
  CHECK(page.part.head.length == expected.head().length());
  CHECK(page.part.head.hash == Digest::Must(expected.head().hash()));
  REQUIRE(page.part.entries.size() == static_cast<std::size_t>(expected.entries_size()));
  for (int i = 0; i < expected.entries_size(); ++i) {
    const Entry& entry = page.part.entries[static_cast<std::size_t>(i)];
    CHECK(entry.position == expected.entries(i).position());
    CHECK(entry.body == expected.entries(i).body());
    CHECK(entry.signature == expected.entries(i).signature());
    CHECK(entry.predecessor == Digest::Must(expected.entries(i).predecessor()));
    CHECK(entry.hash == Digest::Must(expected.entries(i).hash()));
  }
}

TEST_CASE("a page of entries is read as protobuf reads it, in one piece or as two behind each other") {
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    const std::string bytes = SomePage(random).SerializeAsString() + SomePage(random).SerializeAsString();
    v1::ReadResponse expected;
    REQUIRE(expected.ParseFromString(bytes));
    ReadPage page;
    REQUIRE(ParseReadResponse(bytes, &page));
    CheckAlike(page, expected);
  }
}

TEST_CASE("a chunk is read whatever stands before and behind it") {
  Random random(2);
  for (const std::size_t size : {0, 1, 15, 16, 1000, 70'000}) {
    CAPTURE(size);
    v1::GetResponse whole;
    whole.set_data(Noise(random, size));
    whole.set_total_size(size + 7);
    v1::GetResponse total;
    total.set_total_size(size + 7);
    v1::GetResponse data;
    data.set_data(whole.data());
    for (const std::string& bytes : {whole.SerializeAsString(), total.SerializeAsString() + data.SerializeAsString(),
                                     data.SerializeAsString() + total.SerializeAsString() + std::string("\x78\x05", 2)}) {
      GetResult result;
      REQUIRE(ParseGetResponse(bytes, &result));
      CHECK(result.data == whole.data());
      CHECK(result.total_size == size + 7);
    }
  }
}

TEST_CASE("what protobuf refuses is refused, and what it takes is taken, when bytes are missing or changed") {
  Random random(3);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = SomePage(random).SerializeAsString();
    if (bytes.empty()) continue;
    if (random.Chance(1, 2)) bytes.resize(random.Below(bytes.size()));
    if (!bytes.empty()) bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    v1::ReadResponse expected;
    const bool valid = expected.ParseFromString(bytes);
    ReadPage page;
    REQUIRE(ParseReadResponse(bytes, &page) == valid);
    refused += !valid;
    if (valid) CheckAlike(page, expected);
    v1::GetResponse get;
    GetResult result;
    const bool valid_get = get.ParseFromString(bytes);
    REQUIRE(ParseGetResponse(bytes, &result) == valid_get);
    if (valid_get) CHECK(result.data == get.data());
  }
  CHECK(refused > 500);
}

}  // namespace
}  // namespace coffer::client
