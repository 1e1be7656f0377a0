#include "router/front_frame.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <string_view>
#include <utility>

#include "coffer/v1/chunks.pb.h"
#include "proto/link/slices.h"
#include "proto/wire_form.h"
#include "router/front_state.h"

namespace coffer::router {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using wire_form::AppendHead;
using wire_form::AppendNext;
using wire_form::kBytes;
using wire_form::kVarint;
using wire_form::Tag;

constexpr std::uint32_t kDataTag = Tag(v1::PutRequest::kDataFieldNumber, kBytes);

// The length of what comes next. There is a limit, and whoever claims more than is there up to it gets no memory for it.
bool ReadSize(CodedInputStream* in, int* size) { return in->ReadVarintSizeAsInt(size) && *size <= in->BytesUntilLimit(); }

bool ReadString(CodedInputStream* in, std::string* out) {
  int size;
  out->clear();
  return ReadSize(in, &size) && AppendNext(in, size, out);
}

// Runs `field` for every field of the message whose length comes next. `field` says whether it could read it.
template <class Field>
bool ReadNested(CodedInputStream* in, Field field) {
  int size;
  if (!ReadSize(in, &size)) return false;
  const auto limit = in->PushLimit(size);
  while (const std::uint32_t tag = in->ReadTag()) {
    if (!field(tag)) return false;
  }
  if (!in->ConsumedEntireMessage() || in->BytesUntilLimit() != 0) return false;
  in->PopLimit(limit);
  return true;
}

// One field that is not the value, to be read once more.
bool CopyField(CodedInputStream* in, std::uint32_t tag, std::string* out) {
  if (WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
    int size;
    if (!ReadSize(in, &size)) return false;
    AppendHead(tag, static_cast<std::uint64_t>(size), out);
    return AppendNext(in, size, out);
  }
  // By itself: a stream fills all the room of its string with zeros, and who sends many such fields chooses how much that is.
  std::string field;
  {
    google::protobuf::io::StringOutputStream stream(&field);
    CodedOutputStream coded(&stream);
    if (!WireFormatLite::SkipField(in, tag, &coded)) return false;
  }
  out->append(field);
  return true;
}

// A coffer.v1.PutRequest up to the stream's limit.
bool ReadPutFields(CodedInputStream* in, RequestBytes* request) {
  while (in->BytesUntilLimit() > 0) {
    const std::uint32_t tag = in->ReadTag();
    if (tag == 0) return false;
    const bool read = tag == kDataTag ? ReadString(in, &request->value.emplace()) : CopyField(in, tag, &request->bytes);
    if (!read) return false;
  }
  return true;
}

// Of the next `size` bytes, which are the stream's. That they are no request is for whoever parses them to say, of this call alone.
bool ReadPut(CodedInputStream* in, int size, RequestBytes* request) {
  const auto limit = in->PushLimit(size);
  *request = {};
  if (!ReadPutFields(in, request)) *request = RequestBytes(std::string(1, '\0'));  // no field has the number 0
  const bool skipped = in->Skip(in->BytesUntilLimit());
  in->PopLimit(limit);
  return skipped;
}

bool ReadRequestOf(std::string_view method, CodedInputStream* in, RequestBytes* request) {
  if (method != NameOf(Method::kChunksPut)) return request->value.reset(), ReadString(in, &request->bytes);
  int size;
  return ReadSize(in, &size) && ReadPut(in, size, request);
}

bool ReadInvocation(CodedInputStream* in, StreamCall* call) {
  return ReadNested(in, [&](std::uint32_t tag) {
    switch (tag) {
      case Tag(1, kBytes):
        return ReadString(in, &call->method);
      case Tag(2, kBytes):
        return ReadRequestOf(call->method, in, &call->request);
      case Tag(3, kVarint):
        return in->ReadVarint32(&call->deadline_ms);
      default:
        return WireFormatLite::SkipField(in, tag);
    }
  });
}

bool ReadCall(CodedInputStream* in, StreamCall* call) {
  return ReadNested(in, [&](std::uint32_t tag) {
    switch (tag) {
      case Tag(1, kVarint):
        return in->ReadVarint64(&call->id);
      case Tag(2, kBytes):
        call->known = true;
        call->cancel = false;
        return ReadInvocation(in, call);
      case Tag(3, kVarint): {
        // Of the kinds of a oneof the last one counts, and it leaves nothing of the others.
        std::uint64_t any;
        *call = {call->id, true, true, {}, {}, 0};
        return in->ReadVarint64(&any);
      }
      default:
        return WireFormatLite::SkipField(in, tag);
    }
  });
}

// Fields 2 and 3 up to the response's bytes.
void PutResponseHead(std::size_t size, std::string* out) {
  AppendHead(Tag(3, kVarint), 1, out);
  AppendHead(Tag(2, kBytes), size, out);
}

}  // namespace

