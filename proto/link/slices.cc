#include "proto/link/slices.h"

#include <utility>

#include "proto/link/hand_over.h"

namespace coffer::link {
namespace {

// Whichever thread lets go of the slice last ends what it keeps.
template <class Kept>
void LetGo(void* kept) {
  TakeOver(kept);
  delete static_cast<Kept*>(kept);
}

template <class Kept>
grpc::Slice Keeping(Kept* kept, const std::string& bytes) {
  HandOver(kept);
  return grpc::Slice(const_cast<char*>(bytes.data()), bytes.size(), LetGo<Kept>, kept);  // gRPC only reads them
}

}  // namespace

grpc::Slice SliceOf(std::string bytes) {
  if (bytes.size() < kCopiedBytes) return grpc::Slice(bytes.data(), bytes.size());
  auto* kept = new std::string(std::move(bytes));
  return Keeping(kept, *kept);
}

grpc::Slice SliceOf(Payload value) {
  if (value->size() < kCopiedBytes) return grpc::Slice(value->data(), value->size());
  auto* kept = new Payload(std::move(value));
  return Keeping(kept, **kept);
}

}  // namespace coffer::link
