// The hand-written envelope, and the value that is taken out of a put, against protobuf's own.
#include "router/front_frame.h"

#include <google/protobuf/stubs/logging.h>
#include <sys/resource.h>

#include <algorithm>
#include <random>

#include "coffer/v1/stream.pb.h"
#include "proto/wire_form.h"
#include "router/front_state.h"
#include "tests/test_support.h"

namespace coffer::router {
namespace {

constexpr std::size_t kMany = 1000;

std::vector<StreamCall> Decoded(const v1::OpenRequest& frame) {
  grpc::ByteBuffer buffer = BufferOf(frame.SerializeAsString());
  std::vector<StreamCall> calls;
  REQUIRE(DecodeCalls(&buffer, kMany, &calls));
  return calls;
}

bool Decodes(const std::string& bytes, std::size_t most = kMany) {
  grpc::ByteBuffer buffer = BufferOf(bytes);
  std::vector<StreamCall> calls;
  return DecodeCalls(&buffer, most, &calls);
}

TEST_CASE("calls are read as protobuf wrote them") {
  v1::OpenRequest frame;
  auto* put = frame.add_calls();
  put->set_id(~0ull);
  put->mutable_invocation()->set_method("coffer.v1.Chunks/PutMany");
  put->mutable_invocation()->set_request(std::string(100'000, 'x'));
  put->mutable_invocation()->set_deadline_ms(2500);
  auto* cancel = frame.add_calls();
  cancel->set_id(7);
  cancel->set_cancel(true);
  frame.add_calls()->set_id(8);

  const auto calls = Decoded(frame);
  REQUIRE(calls.size() == 3);
  CHECK(calls[0].id == ~0ull);
  CHECK(calls[0].known);
  CHECK_FALSE(calls[0].cancel);
  CHECK(calls[0].method == "coffer.v1.Chunks/PutMany");
  CHECK(calls[0].request.bytes == std::string(100'000, 'x'));
  CHECK(calls[0].deadline_ms == 2500);
  CHECK(calls[1].id == 7);
  CHECK(calls[1].cancel);
  CHECK(calls[2].id == 8);
  CHECK_FALSE(calls[2].known);
}

TEST_CASE("a frame may come in many slices and with fields of a later version") {
  v1::OpenRequest frame;
  auto* call = frame.add_calls();
  call->set_id(5);
  call->mutable_invocation()->set_method("m");
  call->mutable_invocation()->set_deadline_ms(9);
  call->mutable_invocation()->GetReflection()->MutableUnknownFields(call->mutable_invocation())->AddVarint(77, 1);
  frame.GetReflection()->MutableUnknownFields(&frame)->AddLengthDelimited(99, "later");
  const std::string bytes = frame.SerializeAsString();
  std::vector<grpc::Slice> slices;
  for (char c : bytes) slices.emplace_back(&c, 1);
  grpc::ByteBuffer buffer(slices.data(), slices.size());
  std::vector<StreamCall> calls;
  REQUIRE(DecodeCalls(&buffer, kMany, &calls));
  REQUIRE(calls.size() == 1);
  CHECK(calls[0].id == 5);
  CHECK(calls[0].method == "m");
  CHECK(calls[0].deadline_ms == 9);
}

TEST_CASE("bytes that are no frame are refused") {
  v1::OpenRequest frame;
  frame.add_calls()->mutable_invocation()->set_request("0123456789");
  const std::string good = frame.SerializeAsString();
  CHECK(Decodes(good));
  CHECK(Decodes(""));
  CHECK_FALSE(Decodes("hello"));
  for (std::size_t cut = 1; cut < good.size(); ++cut) {
    CAPTURE(cut);
    CHECK_FALSE(Decodes(good.substr(0, cut)));
  }
  // An inner message that claims to be longer than the outer one.
  CHECK_FALSE(Decodes(std::string("\x0a\x03\x12\x7f\x00", 5)));
  // A length that is negative as an int.
  CHECK_FALSE(Decodes("\x0a\xff\xff\xff\xff\x0f"));
}

// A line for each string that is no UTF-8.
class ProtobufIsSilent {
 public:
  ProtobufIsSilent() : before_(google::protobuf::SetLogHandler(nullptr)) {}
  ~ProtobufIsSilent() { google::protobuf::SetLogHandler(before_); }

 private:
  google::protobuf::LogHandler* const before_;
};

// A put that was taken apart is compared by what it says.
bool IsRequest(const RequestBytes& got, const std::string& meant) {
  if (!got.value && got.bytes == meant) return true;
  const auto read = ParseRequest(Method::kChunksPut, got);
  v1::PutRequest put;
  if (!put.ParseFromString(meant)) return !read;
  return read && std::get<v1::PutRequest>(*read).SerializeAsString() == put.SerializeAsString();
}

std::string PutBytes(std::size_t size) {
  v1::PutRequest put;
  put.set_zone("a zone");
  put.set_id(std::string(32, 'i'));
  put.set_data(std::string(size, 'v'));
  return put.SerializeAsString();
}

// With one change.
std::string Mangled(std::string bytes, std::mt19937& random) {
  if (bytes.empty()) return bytes;
  const std::size_t at = random() % bytes.size();
  switch (random() % 5) {
    case 0: bytes[at] = static_cast<char>(random()); return bytes;
    case 1: return bytes.erase(at, 1 + random() % 3);
    case 2: return bytes.insert(at, 1, static_cast<char>(random()));
    case 3: return bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 60));
    default: return bytes.substr(0, at);
  }
}

TEST_CASE("whatever protobuf takes, however mangled, is taken with the same content") {
  const ProtobufIsSilent silent;
  v1::OpenRequest frame;
  for (int i = 0; i < 2; ++i) {
    auto* put = frame.add_calls();
    put->mutable_invocation()->set_method("coffer.v1.Chunks/Put");
    put->mutable_invocation()->set_request(PutBytes(10 + 200 * i));
  }
  for (int i = 0; i < 3; ++i) {
    auto* call = frame.add_calls();
    call->set_id(1000 + i);
    call->mutable_invocation()->set_method("coffer.v1.Chunks/Get");
    call->mutable_invocation()->set_request(std::string(20 + i, 'r'));
    call->mutable_invocation()->set_deadline_ms(300);
  }
  frame.add_calls()->set_cancel(true);
  const std::string good = frame.SerializeAsString();
  std::mt19937 random(7);
  int taken = 0;
  int refused = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes = good;
    for (int change = random() % 4; change >= 0; --change) bytes = Mangled(std::move(bytes), random);
    grpc::ByteBuffer buffer = BufferOf(bytes);
    std::vector<StreamCall> calls;
    const bool decoded = DecodeCalls(&buffer, kMany, &calls);
    v1::OpenRequest parsed;
    if (!parsed.ParseFromString(bytes)) {
      ++refused;
      continue;
    }
    ++taken;
    REQUIRE(decoded);
    REQUIRE(calls.size() == static_cast<std::size_t>(parsed.calls_size()));
    for (int i = 0; i < parsed.calls_size(); ++i) {
      const v1::Call& expected = parsed.calls(i);
      const bool same = calls[i].id == expected.id() && calls[i].cancel == (expected.kind_case() == v1::Call::kCancel) &&
                        calls[i].known == (expected.kind_case() != v1::Call::KIND_NOT_SET) &&
                        calls[i].method == expected.invocation().method() &&
                        IsRequest(calls[i].request, expected.invocation().request()) &&
                        calls[i].deadline_ms == expected.invocation().deadline_ms();
      if (!same) FAIL(Hex(bytes));
    }
  }
  CHECK(taken > 1000);
  CHECK(refused > 1000);
}

TEST_CASE("the value of a put stands apart, and whatever protobuf takes of one, however mangled, is taken with the same content") {
  const ProtobufIsSilent silent;
  std::mt19937 random(11);
  int taken = 0;
  int refused = 0;
  int apart = 0;
  for (int round = 0; round < 50'000; ++round) {
    v1::PutRequest put;
    put.set_zone("a zone");
    put.set_id(std::string(32, 'i'));
    if (random() % 8 != 0) put.set_data(std::string(random() % 300, 'v'));
    if (random() % 2 == 0) put.set_zone_id(std::string(16, 'z'));
    std::string request = put.SerializeAsString();
    if (random() % 5 != 0) request = Mangled(std::move(request), random);
    v1::OpenRequest frame;
    frame.add_calls()->mutable_invocation()->set_method("coffer.v1.Chunks/Put");
    frame.mutable_calls(0)->mutable_invocation()->set_request(request);
    frame.mutable_calls(0)->mutable_invocation()->set_deadline_ms(7);
    frame.add_calls()->set_id(9);  // whatever the request is, it says nothing of the calls behind it
    const std::string bytes = frame.SerializeAsString();
    std::vector<grpc::Slice> slices;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 200, bytes.size() - at);
      slices.emplace_back(bytes.data() + at, size);
      at += size;
    }
    grpc::ByteBuffer buffer(slices.data(), slices.size());
    std::vector<StreamCall> calls;
    REQUIRE(DecodeCalls(&buffer, kMany, &calls));
    REQUIRE(calls.size() == 2);
    CHECK(calls[0].deadline_ms == 7);
    CHECK(calls[1].id == 9);
    CHECK(calls[0].request.size() <= request.size() + 1);
    if (calls[0].request.value) ++apart;
    grpc::ByteBuffer lone = BufferOf(request);
    for (const auto& read : {calls[0].request, ReadRequest(Method::kChunksPut, &lone)}) {
      if (!IsRequest(read, request)) FAIL(Hex(request));
      ++(ParseRequest(Method::kChunksPut, read) ? taken : refused);
    }
  }
  CHECK(taken > 10'000);
  CHECK(refused > 10'000);
  CHECK(apart > 10'000);
}

// Of this process so far, in KiB.
std::size_t MostMemory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss);
}

TEST_CASE("a length that nothing follows gets no memory") {
  // Each of them says that all but the largest int of bytes come: of a call, an invocation, a request, its value.
  std::string frame;
  const auto head = [&frame](int field, std::uint32_t size) { wire_form::AppendHead(wire_form::Tag(field, wire_form::kBytes), size, &frame); };
  head(1, 0x7fffff00);
  head(2, 0x7ffffe00);
  head(1, 20);
  frame += "coffer.v1.Chunks/Put";
  head(2, 0x7ffffd00);
  const auto field = GENERATE(v1::PutRequest::kZoneFieldNumber, v1::PutRequest::kDataFieldNumber);
  head(field, 0x7ffffc00);
  const std::size_t before = MostMemory();
  CHECK_FALSE(Decodes(frame));
  CHECK(MostMemory() < before + (64u << 10));
}

TEST_CASE("a length of more than 32 bits is no other length") {
  std::string request = PutBytes(0);
  request += std::string("\x1a\x85\x80\x80\x80\x10hello", 11);  // 2^32 + 5 bytes of data
  v1::PutRequest put;
  REQUIRE_FALSE(put.ParseFromString(request));
  grpc::ByteBuffer lone = BufferOf(request);
  CHECK_FALSE(ParseRequest(Method::kChunksPut, ReadRequest(Method::kChunksPut, &lone)));
}

TEST_CASE("a put with very many fields of a later version is read in one go") {
  // Read in time that grows with the square of its size, it would take minutes.
  std::string request = PutBytes(3);
  for (int i = 0; i < 2'000'000; ++i) request += std::string("\x20\x00", 2);
  grpc::ByteBuffer lone = BufferOf(request);
  CHECK(IsRequest(ReadRequest(Method::kChunksPut, &lone), request));
}

TEST_CASE("a frame with more calls than allowed is refused") {
  v1::OpenRequest frame;
  for (int i = 0; i < 11; ++i) frame.add_calls()->set_id(i);
  CHECK(Decodes(frame.SerializeAsString(), 11));
  CHECK_FALSE(Decodes(frame.SerializeAsString(), 10));
}

TEST_CASE("a value that a response refers to stands behind the response's own bytes, and is not copied when it is large") {
  const Status ok;
  for (const std::size_t own : {0, 3, 5000}) {
    for (const std::size_t size : {0, 7, 70'000}) {
      CAPTURE(own, size);
      const auto value = std::make_shared<const std::string>(size, 'v');
      const Response response(std::string(own, 'o'), value);
      CHECK(response.size() == own + size);
      std::deque<EncodedReply> replies;
      replies.push_back(EncodeReply(1, response, nullptr));
      replies.push_back(EncodeReply(2, response, &ok));
      std::size_t bytes = 0;
      const grpc::ByteBuffer frame = TakeFrame(&replies, 1 << 20, &bytes);
      v1::OpenResponse parsed;
      REQUIRE(parsed.ParseFromString(BytesOf(frame)));
      CHECK(frame.Length() == bytes);
      REQUIRE(parsed.replies_size() == 2);
      for (const auto& reply : parsed.replies()) CHECK(reply.response() == response.str());
      CHECK(BytesOf(BufferOf(response)) == response.str());
      CHECK(value.use_count() == (size > 4096 ? 4 : 2));  // ours, the response's, and those of the frame
    }
  }
}

TEST_CASE("replies are written as protobuf reads them") {
  const Status failure = TooManyCalls(5);
  const Status ok;
  std::deque<EncodedReply> replies;
  replies.push_back(EncodeReply(1, std::string("small"), &ok));
  replies.push_back(EncodeReply(300, std::string(70'000, 'y'), nullptr));
  replies.push_back(EncodeReply(~0ull, std::nullopt, &failure));
  replies.push_back(EncodeReply(4, std::string(), &ok));
  std::size_t queued = 0;
  for (const auto& reply : replies) queued += reply.bytes();

  std::size_t bytes = 0;
  const std::string frame = BytesOf(TakeFrame(&replies, 1 << 20, &bytes));
  CHECK(replies.empty());
  CHECK(bytes == queued);
  CHECK(frame.size() == queued);
  v1::OpenResponse parsed;
  REQUIRE(parsed.ParseFromString(frame));
  REQUIRE(parsed.replies_size() == 4);
  CHECK(parsed.replies(0).id() == 1);
  CHECK(parsed.replies(0).response() == "small");
  CHECK(parsed.replies(0).has_response());
  CHECK(parsed.replies(0).has_status());
  CHECK(parsed.replies(1).id() == 300);
  CHECK(parsed.replies(1).response() == std::string(70'000, 'y'));
  CHECK_FALSE(parsed.replies(1).has_status());
  CHECK(parsed.replies(2).id() == ~0ull);
  CHECK_FALSE(parsed.replies(2).has_response());
  CHECK(parsed.replies(2).status().SerializeAsString() == failure.SerializeAsString());
  CHECK(parsed.replies(3).has_response());
  CHECK(parsed.replies(3).response().empty());
}

TEST_CASE("a frame closes at its size but takes at least one reply") {
  std::deque<EncodedReply> replies;
  for (int i = 0; i < 4; ++i) replies.push_back(EncodeReply(i, std::string(1000, 'z'), nullptr));
  std::size_t bytes = 0;
  TakeFrame(&replies, 2100, &bytes);
  CHECK(replies.size() == 2);
  TakeFrame(&replies, 10, &bytes);
  CHECK(replies.size() == 1);
}

TEST_CASE("a peer is its host, and its first 64 bits with IPv6") {
  CHECK(HostOf("ipv4:10.0.0.7:4711") == "10.0.0.7");
  CHECK(HostOf("ipv6:%5B2001:db8:1:2:aaaa::1%5D:80") == "2001:db8:1:2::/64");
  CHECK(HostOf("ipv6:[2001:db8:1:2:bbbb::9]:81") == "2001:db8:1:2::/64");
  CHECK(HostOf("ipv6:[::ffff:10.0.0.7]:81") == "10.0.0.7");
  CHECK(HostOf("unix:/run/x") == "unix:/run/x");
}

TEST_CASE("a status is cut to what metadata takes, its reason kept") {
  Status status = MakeError(Code::kUnavailable, "STOPPING", std::string(9000, 'm'));
  for (int i = 0; i < 100; ++i) status.add_details()->PackFrom(TooManyCalls(i));
  const grpc::Status cut = ToGrpc(status);
  CHECK(cut.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(cut.error_message().size() == 1024);
  CHECK(cut.error_details().size() <= 4096);
  Status details;
  REQUIRE(details.ParseFromString(cut.error_details()));
  CHECK(ReasonOf(details) == "STOPPING");
  CHECK(ToGrpc(Ok()).ok());
}

TEST_CASE("the margin leaves time for the way back") {
  using std::chrono::milliseconds;
  const auto now = std::chrono::steady_clock::now();
  CHECK(LessMargin(milliseconds(1000)) - now < milliseconds(990));
  CHECK(LessMargin(milliseconds(1000)) - now >= milliseconds(950));
  CHECK(LessMargin(std::chrono::seconds(60)) - now >= milliseconds(59'900));
  CHECK(LessMargin(milliseconds(1)) - now < milliseconds(900));
  CHECK(LessMargin(std::chrono::steady_clock::duration::max()) > now);
}

}  // namespace
}  // namespace coffer::router
