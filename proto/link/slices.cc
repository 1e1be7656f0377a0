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

void SliceJoiner::Add(std::string&& part) {
  if (part.size() < kCopiedBytes) return void(flat_ += part);
  Cut();
  slices_.push_back(SliceOf(std::move(part)));
}

void SliceJoiner::Add(Payload&& part) {
  if (part->size() < kCopiedBytes) return void(flat_ += *part);
  Cut();
  slices_.push_back(SliceOf(std::move(part)));
}

grpc::ByteBuffer SliceJoiner::Take() {
  Cut();
  return grpc::ByteBuffer(slices_.data(), slices_.size());
}

void SliceJoiner::Cut() {
  if (!flat_.empty()) slices_.push_back(SliceOf(std::exchange(flat_, {})));
}

}  // namespace coffer::link
