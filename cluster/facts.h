// What a member says of itself, kept once however many tables and pieces of news hold it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "cluster/message.h"

namespace coffer::cluster {

// A value like wire::MemberFacts whose copies share one immutable object; empty facts by default.
class Facts {
 public:
  Facts() = default;
  Facts(wire::MemberFacts facts) : held_(std::make_shared<wire::MemberFacts>(std::move(facts))) {}  // NOLINT: as the value it is

  const wire::MemberFacts& operator*() const { return held_ ? *held_ : wire::MemberFacts::default_instance(); }
  const wire::MemberFacts* operator->() const { return &**this; }

  // To change this one; those that were copied from it, or it from them, stay as they are. Valid until the next copy.
  wire::MemberFacts& Edit() {
    held_ = std::make_shared<wire::MemberFacts>(**this);
    return *held_;
  }
  // Both are the same object, hence equal; equal ones need not be.
  bool SharedWith(const Facts& other) const { return held_ == other.held_; }
  bool unshared() const { return held_.use_count() == 1; }

 private:
  std::shared_ptr<wire::MemberFacts> held_;  // never changed once it was copied
};

// Equal facts, one object: for a thread that runs thousands of machines, each of which would keep its own. Single-threaded, as
// they are.
class FactsPool {
 public:
  // Every Membership that is made on this thread while it lives, and none beside, takes its facts from a pool of their own.
  class Scope {
   public:
    Scope();
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::shared_ptr<FactsPool> outer_;
  };
  // That of the scope; null outside of any, as in every program that runs one machine.
  static std::shared_ptr<FactsPool> OfScope();

  Facts Keep(const wire::MemberFacts& facts);
  std::size_t size() const { return kept_.size(); }

 private:
  std::unordered_map<std::string, Facts> kept_;  // by their bytes
  std::size_t prune_at_ = 1024;                  // then those that nobody else holds go
  std::string bytes_;                            // scratch
};

}  // namespace coffer::cluster
