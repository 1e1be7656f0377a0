// Reading one range of a chain page by page: what to ask next, and whether an answer continues the one before.
#pragma once

#include <cstdint>

#include "cluster/ids.h"
#include "coffer/internal/v1/data.pb.h"
#include "coffer/v1/chains.pb.h"

namespace coffer::router {

// The first answer fixes the range (the head as it was then), so that entries appended while pages are read are neither
// half seen nor followed for ever.
class ChainPages {
 public:
  // `local`: each page may come from another copy, and one that is behind ends before the first answer's head.
  ChainPages(v1::ChainQuery query, bool local);

  // The part and direction of the next page.
  void FillNext(internal::v1::ReadChainOp* op) const;
  enum class Taken {
    kYes,
    kNothing,  // it brings nothing although more is due: whoever answered has no more. Nothing has changed here
    kWrong,    // its entries are not the ones that come next
  };
  // Takes a page in.
  Taken Accept(const google::protobuf::RepeatedPtrField<v1::Entry>& entries, const v1::ChainHead& head, bool node_complete);
  // As above, of a packed page.
  Taken Accept(const internal::v1::PackedEntries& entries, const v1::ChainHead& head, bool node_complete);
  // Nothing more is wanted.
  void Stop() { complete_ = true; }

  bool complete() const { return complete_; }
  // Whether an answer has fixed the range.
  bool begun() const { return fixed_; }
  const BlockId& chain() const { return chain_; }

 private:
  // The head of the first answer fixes the range.
  void Fix(const v1::ChainHead& head);
  // What a page is that brings nothing.
  Taken AcceptNothing(bool node_complete);
  // Whether the page begins behind the entry that comes next: a copy that is behind has not got it.
  bool Skips(std::uint64_t position) const;
  void Complete(bool node_complete) { complete_ = low_ >= high_ || (local_ && node_complete); }
  // Whether the next `count` entries begin at this position; they are then taken as read.
  bool Take(std::uint64_t position, std::uint64_t count);

  const v1::ChainQuery query_;
  const BlockId chain_;
  const bool local_;
  bool fixed_ = false;       // low_ and high_ are known
  std::uint64_t low_ = 0;    // what is still wanted: [low_, high_)
  std::uint64_t high_ = 0;
  bool complete_ = false;
};

}  // namespace coffer::router
