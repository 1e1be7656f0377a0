// Entries of a chain as the bytes of a coffer.v1.ReadResponse that holds nothing else: written once, where they are read, and
// handed on by everyone else as they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "node/store.h"

namespace coffer::node {

class EntryPack {
 public:
  // About how many will be added, so that the bytes need not move as they grow.
  void Expect(std::uint64_t entries) { expected_ = entries; }
  // `body` is copied.
  void Add(std::uint64_t position, const RecordHeader& header, std::string_view body);
  // How many were added.
  std::uint64_t count() const { return count_; }
  // The bytes of all of them; what is packed is empty afterwards, the count stays.
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
  std::uint64_t count_ = 0;
  std::uint64_t expected_ = 1;
};

}  // namespace coffer::node
