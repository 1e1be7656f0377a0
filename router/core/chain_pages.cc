#include "router/core/chain_pages.h"

#include <algorithm>
#include <utility>

namespace coffer::router {

ChainPages::ChainPages(v1::ChainQuery query) : query_(std::move(query)), chain_(BlockId::Must(query_.chain())) {}

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

bool ChainPages::Accept(const google::protobuf::RepeatedPtrField<v1::Entry>& entries, const v1::ChainHead& head,
                        bool node_complete) {
  if (!fixed_) {
    const std::uint64_t length = head.length();
    high_ = length;
    if (query_.part_case() == v1::ChainQuery::kFirst) high_ = std::min(length, query_.first());
    if (query_.part_case() == v1::ChainQuery::kLast) low_ = length - std::min(length, query_.last());
    if (query_.has_range()) {
      low_ = query_.range().from();
      if (query_.range().to() != 0) high_ = std::min(length, query_.range().to());
    }
    fixed_ = true;
  }
  for (const v1::Entry& entry : entries) {
    if (low_ >= high_) return false;
    const std::uint64_t expected = query_.backwards() ? high_ - 1 : low_;
    if (entry.position() != expected) return false;
    if (query_.backwards()) {
      --high_;
    } else {
      ++low_;
    }
  }
  complete_ = node_complete || low_ >= high_;
  return complete_ || !entries.empty();
}

}  // namespace coffer::router
