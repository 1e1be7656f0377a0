#include "sim/check_chunks.h"

#include <algorithm>

#include "cluster/ids.h"
#include "cluster/sha256.h"

namespace coffer::sim {
namespace {

std::string Name(const std::string& id) { return "chunk " + Hex(id).substr(0, 8); }

}  // namespace

ChunkChecker::Token ChunkChecker::Begin(const std::string& id) {
  const Known& known = chunks_[id].known;
  return {id, "", known.acknowledged.has_value(), known.deleted, chunks_[id].age};
}

ChunkChecker::Token ChunkChecker::BeginPut(const std::string& id, const std::string& value) {
  ++chunks_[id].possible[value];
  Token token = Begin(id);
  token.value = value;
  return token;
}

ChunkChecker::Token ChunkChecker::BeginDelete(const std::string& id) {
  chunks_[id].known.delete_begun = true;
  return Begin(id);
}

void ChunkChecker::Forgive(const std::string& id) {
  Chunk& chunk = chunks_[id];
  ++chunk.age;
  chunk.known.acknowledged.reset();
  chunk.known.deleted = false;
  for (auto& [value, count] : chunk.possible) count = std::max(count, 1);
}

ChunkChecker::Complaint ChunkChecker::EndPut(const Token& token, Outcome outcome) {
  Chunk& chunk = chunks_[token.id];
  if (token.age != chunk.age) return std::nullopt;
  if (outcome == Outcome::kUnknown) return std::nullopt;
  if (outcome == Outcome::kOk) {
    if (token.deleted) return Name(token.id) + " was put again after its delete was acknowledged (I10)";
    if (chunk.known.acknowledged && *chunk.known.acknowledged != token.value) {
      return Name(token.id) + " has two acknowledged values (I7)";
    }
    chunk.known.acknowledged = token.value;
    chunk.known.hash = Sha256({token.value});
    return std::nullopt;
  }
  --chunk.possible[token.value];
  if (chunk.known.acknowledged == token.value && chunk.possible[token.value] <= 0) {
    return Name(token.id) + ": a put was refused for good, yet its value is there";
  }
  if (outcome == Outcome::kDeleted && !chunk.known.delete_begun) return Name(token.id) + " is said to be deleted; nobody deleted it";
  if (outcome == Outcome::kOtherValue) {
    bool other = false;
    for (const auto& [value, count] : chunk.possible) other = other || (value != token.value && count > 0);
    if (!other) return Name(token.id) + " is said to exist with other bytes; nobody put any";
    if (chunk.known.acknowledged == token.value) return Name(token.id) + " exists with other bytes than those acknowledged (I7)";
  }
  return std::nullopt;
}

ChunkChecker::Complaint ChunkChecker::EndDelete(const Token& token, Outcome outcome) {
  Chunk& chunk = chunks_[token.id];
  if (token.age != chunk.age) return std::nullopt;
  if (outcome == Outcome::kOk) chunk.known.deleted = true;
  // The mark of a delete stays: absent can only be what was never put.
  if (outcome == Outcome::kNotFound && token.acknowledged) return Name(token.id) + " was acknowledged; its delete found nothing";
  return std::nullopt;
}

ChunkChecker::Complaint ChunkChecker::EndGet(const Token& token, Outcome outcome, const std::string& value, bool by_primary) {
  Chunk& chunk = chunks_[token.id];
  if (token.age != chunk.age) return std::nullopt;
  if (outcome == Outcome::kNotFound) {
    if (token.acknowledged && !chunk.known.delete_begun) return Name(token.id) + " was acknowledged and is NOT_FOUND";
    return std::nullopt;
  }
  if (outcome != Outcome::kOk) return std::nullopt;
  const auto possible = chunk.possible.find(value);
  // Of two values put under one id a holder that is not the primary may show the one that lost (R13.1).
  if (!by_primary && possible != chunk.possible.end()) return std::nullopt;
  if (possible == chunk.possible.end() || possible->second <= 0) return Name(token.id) + " was read with bytes that nobody put";
  if (token.acknowledged && *chunk.known.acknowledged != value) return Name(token.id) + " was read with other bytes than those acknowledged";
  if (token.deleted && by_primary) return Name(token.id) + " was read after its delete was acknowledged (I10)";
  return std::nullopt;
}

ChunkChecker::Complaint ChunkChecker::EndHas(const Token& token, bool present) {
  const Chunk& chunk = chunks_[token.id];
  if (token.age != chunk.age) return std::nullopt;
  if (!present) {
    if (token.acknowledged && !chunk.known.delete_begun) return Name(token.id) + " was acknowledged and is said not to be there";
    return std::nullopt;
  }
  if (token.deleted) return Name(token.id) + " is said to be there after its delete was acknowledged (I10)";
  const bool possible = std::any_of(chunk.possible.begin(), chunk.possible.end(), [](const auto& value) { return value.second > 0; });
  if (!possible) return Name(token.id) + " is said to be there; nobody put it";
  return std::nullopt;
}

}  // namespace coffer::sim
