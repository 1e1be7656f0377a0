// How much may be under way at once, in all and for one peer: the first thing every handler asks.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "proto/mutex.h"
#include "router/core/errors.h"

namespace coffer::router {

struct AdmissionLimits {
  std::uint64_t calls = 20'000;            // of all peers
  std::uint64_t bytes = 512u << 20;        // of all requests under way
  std::uint64_t peer_calls = 10'000;       // of one peer; a host's processes count together
  std::uint64_t peer_bytes = 256u << 20;
};

// Thread-safe. Must outlive its permits.
class Admission {
 public:
  explicit Admission(AdmissionLimits limits) : limits_(limits) {}

  // A place for one call; given back when destroyed.
  class Permit {
   public:
    Permit() = default;
    Permit(Permit&& other) noexcept { *this = std::move(other); }
    Permit& operator=(Permit&& other) noexcept;
    ~Permit() { Release(); }
    explicit operator bool() const { return owner_ != nullptr; }
    // More bytes for the same call; OK, or RESOURCE_EXHAUSTED. Only of a permit that was given.
    Status Add(std::uint64_t bytes);
    void Release();

   private:
    friend class Admission;
    Admission* owner_ = nullptr;
    std::string peer_;
    std::uint64_t bytes_ = 0;
  };

  // OK and a permit, or RESOURCE_EXHAUSTED that names the limit. `peer` is a host, without its port.
  Status Enter(const std::string& peer, std::uint64_t bytes, Permit* permit);

  struct Use {
    std::uint64_t calls = 0;
    std::uint64_t bytes = 0;
  };
  Use InUse() const;

 private:
  Status Grow(const std::string& peer, std::uint64_t bytes);
  void Leave(const std::string& peer, std::uint64_t bytes);

  const AdmissionLimits limits_;
  mutable Mutex mutex_;
  Use all_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, Use> peers_ ABSL_GUARDED_BY(mutex_);  // only peers with calls under way
};

}  // namespace coffer::router
