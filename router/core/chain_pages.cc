#include "router/core/chain_pages.h"

#include <algorithm>
#include <utility>

namespace coffer::router {

ChainPages::ChainPages(v1::ChainQuery query, bool local)
    : query_(std::move(query)), chain_(BlockId::Must(query_.chain())), local_(local) {}

void ChainPages::FillNext(internal::v1::ReadChainOp* op) const {
  op->set_chain(query_.chain());
  op->set_backwards(query_.backwards());
  if (fixed_) {
    op->mutable_range()->set_from(low_);
    op->mutable_range()->set_to(high_);
  } else if (query_.has_range()) {
    *op->mutable_range() = query_.range();
  } else if (query_.part_case() == v1::ChainQuery::kFirst) {
    op->set_first(query_.first());
  } else {
    op->set_last(query_.last());
  }
}

void ChainPages::Fix(const v1::ChainHead& head) {
  if (std::exchange(fixed_, true)) return;
  const std::uint64_t length = head.length();
  high_ = length;
  if (query_.part_case() == v1::ChainQuery::kFirst) high_ = std::min(length, query_.first());
  if (query_.part_case() == v1::ChainQuery::kLast) low_ = length - std::min(length, query_.last());
  if (query_.has_range()) {
    low_ = query_.range().from();
    if (query_.range().to() != 0) high_ = std::min(length, query_.range().to());
  }
}

bool ChainPages::Take(std::uint64_t position, std::uint64_t count) {
  if (low_ >= high_ || count > high_ - low_ || position != (query_.backwards() ? high_ - 1 : low_)) return false;
  if (query_.backwards()) {
    high_ -= count;
  } else {
    low_ += count;
  }
  return true;
}

ChainPages::Taken ChainPages::AcceptNothing(bool node_complete) {
  Complete(node_complete);
  return complete_ ? Taken::kYes : Taken::kNothing;
}

bool ChainPages::Skips(std::uint64_t position) const { return local_ && query_.backwards() && low_ < high_ && position + 1 < high_; }

ChainPages::Taken ChainPages::Accept(const google::protobuf::RepeatedPtrField<v1::Entry>& entries, const v1::ChainHead& head,
                                     bool node_complete) {
  Fix(head);
  if (entries.empty()) return AcceptNothing(node_complete);
  if (Skips(entries[0].position())) return Taken::kNothing;
  for (const v1::Entry& entry : entries) {
    if (!Take(entry.position(), 1)) return Taken::kWrong;
  }
  Complete(node_complete);
  return Taken::kYes;
}

ChainPages::Taken ChainPages::Accept(const internal::v1::PackedEntries& entries, const v1::ChainHead& head, bool node_complete) {
  Fix(head);
  if (Skips(entries.first())) return Taken::kNothing;
  if (entries.count() == 0 || !Take(entries.first(), entries.count())) return Taken::kWrong;
  Complete(node_complete);
  return Taken::kYes;
}

}  // namespace coffer::router