bool DecodeCalls(grpc::ByteBuffer* frame, std::size_t most, std::vector<StreamCall>* calls) {
  grpc::ProtoBufferReader reader(frame);
  if (!reader.status().ok()) return false;
  CodedInputStream in(&reader);
  in.PushLimit(static_cast<int>(frame->Length()));
  while (const std::uint32_t tag = in.ReadTag()) {
    if (tag != Tag(1, kBytes)) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    if (calls->size() == most) return false;
    calls->emplace_back();
    if (!ReadCall(&in, &calls->back())) return false;
  }
  return in.ConsumedEntireMessage();
}

RequestBytes ReadRequest(Method method, grpc::ByteBuffer* message) {
  RequestBytes request;
  if (method != Method::kChunksPut) return BytesOf(*message);
  grpc::ProtoBufferReader reader(message);
  CodedInputStream in(&reader);
  if (!reader.status().ok() || !ReadPut(&in, static_cast<int>(message->Length()), &request)) return BytesOf(*message);
  return request;
}

EncodedReply EncodeReply(std::uint64_t id, std::optional<Response> response, const Status* status) {
  EncodedReply reply;
  std::string fields;
  AppendHead(Tag(1, kVarint), id, &fields);
  if (status) {
    const std::string bytes = status->SerializeAsString();
    AppendHead(Tag(4, kBytes), bytes.size(), &reply.tail);
    reply.tail += bytes;
  }
  if (response) {
    PutResponseHead(response->size(), &fields);
    reply.body = std::move(*response);
  }
  const std::size_t size = fields.size() + reply.body.size() + reply.tail.size();
  reply.head.reserve(1 + CodedOutputStream::VarintSize64(size) + fields.size());
  AppendHead(Tag(1, kBytes), size, &reply.head);
  reply.head += fields;
  return reply;
}

grpc::ByteBuffer TakeFrame(std::deque<EncodedReply>* replies, std::size_t frame_bytes, std::size_t* bytes) {
  std::size_t copied = 0;
  std::size_t taken = 0;
  for (const EncodedReply& reply : *replies) {
    if (taken >= frame_bytes) break;
    taken += reply.bytes();
    copied += reply.head.size() + reply.tail.size() + link::SliceJoiner::CopiedOf(reply.body.bytes.size());
    if (reply.body.value) copied += link::SliceJoiner::CopiedOf(reply.body.value->size());
  }
  link::SliceJoiner frame(copied);
  taken = 0;
  while (!replies->empty() && (taken == 0 || taken + replies->front().bytes() <= frame_bytes)) {
    EncodedReply reply = std::move(replies->front());
    replies->pop_front();
    taken += reply.bytes();
    frame.Add(std::move(reply.head));
    frame.Add(std::move(reply.body.bytes));
    if (reply.body.value) frame.Add(std::move(reply.body.value));
    frame.Add(std::move(reply.tail));
  }
  *bytes += taken;
  return frame.Take();
}

}  // namespace coffer::router
