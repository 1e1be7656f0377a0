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

bool ChainPages::MayEnd(bool node_complete) {
  const bool all = low_ >= high_;
  complete_ = all || node_complete;
  return all || !node_complete || local_;
}

bool ChainPages::Accept(const google::protobuf::RepeatedPtrField<v1::Entry>& entries, const v1::ChainHead& head,
                        bool node_complete) {
  Fix(head);
  for (const v1::Entry& entry : entries) {
    if (!Take(entry.position(), 1)) return false;
  }
  return MayEnd(node_complete) && (complete_ || !entries.empty());
}

bool ChainPages::Accept(const internal::v1::PackedEntries& entries, const v1::ChainHead& head, bool node_complete) {
  Fix(head);
  if (entries.count() == 0 || !Take(entries.first(), entries.count())) return false;
  return MayEnd(node_complete);
}

}  // namespace coffer::router
