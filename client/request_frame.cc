#include "client/request_frame.h"

#include <utility>

#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/stream.pb.h"
#include "proto/link/slices.h"
#include "proto/wire_form.h"

namespace coffer::client {
namespace {

using google::protobuf::io::CodedOutputStream;
using wire_form::AppendHead;
using wire_form::kBytes;
using wire_form::kVarint;
using wire_form::Tag;

constexpr std::uint32_t kCallTag = Tag(v1::OpenRequest::kCallsFieldNumber, kBytes);
constexpr std::uint32_t kIdTag = Tag(v1::Call::kIdFieldNumber, kVarint);
constexpr std::uint32_t kInvocationTag = Tag(v1::Call::kInvocationFieldNumber, kBytes);
constexpr std::uint32_t kCancelTag = Tag(v1::Call::kCancelFieldNumber, kVarint);
constexpr std::uint32_t kMethodTag = Tag(v1::Invocation::kMethodFieldNumber, kBytes);
constexpr std::uint32_t kRequestTag = Tag(v1::Invocation::kRequestFieldNumber, kBytes);
constexpr std::uint32_t kDataTag = Tag(v1::PutRequest::kDataFieldNumber, kBytes);
constexpr std::uint32_t kDeadlineTag = Tag(v1::Invocation::kDeadlineMsFieldNumber, kVarint);
static_assert(kCallTag < 128 && kIdTag < 128 && kInvocationTag < 128 && kCancelTag < 128 && kMethodTag < 128 && kRequestTag < 128 && kDataTag < 128 &&
                  kDeadlineTag < 128,
              "each tag is one byte");

std::size_t VarintSize(std::uint64_t number) { return static_cast<std::size_t>(CodedOutputStream::VarintSize64(number)); }
// Of a field with its tag.
std::size_t NumberSize(std::uint64_t number) { return 1 + VarintSize(number); }
std::size_t BytesSize(std::size_t size) { return NumberSize(size) + size; }

void AppendBytes(std::uint32_t tag, std::string_view bytes, std::string* out) {
  AppendHead(tag, bytes.size(), out);
  out->append(bytes);
}

}  // namespace

EncodedCall EncodeInvocation(std::uint64_t id, std::string_view method, std::string_view request, Payload value, std::uint32_t deadline_ms) {
  const std::size_t apart = value ? value->size() : 0;
  const std::size_t whole = request.size() + (value ? BytesSize(apart) : 0);
  const std::size_t invocation = BytesSize(method.size()) + NumberSize(deadline_ms) + BytesSize(whole);
  const std::size_t call = NumberSize(id) + BytesSize(invocation);
  EncodedCall encoded{id, true, {}, std::move(value)};
  std::string& out = encoded.bytes;
  out.reserve(BytesSize(call) - apart);
  AppendHead(kCallTag, call, &out);
  AppendHead(kIdTag, id, &out);
  AppendHead(kInvocationTag, invocation, &out);
  AppendBytes(kMethodTag, method, &out);
  AppendHead(kDeadlineTag, deadline_ms, &out);
  AppendHead(kRequestTag, whole, &out);
  out.append(request);
  if (encoded.value) AppendHead(kDataTag, apart, &out);
  return encoded;
}

EncodedCall EncodeCancel(std::uint64_t id) {
  EncodedCall encoded{id, false, {}, nullptr};
  AppendHead(kCallTag, NumberSize(id) + NumberSize(1), &encoded.bytes);
  AppendHead(kIdTag, id, &encoded.bytes);
  AppendHead(kCancelTag, 1, &encoded.bytes);
  return encoded;
}

std::size_t CallsOfFrame(const std::deque<EncodedCall>& queue, const FrameLimits& limits) {
  std::size_t calls = 0;
  std::size_t bytes = 0;
  while (calls < queue.size() && calls < limits.calls) {
    bytes += queue[calls].size();
    if (calls > 0 && bytes > limits.bytes) break;
    ++calls;
  }
  return calls;
}

grpc::ByteBuffer TakeFrame(std::deque<EncodedCall>* queue, std::size_t calls) {
  std::size_t copied = 0;
  for (std::size_t i = 0; i < calls; ++i) {
    const EncodedCall& call = (*queue)[i];
    copied += link::SliceJoiner::CopiedOf(call.bytes.size());
    if (call.value) copied += link::SliceJoiner::CopiedOf(call.value->size());
  }
  link::SliceJoiner frame(copied);
  for (std::size_t i = 0; i < calls; ++i, queue->pop_front()) {
    frame.Add(std::move(queue->front().bytes));
    if (queue->front().value) frame.Add(std::move(queue->front().value));
  }
  return frame.Take();
}

std::string EncodeGetRequest(std::string_view zone, const BlockId& id, std::uint64_t offset, std::uint64_t length) {
  std::string out;
  out.reserve(BytesSize(zone.size()) + BytesSize(BlockId::kSize) + NumberSize(offset) + NumberSize(length));
  AppendBytes(Tag(v1::GetRequest::kZoneFieldNumber, kBytes), zone, &out);
  AppendBytes(Tag(v1::GetRequest::kIdFieldNumber, kBytes), id.view(), &out);
  if (offset != 0) AppendHead(Tag(v1::GetRequest::kOffsetFieldNumber, kVarint), offset, &out);
  if (length != 0) AppendHead(Tag(v1::GetRequest::kLengthFieldNumber, kVarint), length, &out);
  return out;
}

}  // namespace coffer::client
