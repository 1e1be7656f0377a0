// The public methods: their names, and their requests as one variant, so that a method without a handler does not compile.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "coffer/v1/chains.pb.h"
#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/cluster.pb.h"
#include "coffer/v1/zones.pb.h"
#include "router/core/errors.h"
#include "router/request_bytes.h"

namespace coffer::router {

// In the order of Request's alternatives and of kMethodNames.
enum class Method : std::uint8_t {
  kChunksPut,
  kChunksPutMany,
  kChunksGet,
  kChunksGetMany,
  kChunksHas,
  kChunksDelete,
  kChainsAppend,
  kChainsRead,
  kChainsHead,
  kChainsWatch,
  kChainsDelete,
  kZonesCreate,
  kZonesList,
  kZonesResolve,
  kZonesDelete,
  kClusterGetStatus,
  kClusterWatchStatus,
  kClusterWhere,
  kClusterPlan,
  kClusterApply,
  kClusterControlResync,
  kClusterControlCache,
};

inline constexpr std::array<std::string_view, 22> kMethodNames = {
    "coffer.v1.Chunks/Put",          "coffer.v1.Chunks/PutMany",      "coffer.v1.Chunks/Get",
    "coffer.v1.Chunks/GetMany",      "coffer.v1.Chunks/Has",          "coffer.v1.Chunks/Delete",
    "coffer.v1.Chains/Append",       "coffer.v1.Chains/Read",         "coffer.v1.Chains/Head",
    "coffer.v1.Chains/Watch",        "coffer.v1.Chains/Delete",       "coffer.v1.Zones/Create",
    "coffer.v1.Zones/List",          "coffer.v1.Zones/Resolve",       "coffer.v1.Zones/Delete",
    "coffer.v1.Cluster/GetStatus",   "coffer.v1.Cluster/WatchStatus", "coffer.v1.Cluster/Where",
    "coffer.v1.Cluster/Plan",        "coffer.v1.Cluster/Apply",       "coffer.v1.Cluster/ControlResync",
    "coffer.v1.Cluster/ControlCache"};

using Request =
    std::variant<v1::PutRequest, v1::PutManyRequest, v1::GetRequest, v1::GetManyRequest, v1::HasRequest,
                 v1::DeleteRequest, v1::AppendRequest, v1::ReadRequest, v1::HeadRequest, v1::WatchRequest,
                 v1::ChainsDeleteRequest, v1::ZonesCreateRequest, v1::ZonesListRequest, v1::ZonesResolveRequest,
                 v1::ZonesDeleteRequest, v1::GetStatusRequest, v1::WatchStatusRequest, v1::WhereRequest, v1::PlanRequest, v1::ApplyRequest,
                 v1::ControlResyncRequest, v1::ControlCacheRequest>;
static_assert(std::variant_size_v<Request> == kMethodNames.size());

inline std::string_view NameOf(Method method) { return kMethodNames[static_cast<std::size_t>(method)]; }
inline Method MethodOf(const Request& request) { return static_cast<Method>(request.index()); }

// By full name, with or without a leading slash.
std::optional<Method> FindMethod(std::string_view name);

// Nothing when the bytes are no such request. Thread-safe.
std::optional<Request> ParseRequest(Method method, RequestBytes bytes);

}  // namespace coffer::router
