// Random keys, headers, writes and values for the tests of what a node stores.
#pragma once

#include <memory>
#include <string>

#include "cluster/random.h"
#include "cluster/sha256.h"
#include "node/store.h"

namespace coffer::node {

inline std::string RandomBytes(Random& random, std::size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random.Next());
  return out;
}

template <class B>
B RandomId(Random& random) {
  return B::Must(RandomBytes(random, B::kSize));
}

// Numbers of every length: codecs have their errors at the edges.
inline std::uint64_t RandomNumber(Random& random) {
  if (random.Chance(1, 8)) return ~0ull;
  return random.Next() >> random.Below(64);
}

inline Stamp RandomStamp(Random& random) {
  return {Term(RandomNumber(random)), Boot(RandomNumber(random)), Seq(RandomNumber(random))};
}

inline RecordKey RandomKey(Random& random) {
  RecordKey key{RandomId<ZoneId>(random), static_cast<RecordKind>(1 + random.Below(5)), RandomId<BlockId>(random), 0};
  if (key.kind == RecordKind::kZoneDrop) key.id = {};
  if (key.kind == RecordKind::kZone) key.zone = {};
  if (key.kind == RecordKind::kEntry) key.position = RandomNumber(random);
  return key;
}

inline RecordHeader RandomHeader(Random& random) {
  RecordHeader header;
  header.stamp = RandomStamp(random);
  header.hash = RandomId<Digest>(random);
  header.size = RandomNumber(random);
  header.deleted = random.Chance(1, 2);
  header.value_gone = random.Chance(1, 2);
  if (random.Chance(1, 2)) header.deleted_by = RandomStamp(random);
  if (random.Chance(1, 2)) header.predecessor = RandomId<Digest>(random);
  if (random.Chance(1, 2)) header.signature = RandomBytes(random, random.Below(200));
  return header;
}

inline PartitionMeta RandomMeta(Random& random) {
  PartitionMeta meta;
  meta.last = RandomStamp(random);
  meta.last_hash = RandomId<Digest>(random);
  meta.committed = Seq(RandomNumber(random));
  meta.log_start = Seq(RandomNumber(random));
  meta.log_start_hash = RandomId<Digest>(random);
  meta.contact_term = Term(RandomNumber(random));
  meta.contact_boot = Boot(RandomNumber(random));
  meta.blocks = RandomNumber(random);
  meta.bytes = RandomNumber(random);
  if (random.Chance(1, 2)) {
    meta.lacks_after = Seq(RandomNumber(random));
    meta.lacks_to = Seq(1 + RandomNumber(random) / 2);
  }
  return meta;
}

inline LogRecord WriteAt(std::uint64_t seq, Random& random) {
  LogRecord write;
  write.mutable_stamp()->set_term(3);
  write.mutable_stamp()->set_boot(1);
  write.mutable_stamp()->set_seq(seq);
  write.set_hash(RandomBytes(random, 32));
  write.set_kind(wire::WRITE_KIND_PUT_CHUNK);
  write.set_zone(RandomBytes(random, 16));
  write.set_id(RandomBytes(random, 32));
  return write;
}

inline Payload MakeValue(std::string bytes) {
  return std::make_shared<const std::string>(std::move(bytes));
}

inline RecordHeader HeaderFor(const Payload& value, std::uint64_t seq = 1) {
  RecordHeader header;
  header.stamp = {Term(3), Boot(1), Seq(seq)};
  if (value) {
    header.hash = Sha256({*value});
    header.size = value->size();
  }
  return header;
}

inline bool SameHeader(const RecordHeader& a, const RecordHeader& b) {
  return EncodeHeader(a) == EncodeHeader(b);
}

inline ZoneId ZoneOf(char c) {
  return ZoneId::Must(std::string(16, c));
}
inline BlockId BlockOf(char c) {
  return BlockId::Must(std::string(32, c));
}
inline RecordKey ChunkAt(char id, char zone = 'z') {
  return {ZoneOf(zone), RecordKind::kChunk, BlockOf(id), 0};
}
inline RecordKey EntryAt(char chain, std::uint64_t position, char zone = 'z') {
  return {ZoneOf(zone), RecordKind::kEntry, BlockOf(chain), position};
}

}  // namespace coffer::node
