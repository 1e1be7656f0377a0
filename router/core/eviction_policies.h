// The adapters of eviction.h and their settings; for MakePolicy, the adaptive policy's samples, and tests.
#pragma once

#include <cstdint>
#include <memory>

#include "router/core/eviction.h"
#include "router/core/frequency_sketch.h"

namespace coffer::router {

std::unique_ptr<EvictionPolicy> MakeLru();
// `small_share` of the capacity, in percent, is the queue new keys must survive.
std::unique_ptr<EvictionPolicy> MakeS3Fifo(std::uint64_t capacity, unsigned small_share);
// `window_share` of the capacity, in percent, is kept by recency alone; `known` is what is known of the keys already.
std::unique_ptr<EvictionPolicy> MakeWTinyLfu(std::uint64_t capacity, unsigned window_share, const FrequencySketch& known = {});
std::unique_ptr<EvictionPolicy> MakeAdaptive(std::uint64_t capacity);

}  // namespace coffer::router
