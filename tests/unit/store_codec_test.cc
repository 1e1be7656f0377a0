// Keys, headers and rows as bytes: what decodes is what was encoded, and nothing else decodes.
#include <algorithm>

#include "node/byte_codec.h"
#include "node/store_format.h"
#include "test_support.h"
#include "unit/store_samples.h"

namespace coffer::node {
namespace {

// Calls `still_valid` with every one-bit change, every shorter and two longer forms of `bytes`.
template <class F>
int CountSurvivors(const std::string& bytes, F still_valid) {
  int survivors = 0;
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    survivors += still_valid(changed);
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) survivors += still_valid(bytes.substr(0, size));
  survivors += still_valid(bytes + '\0');
  survivors += still_valid(bytes + 'x');
  return survivors;
}

TEST_CASE("numbers have one encoding", "[store]") {
  Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t v = RandomNumber(random);
    const std::string bytes = ByteWriter().Varint(v).Take();
    ByteReader in(bytes);
    REQUIRE(in.Varint() == v);
    REQUIRE(in.Done());
  }
  for (const std::string& longer : {std::string("\x80\x00", 2), std::string("\xff\x80\x00", 3)}) {
    ByteReader in(longer);
    in.Varint();
    CHECK_FALSE(in.ok());
  }
  ByteReader beyond("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
  beyond.Varint();
  CHECK_FALSE(beyond.ok());
}

TEST_CASE("keys come back as they went", "[store]") {
  Random random(2);
  for (int i = 0; i < 10'000; ++i) {
    const RecordKey key = RandomKey(random);
    const std::string bytes = EncodeKey(key);
    const auto decoded = DecodeKey(bytes);
    REQUIRE(decoded);
    REQUIRE(*decoded == key);
    REQUIRE_FALSE(DecodeKey(bytes + 'x'));
    REQUIRE_FALSE(DecodeKey(bytes.substr(0, bytes.size() - 1)));
    std::string changed = bytes;
    changed[random.Below(bytes.size())] ^= static_cast<char>(1 << random.Below(8));
    if (const auto other = DecodeKey(changed)) REQUIRE(EncodeKey(*other) == changed);
  }
}

TEST_CASE("keys of kinds that do not exist, or with parts their kind does not have, are refused", "[store]") {
  const std::string good = EncodeKey(ChunkAt('a'));
  for (int kind = 0; kind < 256; ++kind) {
    std::string bytes = good;
    bytes[16] = static_cast<char>(kind);
    const bool accepted =
        kind == static_cast<int>(RecordKind::kChunk) || kind == static_cast<int>(RecordKind::kChainDelete);
    CHECK(DecodeKey(bytes).has_value() == accepted);
  }
}

TEST_CASE("stored order is zone, kind, id, newest entry first", "[store]") {
  Random random(3);
  for (int i = 0; i < 10'000; ++i) {
    RecordKey a = RandomKey(random);
    RecordKey b = random.Chance(1, 2) ? RandomKey(random) : a;
    if (a.kind == RecordKind::kEntry && b.kind == RecordKind::kEntry) b.position = RandomNumber(random);
    const auto rank = [](const RecordKey& k) { return std::tuple(k.zone, k.kind, k.id, ~k.position); };
    const bool same = a == b;
    REQUIRE((EncodeKey(a) == EncodeKey(b)) == same);
    if (!same) REQUIRE((EncodeKey(a) < EncodeKey(b)) == (rank(a) < rank(b)));
  }
}

TEST_CASE("headers come back as they went, and have one encoding", "[store]") {
  Random random(4);
  for (int i = 0; i < 3'000; ++i) {
    const std::string bytes = EncodeHeader(RandomHeader(random));
    const auto decoded = DecodeHeader(bytes);
    REQUIRE(decoded);
    REQUIRE(EncodeHeader(*decoded) == bytes);
    std::string changed = bytes;
    changed[random.Below(bytes.size())] ^= static_cast<char>(1 << random.Below(8));
    // A changed header may well be another header, but never the same one twice.
    if (const auto other = DecodeHeader(changed)) REQUIRE(EncodeHeader(*other) == changed);
    REQUIRE_FALSE(DecodeHeader(bytes + 'x'));
    REQUIRE_FALSE(DecodeHeader(bytes.substr(0, bytes.size() - 1)));
  }
}

TEST_CASE("every field of a header is encoded", "[store]") {
  Random random(5);
  const RecordHeader h = RandomHeader(random);
  const auto differs = [&](auto change) {
    RecordHeader other = h;
    change(other);
    return EncodeHeader(other) != EncodeHeader(h) && SameHeader(*DecodeHeader(EncodeHeader(other)), other);
  };
  CHECK(differs([](auto& o) { o.stamp.term.value ^= 1; }));
  CHECK(differs([](auto& o) { o.stamp.boot.value ^= 1; }));
  CHECK(differs([](auto& o) { o.stamp.seq.value ^= 1; }));
  CHECK(differs([](auto& o) { o.hash.bytes[7] ^= 1; }));
  CHECK(differs([](auto& o) { o.size ^= 1; }));
  CHECK(differs([](auto& o) { o.deleted = !o.deleted; }));
  CHECK(differs([](auto& o) { o.value_gone = !o.value_gone; }));
  CHECK(differs([](auto& o) { o.deleted_by.seq.value ^= 1; }));
  CHECK(differs([](auto& o) { o.predecessor.bytes[31] ^= 1; }));
  CHECK(differs([](auto& o) { o.signature += 's'; }));
}

TEST_CASE("a record's hash sees its state and not its stamps", "[store]") {
  Random random(6);
  RecordHeader h = RandomHeader(random);
  h.signature = "signed";
  const auto same = [&](auto change) {
    RecordHeader other = h;
    change(other);
    return RecordHash(other) == RecordHash(h);
  };
  CHECK(same([](auto& o) { o.stamp.seq.value ^= 1; }));
  CHECK(same([](auto& o) { o.deleted_by.seq.value ^= 1; }));
  CHECK(same([](auto& o) { o.value_gone = !o.value_gone; }));
  CHECK_FALSE(same([](auto& o) { o.hash.bytes[0] ^= 1; }));
  CHECK_FALSE(same([](auto& o) { o.size ^= 1; }));
  CHECK_FALSE(same([](auto& o) { o.deleted = !o.deleted; }));
  CHECK_FALSE(same([](auto& o) { o.predecessor.bytes[0] ^= 1; }));
  CHECK_FALSE(same([](auto& o) { o.signature = "Signed"; }));
}

TEST_CASE("a header's row verifies as a whole and under its own key only", "[store]") {
  Random random(7);
  const RecordHeader header = RandomHeader(random);
  const std::string key = EncodeKey(ChunkAt('a'));
  const std::string row = EncodeHeaderRow(17, key, header, ValuePlace::kSeparate, "where it is");
  const auto decoded = DecodeHeaderRow(17, key, row);
  REQUIRE(decoded);
  CHECK(SameHeader(decoded->header, header));
  CHECK(decoded->place == ValuePlace::kSeparate);
  CHECK(decoded->locator == "where it is");
  CHECK(CountSurvivors(row, [&](const std::string& r) { return DecodeHeaderRow(17, key, r).has_value(); }) == 0);
  CHECK_FALSE(DecodeHeaderRow(18, key, row));
  CHECK_FALSE(DecodeHeaderRow(17, EncodeKey(ChunkAt('b')), row));
}

TEST_CASE("an inline value is bound to key and hash, and does not hide its header when it is bad", "[store]") {
  const Payload value = MakeValue("some ciphertext");
  const RecordHeader header = HeaderFor(value);
  const std::string key = EncodeKey(ChunkAt('a'));
  const std::string row = EncodeHeaderRow(17, key, header, ValuePlace::kInline, SealValue(17, key, header, *value));
  const auto opens = [&](const std::string& r) {
    const auto decoded = DecodeHeaderRow(17, key, r);
    return decoded && OpenValue(17, key, decoded->header, decoded->value);
  };
  REQUIRE(opens(row));
  CHECK(CountSurvivors(row, opens) == 0);
  std::string last = row;
  last.back() ^= 1;
  const auto decoded = DecodeHeaderRow(17, key, last);
  REQUIRE(decoded);
  CHECK(SameHeader(decoded->header, header));
}

TEST_CASE("a value under another key, partition, hash or size does not verify", "[store]") {
  const Payload value = MakeValue("some ciphertext");
  const RecordHeader header = HeaderFor(value);
  const std::string key = EncodeKey(EntryAt('c', 5));
  const std::string row = SealValue(17, key, header, *value);
  REQUIRE(OpenValue(17, key, header, row) == "some ciphertext");
  CHECK(CountSurvivors(row, [&](const std::string& r) { return OpenValue(17, key, header, r).has_value(); }) == 0);
  CHECK_FALSE(OpenValue(18, key, header, row));
  CHECK_FALSE(OpenValue(17, EncodeKey(EntryAt('c', 6)), header, row));
  RecordHeader other = header;
  other.hash.bytes[0] ^= 1;
  CHECK_FALSE(OpenValue(17, key, other, row));
  other = header;
  other.size += 1;
  CHECK_FALSE(OpenValue(17, key, other, row));
  // The stamp may change (the same write ordered again), the value stays.
  other = header;
  other.stamp.seq = other.stamp.seq.Next();
  CHECK(OpenValue(17, key, other, row));
}

TEST_CASE("meta and log rows verify as a whole and under their own key only", "[store]") {
  Random random(8);
  for (int i = 0; i < 20; ++i) {
    const PartitionMeta meta = RandomMeta(random);
    const std::string row = EncodeMetaRow(9, meta);
    REQUIRE(DecodeMetaRow(9, row) == meta);
    REQUIRE_FALSE(DecodeMetaRow(10, row));
    REQUIRE(CountSurvivors(row, [&](const std::string& r) { return DecodeMetaRow(9, r).has_value(); }) == 0);
  }
  const LogRecord write = WriteAt(77, random);
  const std::string row = EncodeLogRow(9, write);
  REQUIRE(DecodeLogRow(9, Seq(77), row));
  CHECK(DecodeLogRow(9, Seq(77), row)->SerializeAsString() == write.SerializeAsString());
  CHECK_FALSE(DecodeLogRow(10, Seq(77), row));
  CHECK_FALSE(DecodeLogRow(9, Seq(78), row));
  CHECK(CountSurvivors(row, [&](const std::string& r) { return DecodeLogRow(9, Seq(77), r).has_value(); }) == 0);
}

TEST_CASE("stored keys of a partition are one range", "[store]") {
  const std::string first = StoredKey(Space::kHeader, 5, {});
  const std::string end = StoredKeysEnd(Space::kHeader, 5);
  Random random(9);
  for (int i = 0; i < 1'000; ++i) {
    const std::string key = EncodeKey(RandomKey(random));
    const auto inside = [&](const std::string& stored) { return first <= stored && stored < end; };
    REQUIRE(inside(StoredKey(Space::kHeader, 5, key)));
    REQUIRE_FALSE(inside(StoredKey(Space::kHeader, 4, key)));
    REQUIRE_FALSE(inside(StoredKey(Space::kHeader, 6, key)));
    REQUIRE_FALSE(inside(StoredKey(Space::kValue, 5, key)));
    const std::string stored = StoredKey(Space::kHeader, 5, key);
    const auto split = SplitStoredKey(Space::kHeader, stored);
    REQUIRE((split && split->partition == 5 && split->key == key));
  }
  CHECK(StoredKey(Space::kHeader, 0xffffffff, "x") < StoredKeysEnd(Space::kHeader, 0xffffffff));
}

// The bytes docs/formats.md shows. A change here is a change of format: a new version, which can still read this one.
TEST_CASE("stored bytes are those of the document", "[store]") {
  const Payload value = MakeValue("hello");
  RecordHeader header = HeaderFor(value, 300);
  header.stamp.boot = Boot(2);
  CHECK(Hex(EncodeKey(EntryAt('c', 5))) ==
        "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
        "04"
        "6363636363636363636363636363636363636363636363636363636363636363"
        "fffffffffffffffa");
  CHECK(Hex(EncodeHeader(header)) ==
        "0100"
        "0302ac02"
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        "05");
  const std::string key = EncodeKey(ChunkAt('a'));
  const std::string row = EncodeHeaderRow(17, key, header, ValuePlace::kInline, SealValue(17, key, header, *value));
  CHECK(Hex(row) ==
        "01"
        "4cdf5cd0"
        "01"
        "27"
        "01000302ac02"
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        "05"
        "01"
        "ff2d2688"
        "68656c6c6f");
  CHECK(Hex(EncodeMetaRow(17, PartitionMeta{})) ==
        "01"
        "2382d326"
        "01" +
            std::string(2 * 73, '0'));
}

}  // namespace
}  // namespace coffer::node
