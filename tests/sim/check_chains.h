// Checks that the operations on a chain are linearizable: one order of entries, in real time, without gap or fork (I6, I8, I9, R5.3).
//
// An append names the position it goes to, so its place in the order is known; what is left to check is that every answer agrees with
// one sequence of entries that only grows, and that nobody sees less than was seen before he began to ask.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace coffer::sim {

class ChainChecker {
 public:
  struct Token {
    std::string chain;
    std::uint64_t floor = 0;       // entries known to be there when the operation began
    bool deleted = false;          // its deletion was acknowledged by then
    std::uint64_t position = 0;    // of an append
    std::vector<std::string> bodies;
    std::uint64_t age = 0;
  };
  Token Begin(const std::string& chain);
  // Bodies are unique over all appends.
  Token BeginAppend(const std::string& chain, std::uint64_t position, std::vector<std::string> bodies);
  Token BeginDelete(const std::string& chain);

  using Complaint = std::optional<std::string>;
  Complaint EndAppend(const Token& token);
  // Refused because the chain had `length` entries.
  Complaint EndConflict(const Token& token, std::uint64_t length);
  // Refused whatever the chain is like: it did not happen and will not.
  Complaint EndRefused(const Token& token);
  // Refused or read as deleted or not there.
  Complaint EndGone(const Token& token, bool append);
  Complaint EndRead(const Token& token, const std::vector<std::string>& bodies);
  Complaint EndHead(const Token& token, std::uint64_t length);
  void EndDelete(const Token& token) {
    if (token.age == ages_[token.chain]) chains_[token.chain].deleted = true;
  }
  // What `layout force` lost of the chain: its entries from `length` on, or the word that it was deleted. What was said to operations
  // that began before holds no more.
  void Forgive(const std::string& chain, std::uint64_t length, bool delete_too);
  std::uint64_t LengthOf(const std::string& chain) const {
    const auto it = lengths_.find(chain);
    return it == lengths_.end() ? 0 : it->second;
  }

  struct Known {
    std::vector<std::string> entries;  // seen by somebody: there for good
    std::uint64_t changes = 0;         // how often `entries` became others
    bool delete_begun = false;
    bool deleted = false;
  };
  const std::map<std::string, Known>& Facts() const { return chains_; }

 private:
  // The chain has these entries from `position` on.
  Complaint Seen(const std::string& chain, std::uint64_t position, const std::vector<std::string>& bodies);

  std::map<std::string, Known> chains_;
  std::map<std::string, std::uint64_t> lengths_;  // at least so many, by chain; heads are seen without entries
  std::map<std::string, std::pair<std::string, std::uint64_t>> asked_;  // by body: where it was to go
  std::map<std::string, std::uint64_t> ages_;     // how often it was forgiven
  std::set<std::string> refused_;                                       // bodies of appends that definitely failed
};

}  // namespace coffer::sim
