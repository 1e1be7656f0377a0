// Entries of a chain as the bytes of a coffer.v1.ReadResponse that holds nothing else: written once, where they are read, and
// handed on by everyone else as they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/store.h"

namespace coffer::node {

// Chains of larger entries travel as bodies of their own: copying them costs more than what packing saves.
inline constexpr std::uint64_t kPackedEntry = 16 << 10;

// Of one packed entry.
struct EntryMark {
  std::uint64_t end = 0;  // where its bytes end among all
  Seq seq;                // the write that made it
  Digest hash;
};

class EntryPack {
 public:
  // About how many will be added, so that the bytes need not move as they grow.
  void Expect(std::uint64_t entries) { expected_ = entries; }
  // From now on a mark is kept of each.
  void KeepMarks() { keep_marks_ = true; }
  // `body` is copied.
  void Add(std::uint64_t position, const RecordHeader& header, std::string_view body);
  // How many were added.
  std::uint64_t count() const { return count_; }
  // The bytes of all of them; what is packed is empty afterwards, the count stays.
  std::string Take() { return std::move(bytes_); }
  std::vector<EntryMark> TakeMarks() { return std::move(marks_); }

 private:
  std::string bytes_;
  std::uint64_t count_ = 0;
  std::uint64_t expected_ = 1;
  bool keep_marks_ = false;
  std::vector<EntryMark> marks_;
};

}  // namespace coffer::node
