// A map by member id as one sorted array: compact, in the order of ids, and found with few touches of memory, for ids are random.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "cluster/ids.h"

namespace coffer::cluster {

// As std::map, but that any insertion or removal invalidates references and iterators, and costs a move of what comes behind it.
// Ids that are not random (a test's) are found as well, by more steps. Single-threaded.
template <class T>
class IdMap {
 public:
  using Entry = std::pair<NodeId, T>;
  using iterator = typename std::vector<Entry>::iterator;
  using const_iterator = typename std::vector<Entry>::const_iterator;

  iterator begin() { return entries_.begin(); }
  iterator end() { return entries_.end(); }
  const_iterator begin() const { return entries_.begin(); }
  const_iterator end() const { return entries_.end(); }
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }

  iterator find(const NodeId& id) { return entries_.begin() + static_cast<std::ptrdiff_t>(Find(id)); }
  const_iterator find(const NodeId& id) const { return entries_.begin() + static_cast<std::ptrdiff_t>(Find(id)); }
  bool contains(const NodeId& id) const { return Find(id) != size(); }
  // Throws std::out_of_range if there is none.
  T& at(const NodeId& id) { return entries_.at(Find(id)).second; }
  const T& at(const NodeId& id) const { return entries_.at(Find(id)).second; }

  T& operator[](const NodeId& id) {
    const std::size_t at = LowerBound(id);
    if (at == size() || entries_[at].first != id) Insert(at, id);
    return entries_[at].second;
  }
  iterator erase(iterator it) {
    prefixes_.erase(prefixes_.begin() + (it - entries_.begin()));
    return entries_.erase(it);
  }
  std::size_t erase(const NodeId& id) {
    const auto it = find(id);
    if (it == end()) return 0;
    erase(it);
    return 1;
  }
  void clear() {
    entries_.clear();
    prefixes_.clear();
  }

 private:
  bool Less(std::size_t at, std::uint64_t prefix, const NodeId& id) const {
    return prefixes_[at] != prefix ? prefixes_[at] < prefix : entries_[at].first < id;
  }
  // The first that is not below `id`: sought from where a random one would be, in steps that double, then by halves.
  std::size_t LowerBound(const NodeId& id) const {
    const std::size_t count = size();
    if (count == 0) return 0;
    const std::uint64_t prefix = id.BigEndian(0);
    std::size_t low = static_cast<std::size_t>((static_cast<unsigned __int128>(prefix) * count) >> 64);
    std::size_t high = low;
    if (Less(low, prefix, id)) {
      for (std::size_t step = 1; high < count && Less(high, prefix, id); step *= 2) low = std::exchange(high, std::min(high + step, count));
      ++low;
    } else {
      for (std::size_t step = 1; low > 0 && !Less(low, prefix, id); step *= 2) high = std::exchange(low, low - std::min(low, step));
      if (Less(low, prefix, id)) ++low;
    }
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (Less(middle, prefix, id)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  std::size_t Find(const NodeId& id) const {
    const std::size_t at = LowerBound(id);
    return at < size() && entries_[at].first == id ? at : size();
  }
  // Room is made a quarter at a time: a process may hold many of these.
  void Insert(std::size_t at, const NodeId& id) {
    if (entries_.size() == entries_.capacity()) {
      const std::size_t room = size() + size() / 4 + 4;
      entries_.reserve(room);
      prefixes_.reserve(room);
    }
    const auto where = static_cast<std::ptrdiff_t>(at);
    entries_.emplace(entries_.begin() + where, std::piecewise_construct, std::forward_as_tuple(id), std::tuple<>());
    prefixes_.insert(prefixes_.begin() + where, id.BigEndian(0));
  }

  std::vector<Entry> entries_;            // by id
  std::vector<std::uint64_t> prefixes_;   // of their ids
};

}  // namespace coffer::cluster
