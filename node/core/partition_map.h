// A map from partitions to what a node keeps of each: as std::map is used, but a look-up is one step into a table, and going over
// all of them goes through memory in order. A node holds thousands of them and looks one up several times for each operation.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "cluster/ids.h"

namespace coffer::node {

// Keys are below the cluster's number of partitions: the table is as long as the highest key. References stay valid until their
// element is erased.
template <class T>
class PartitionMap {
 public:
  using value_type = std::pair<const PartitionId, T>;

 private:
  using Table = std::vector<std::unique_ptr<value_type>>;
  static constexpr std::size_t kEnd = ~std::size_t{0};

  // In the order of partitions. Stays valid while elements are added, and others erased.
  template <class Slots, class Value>
  class Cursor {
   public:
    Cursor(Slots* table, std::size_t at) : table_(table), at_(at) { SkipEmpty(); }
    Value& operator*() const { return *(*table_)[at_]; }
    Value* operator->() const { return (*table_)[at_].get(); }
    Cursor& operator++() {
      ++at_;
      SkipEmpty();
      return *this;
    }
    bool operator==(const Cursor& other) const { return at_ == other.at_; }

   private:
    friend class PartitionMap;
    void SkipEmpty() {
      while (at_ < table_->size() && !(*table_)[at_]) ++at_;
      if (at_ >= table_->size()) at_ = kEnd;
    }
    Slots* table_;
    std::size_t at_;
  };

 public:
  using iterator = Cursor<Table, value_type>;
  using const_iterator = Cursor<const Table, const value_type>;

  iterator begin() { return {&table_, 0}; }
  iterator end() { return {&table_, kEnd}; }
  const_iterator begin() const { return {&table_, 0}; }
  const_iterator end() const { return {&table_, kEnd}; }

  iterator find(PartitionId p) { return {&table_, Holds(p) ? p : kEnd}; }
  const_iterator find(PartitionId p) const { return {&table_, Holds(p) ? p : kEnd}; }
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  // Made with T() where there is none.
  T& operator[](PartitionId p) {
    if (p >= table_.size()) table_.resize(std::size_t{p} + 1);
    auto& slot = table_[p];
    if (!slot) {
      slot = std::make_unique<value_type>(p, T());
      ++size_;
    }
    return slot->second;
  }
  // Of one that is there.
  T& at(PartitionId p) { return table_.at(p)->second; }
  const T& at(PartitionId p) const { return table_.at(p)->second; }

  void erase(PartitionId p) {
    if (!Holds(p)) return;
    table_[p].reset();
    --size_;
  }
  void erase(iterator it) { erase(it->first); }

 private:
  bool Holds(PartitionId p) const { return p < table_.size() && table_[p]; }

  Table table_;
  std::size_t size_ = 0;
};

}  // namespace coffer::node
