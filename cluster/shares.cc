#include "cluster/shares.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>

namespace coffer::cluster {
namespace {

// Takers among whom `total` copies are divided by weight.
struct Pool {
  std::vector<std::size_t> takers;
  std::uint64_t total = 0;
  std::uint64_t weight = 0;
};

std::vector<std::uint64_t> DomainWeights(const Takers& takers) {
  std::vector<std::uint64_t> weights(takers.domain_count, 0);
  for (std::size_t t = 0; t < takers.size(); ++t) weights[takers.domains[t]] += takers.weights[t];
  return weights;
}

// Water-filling (the number of partitions cancels out): a domain whose share would exceed one copy of every partition
// gets exactly that, the others share the rest.
std::vector<bool> FullDomains(const Takers& takers) {
  const std::vector<std::uint64_t> weights = DomainWeights(takers);
  std::vector<bool> full(takers.domain_count, false);
  std::uint64_t copies = takers.copies();
  std::uint64_t weight = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
  for (bool changed = true; changed && copies > 0;) {
    changed = false;
    for (std::uint32_t d = 0; d < takers.domain_count && copies > 0; ++d) {
      if (full[d] || copies * weights[d] < weight) continue;
      full[d] = changed = true;
      --copies;
      weight -= weights[d];
    }
  }
  return full;
}

std::vector<Pool> PoolsOf(const Takers& takers, std::uint32_t partitions) {
  const std::vector<bool> full = FullDomains(takers);
  const auto full_count = static_cast<std::uint64_t>(std::count(full.begin(), full.end(), true));
  std::vector<Pool> pools(takers.domain_count + 1);  // one per full domain, and the last for everybody else
  pools.back().total = (takers.copies() - full_count) * partitions;
  for (std::size_t t = 0; t < takers.size(); ++t) {
    const std::uint32_t d = takers.domains[t];
    Pool& pool = full[d] ? pools[d] : pools.back();
    if (full[d]) pool.total = partitions;
    pool.takers.push_back(t);
    pool.weight += takers.weights[t];
  }
  std::erase_if(pools, [](const Pool& pool) { return pool.takers.empty(); });
  return pools;
}

// Rounds the shares of one pool.
class Rounding {
 public:
  Rounding(const Takers& takers, const Pool& pool, std::uint32_t partitions, const std::vector<std::uint32_t>& held,
           std::vector<std::uint32_t>* quotas)
      : takers_(takers),
        pool_(pool),
        partitions_(partitions),
        held_(held),
        quotas_(*quotas),
        in_domain_(takers.domain_count, 0),
        rounded_(takers.size(), false) {}

  void Apply() {
    std::uint64_t left = pool_.total;
    for (std::size_t t : pool_.takers) {
      quotas_[t] = static_cast<std::uint32_t>(pool_.total * takers_.weights[t] / pool_.weight);
      in_domain_[takers_.domains[t]] += quotas_[t];
      left -= quotas_[t];
    }
    const std::vector<std::size_t> order = WhoIsRoundedUpFirst();
    left = RoundUp(order, left, true);
    RoundUp(order, left, false);  // not needed unless rounding alone would fill a domain
  }

 private:
  std::uint64_t Remainder(std::size_t t) const { return pool_.total * takers_.weights[t] % pool_.weight; }

  std::vector<std::size_t> WhoIsRoundedUpFirst() const {
    std::vector<std::size_t> order;
    std::copy_if(pool_.takers.begin(), pool_.takers.end(), std::back_inserter(order),
                 [this](std::size_t t) { return Remainder(t) > 0; });
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      const bool a_keeps = held_[a] > quotas_[a];
      const bool b_keeps = held_[b] > quotas_[b];
      return a_keeps != b_keeps ? a_keeps : Remainder(a) > Remainder(b);
    });
    return order;
  }

  std::uint64_t RoundUp(const std::vector<std::size_t>& order, std::uint64_t left, bool respect_domains) {
    for (std::size_t t : order) {
      if (left == 0) break;
      std::uint64_t& domain = in_domain_[takers_.domains[t]];
      if (rounded_[t] || (respect_domains && domain >= partitions_)) continue;
      rounded_[t] = true;
      ++quotas_[t];
      ++domain;
      --left;
    }
    return left;
  }

  const Takers& takers_;
  const Pool& pool_;
  std::uint32_t partitions_;
  const std::vector<std::uint32_t>& held_;
  std::vector<std::uint32_t>& quotas_;
  std::vector<std::uint64_t> in_domain_;
  std::vector<bool> rounded_;
};

}  // namespace

Takers TakersOf(const std::vector<Member>& members) {
  Takers takers;
  std::map<std::string_view, std::uint32_t> named;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!members[i].TakesData()) continue;
    takers.members.push_back(static_cast<MemberIndex>(i));
    takers.weights.push_back(members[i].weight);
    const std::string& domain = members[i].failure_domain;
    const auto found = domain.empty() ? named.end() : named.find(domain);
    if (found != named.end()) {
      takers.domains.push_back(found->second);
      continue;
    }
    if (!domain.empty()) named[domain] = takers.domain_count;
    takers.domains.push_back(takers.domain_count++);
  }
  if (takers.domain_count == 1) {
    takers.domain_count = static_cast<std::uint32_t>(takers.size());
    std::iota(takers.domains.begin(), takers.domains.end(), 0u);
  }
  return takers;
}

std::vector<std::uint32_t> CopyQuotas(const Takers& takers, std::uint32_t partitions,
                                      const std::vector<std::uint32_t>& held) {
  std::vector<std::uint32_t> quotas(takers.size(), 0);
  for (const Pool& pool : PoolsOf(takers, partitions)) Rounding(takers, pool, partitions, held, &quotas).Apply();
  return quotas;
}

PrimaryBounds PrimaryShares(const Takers& takers, std::uint32_t partitions) {
  const std::uint64_t weight = std::accumulate(takers.weights.begin(), takers.weights.end(), std::uint64_t{0});
  PrimaryBounds bounds;
  for (std::uint32_t w : takers.weights) {
    const std::uint64_t share = static_cast<std::uint64_t>(partitions) * w;
    bounds.least.push_back(static_cast<std::uint32_t>(share / weight));
    bounds.most.push_back(static_cast<std::uint32_t>((share + weight - 1) / weight));
  }
  return bounds;
}

}  // namespace coffer::cluster
