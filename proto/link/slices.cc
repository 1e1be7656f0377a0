#include "proto/link/slices.h"

#include <utility>

namespace coffer::link {

grpc::Slice SliceOf(std::string bytes) {
  if (bytes.size() < kCopiedBytes) return grpc::Slice(bytes.data(), bytes.size());
  auto* kept = new std::string(std::move(bytes));
  return grpc::Slice(kept->data(), kept->size(), [](void* s) { delete static_cast<std::string*>(s); }, kept);
}

grpc::Slice SliceOf(Payload value) {
  if (value->size() < kCopiedBytes) return grpc::Slice(value->data(), value->size());
  auto* kept = new Payload(std::move(value));
  auto* bytes = const_cast<char*>((*kept)->data());  // gRPC only reads them
  return grpc::Slice(bytes, (*kept)->size(), [](void* p) { delete static_cast<Payload*>(p); }, kept);
}

}  // namespace coffer::link
