// Checks what is told about zones that are made and deleted under load: what was acknowledged in a zone is found in it and in no
// other, and of a zone that was deleted nothing is ever found again, not even in a later one of the same name (I10).
//
// A name has one life after the other; whoever owns it begins the next only when the end of the last was acknowledged. An operation
// goes by the name, so it may meet any life that there was while it ran. A block has at most one value in a life; every value is
// written once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "sim/check_chunks.h"

namespace coffer::sim {

class ZoneChecker {
 public:
  using Complaint = std::optional<std::string>;

  // --- Lives, told by the owner of the name

  void BeginCreate(const std::string& name, const ZoneId& id);
  void EndCreate(const std::string& name) { lives_[name].back().there = true; }
  void BeginDelete(const std::string& name) { lives_[name].back().delete_begun = true; }
  void EndDelete(const std::string& name) { lives_[name].back().gone = true; }
  // The owner was told that the zone, whose create was acknowledged, is not there to be deleted.
  Complaint DeleteFoundNothing(const std::string& name) const;

  // --- Operations on a block; its key tells chunks and chains apart

  struct Token {
    std::string name;
    std::string block;
    std::string value;           // of a put
    std::size_t first = 0;       // the first life it may meet
    bool there = false;          // that life was there for certain when it began
    std::string expected;        // the value that was known to be there, empty: none
  };
  Token Begin(const std::string& name, const std::string& block) const;
  Token BeginPut(const std::string& name, const std::string& block, const std::string& value);
  Complaint EndPut(const Token& token, Outcome outcome);
  // A confirmed read that found something: its value, or only that something is there.
  Complaint EndFound(const Token& token, const std::optional<std::string>& value) const;
  // Found by anyone (R13): it may be old, but it is of this zone.
  Complaint EndFoundAnywhere(const Token& token, const std::string& value) const;
  // A confirmed answer that the block is not there; `zone`: that there is no such zone.
  Complaint EndAbsent(const Token& token, bool zone) const;

  // Everything that was ever written to, as (name, block).
  std::vector<std::pair<std::string, std::string>> Blocks() const;
  // Ids of all lives that ended for certain.
  std::set<ZoneId> Gone() const;
  std::uint64_t lives() const;

 private:
  struct Life {
    ZoneId id;
    bool there = false;         // its create was acknowledged
    bool delete_begun = false;
    bool gone = false;          // its delete was acknowledged
  };
  static constexpr std::size_t kOpen = static_cast<std::size_t>(-1);
  struct Value {
    std::size_t first = 0, last = kOpen;  // the lives it may have been put into
    bool possible = true;
    bool acknowledged = false;
    bool Certain() const { return acknowledged && first == last; }
  };
  const std::vector<Life>& LivesOf(const std::string& name) const;
  // Whether this life, which was there when an operation began, was there until now.
  bool StillThere(const Token& token) const;
  Complaint Say(const Token& token, const std::string& what) const;

  std::map<std::string, std::vector<Life>> lives_;
  std::map<std::pair<std::string, std::string>, std::map<std::string, Value>> values_;
};

}  // namespace coffer::sim
