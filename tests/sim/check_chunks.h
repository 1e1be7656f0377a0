// Checks a history of chunk operations: acknowledged puts survive, an id has one value, reads are never wrong, what was deleted never
// returns, NOT_FOUND is never a lie (I7, I9, I10, R6, R13). Outcomes that are unknown may count either way.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "cluster/ids.h"

namespace coffer::sim {

// kNotDone: a write did not happen and will not, whatever stood in its way.
enum class Outcome { kOk, kNotFound, kOtherValue, kDeleted, kNotDone, kUnknown };

class ChunkChecker {
 public:
  // What was known of the id when an operation began; handed back at its end.
  struct Token {
    std::string id;
    std::string value;
    bool acknowledged = false;
    bool deleted = false;
    std::uint64_t age = 0;
  };
  Token Begin(const std::string& id);
  Token BeginPut(const std::string& id, const std::string& value);
  Token BeginDelete(const std::string& id);

  // Each says what promise is broken, if one is.
  using Complaint = std::optional<std::string>;
  Complaint EndPut(const Token& token, Outcome outcome);
  Complaint EndDelete(const Token& token, Outcome outcome);
  // `by_primary`: the answer came from the primary, by a layout that was the newest when it was asked, or a later one; others may show
  // a delete late, or a value that was put under the id and lost (R13).
  Complaint EndGet(const Token& token, Outcome outcome, const std::string& value, bool by_primary);
  // A confirmed answer to "is it there?".
  Complaint EndHas(const Token& token, bool present);

  // The acknowledged value of an id that nobody began to delete.
  struct Known {
    std::optional<std::string> acknowledged;
    Digest hash;  // of it
    bool delete_begun = false;
    bool deleted = false;
  };
  struct Chunk {
    std::map<std::string, int> possible;  // values of puts that did not definitely fail
    Known known;
    std::uint64_t age = 0;  // how often it was forgiven
  };
  // The id was lost by `layout force`: what is known of it, and what was said to operations that began before, holds no more.
  void Forgive(const std::string& id);
  const std::map<std::string, Chunk>& all() const { return chunks_; }

 private:
  std::map<std::string, Chunk> chunks_;
};

}  // namespace coffer::sim
