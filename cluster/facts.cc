#include "cluster/facts.h"

#include <algorithm>

namespace coffer::cluster {
namespace {

thread_local std::shared_ptr<FactsPool> of_scope;

}  // namespace

FactsPool::Scope::Scope() : outer_(std::exchange(of_scope, std::make_shared<FactsPool>())) {}
FactsPool::Scope::~Scope() { of_scope = std::move(outer_); }
std::shared_ptr<FactsPool> FactsPool::OfScope() { return of_scope; }

Facts FactsPool::Keep(const wire::MemberFacts& facts) {
  facts.SerializeToString(&bytes_);
  if (const auto it = kept_.find(bytes_); it != kept_.end()) return it->second;
  if (kept_.size() >= prune_at_) {
    std::erase_if(kept_, [](const auto& entry) { return entry.second.unshared(); });
    prune_at_ = std::max<std::size_t>(1024, 2 * kept_.size());
  }
  return kept_.emplace(bytes_, facts).first->second;
}

}  // namespace coffer::cluster
