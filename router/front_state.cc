#include "router/front_state.h"

#include <arpa/inet.h>
#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "proto/link/slices.h"

namespace coffer::router {
namespace {

using std::chrono::steady_clock;

// Clients take 8 KiB of metadata by default, and the details travel in base64.
constexpr std::size_t kMaxMessage = 1024;
constexpr std::size_t kMaxDetails = 4096;
// Longer than any process lives, and far from the end of the clock's range.
constexpr auto kLasting = std::chrono::hours(24 * 365);

std::string FirstHalf(const std::string& host) {
  in6_addr address;
  if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return host;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return host.substr(host.rfind(':') + 1);
  std::memset(address.s6_addr + 8, 0, 8);
  char text[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, &address, text, sizeof text);
  return std::string(text) + "/64";
}

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

}  // namespace

void DrainList::Add(const std::shared_ptr<Drainable>& one) {
  MutexLock lock(mutex_);
  all_[one.get()] = one;
}

void DrainList::Remove(const Drainable* one) {
  MutexLock lock(mutex_);
  all_.erase(one);
}

void DrainList::DrainAll() {
  std::vector<std::shared_ptr<Drainable>> alive;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, one] : all_) {
      if (auto still = one.lock()) alive.push_back(std::move(still));
    }
  }
  for (const auto& one : alive) one->Drain();
}

bool IsStreaming(Method method) {
  return method == Method::kChunksGetMany || method == Method::kChainsRead || method == Method::kChainsWatch ||
         method == Method::kClusterWatchStatus;
}

bool MayLast(Method method) { return method == Method::kChainsWatch || method == Method::kClusterWatchStatus; }

bool IsReading(Method method) {
  switch (method) {
    case Method::kChunksPut:
    case Method::kChunksPutMany:
    case Method::kChunksDelete:
    case Method::kChainsAppend:
    case Method::kChainsDelete:
    case Method::kZonesCreate:
    case Method::kZonesDelete:
    case Method::kClusterApply:
    case Method::kClusterControlResync:
    case Method::kClusterControlCache:
      return false;
    case Method::kChunksGet:
    case Method::kChunksGetMany:
    case Method::kChunksHas:
    case Method::kChainsRead:
    case Method::kChainsHead:
    case Method::kChainsWatch:
    case Method::kZonesList:
    case Method::kZonesResolve:
    case Method::kClusterGetStatus:
    case Method::kClusterWatchStatus:
    case Method::kClusterWhere:
    case Method::kClusterPlan:
      return true;
  }
  return false;
}

steady_clock::time_point LessMargin(steady_clock::duration left) {
  using std::chrono::milliseconds;
  left = std::min<steady_clock::duration>(left, kLasting);
  const auto margin = std::clamp<steady_clock::duration>(left / 20, milliseconds(1), milliseconds(100));
  return steady_clock::now() + std::max(left - margin, steady_clock::duration::zero());
}

Status DeadlineOf(const grpc::ServerContextBase& context, Method method,
                  steady_clock::time_point* deadline) {
  const auto given = context.deadline();
  if (given == std::chrono::system_clock::time_point::max()) {
    if (!MayLast(method)) return DeadlineRequired();
    *deadline = steady_clock::now() + kLasting;
    return Ok();
  }
  const auto left = given - std::chrono::system_clock::now();
  if (left <= left.zero()) return DeadlineRequired();
  *deadline = LessMargin(std::chrono::duration_cast<steady_clock::duration>(left));
  return Ok();
}

Caller CallerOf(const grpc::ServerContextBase& context) {
  Caller caller;
  caller.peer = HostOf(context.peer());
  const auto auth = context.auth_context();
  if (!auth || !auth->IsPeerAuthenticated()) return caller;
  for (const char* property : {GRPC_PEER_DNS_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME}) {
    const auto names = auth->FindPropertyValues(property);
    if (names.empty()) continue;
    caller.certificate_name.assign(names.front().data(), names.front().size());
    break;
  }
  return caller;
}

std::string HostOf(const std::string& grpc_peer) {
  std::string host = Replaced(Replaced(grpc_peer, "%5B", "["), "%5D", "]");
  const bool v6 = host.rfind("ipv6:", 0) == 0;
  if (!v6 && host.rfind("ipv4:", 0) != 0) return host;
  host = host.substr(5, host.rfind(':') - 5);
  if (!v6) return host;
  if (host.size() >= 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return FirstHalf(host.substr(0, host.find('%')));
}

grpc::Status ToGrpc(const Status& status) {
  if (IsOk(status)) return grpc::Status::OK;
  Status cut = status;
  if (cut.message().size() > kMaxMessage) cut.mutable_message()->resize(kMaxMessage);
  while (cut.details_size() > 0 && cut.ByteSizeLong() > kMaxDetails) cut.mutable_details()->RemoveLast();
  return grpc::Status(static_cast<grpc::StatusCode>(cut.code()), cut.message(), cut.SerializeAsString());
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  bytes.reserve(buffer.Length());
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

grpc::ByteBuffer BufferOf(Response response) {
  if (!response.value) {
    const grpc::Slice slice = link::SliceOf(std::move(response.bytes));
    return grpc::ByteBuffer(&slice, 1);
  }
  const std::array<grpc::Slice, 2> slices = {link::SliceOf(std::move(response.bytes)), link::SliceOf(std::move(response.value))};
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace coffer::router
