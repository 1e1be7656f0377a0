// The coalescing stream.
#include <set>

#include "coffer/v1/chunks.pb.h"
#include "coffer/v1/stream.grpc.pb.h"
#include "front_fixture.h"

namespace coffer::router {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr char kGet[] = "coffer.v1.Chunks/Get";
constexpr char kPut[] = "coffer.v1.Chunks/Put";

struct OpenStream {
  explicit OpenStream(const Front& front) : stub(v1::Stream::NewStub(front.channel)) {
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    stream = stub->Open(&context);
  }

  static void Add(v1::OpenRequest* frame, std::uint64_t id, const std::string& method, const std::string& request,
                  std::uint32_t deadline_ms = 20'000) {
    auto* call = frame->add_calls();
    call->set_id(id);
    call->mutable_invocation()->set_method(method);
    call->mutable_invocation()->set_request(request);
    call->mutable_invocation()->set_deadline_ms(deadline_ms);
  }
  void Send(std::uint64_t id, const std::string& method, const std::string& request, std::uint32_t deadline_ms = 20'000) {
    v1::OpenRequest frame;
    Add(&frame, id, method, request, deadline_ms);
    REQUIRE(stream->Write(frame));
  }
  void Cancel(std::uint64_t id) {
    v1::OpenRequest frame;
    frame.add_calls()->set_id(id);
    frame.mutable_calls(0)->set_cancel(true);
    REQUIRE(stream->Write(frame));
  }
  v1::Reply Next() {
    while (replies.empty()) {
      v1::OpenResponse frame;
      REQUIRE(stream->Read(&frame));
      ++frames;
      for (const auto& reply : frame.replies()) replies.push_back(reply);
    }
    v1::Reply reply = replies.front();
    replies.pop_front();
    return reply;
  }

  grpc::ClientContext context;
  std::unique_ptr<v1::Stream::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<v1::OpenRequest, v1::OpenResponse>> stream;
  std::deque<v1::Reply> replies;
  int frames = 0;
};

TEST_CASE("answers of one batch leave in one frame when it ends") {
  Front front;
  // On the front's own thread: on another one the front could send what is there so far when it has read the frame.
  front.api.arrived = [&] {
    if (front.api.waiting() < 20) return;
    const AnswerBatch batch;
    for (int i = 0; i < 20; ++i) front.api.Next()->Answer("answer");
  };
  OpenStream open(front);
  v1::OpenRequest frame;
  for (std::uint64_t id = 1; id <= 20; ++id) OpenStream::Add(&frame, id, kGet, "any");
  REQUIRE(open.stream->Write(frame));
  for (int i = 0; i < 20; ++i) CHECK(open.Next().response() == "answer");
  CHECK(open.frames == 1);
  open.Send(21, kGet, "alone");
  front.api.Next()->Answer("at once");  // without a batch nothing is held back
  CHECK(open.Next().response() == "at once");
}

TEST_CASE("what can be answered at once is never under way, and all of it leaves in one frame") {
  FrontOptions options;
  options.stream.calls = 1;
  options.stream.reply_bytes = 1000;
  Front front(options);
  front.api.at_once = [](std::string_view request) -> std::optional<Response> {
    if (request == "large") return std::string(2000, 'x');
    return request.starts_with("known") ? std::optional<std::string>(std::string(request) + "!") : std::nullopt;
  };
  OpenStream open(front);
  v1::OpenRequest frame;
  for (std::uint64_t id = 1; id <= 20; ++id) OpenStream::Add(&frame, id, kGet, "known" + std::to_string(id));
  OpenStream::Add(&frame, 21, kGet, "known too, without a deadline", 0);
  OpenStream::Add(&frame, 22, kGet, "large");
  OpenStream::Add(&frame, 23, kGet, "unknown");
  REQUIRE(open.stream->Write(frame));
  for (std::uint64_t id = 1; id <= 20; ++id) {
    const v1::Reply reply = open.Next();
    CHECK(reply.id() == id);
    CHECK(reply.response() == "known" + std::to_string(id) + "!");
    CHECK(reply.has_status());
    CHECK(reply.status().code() == 0);
  }
  CHECK(ReasonOf(open.Next().status()) == "DEADLINE_REQUIRED");
  CHECK(ReasonOf(open.Next().status()) == "TOO_MANY_BYTES");
  CHECK(open.frames == 1);
  auto unknown = front.api.Next();
  CHECK(unknown->request == "unknown");
  CHECK(front.server->load().calls == 2);  // the stream itself, and this one
  unknown->Answer("found");
  CHECK(open.Next().id() == 23);
}

TEST_CASE("of many answers at once the first leave while the others are made") {
  Front front;
  front.api.at_once = [](std::string_view request) -> std::optional<Response> { return std::string(request); };
  OpenStream open(front);
  v1::OpenRequest frame;
  for (std::uint64_t id = 1; id <= 40; ++id) OpenStream::Add(&frame, id, kGet, "known");
  REQUIRE(open.stream->Write(frame));
  CHECK(open.Next().id() == 1);
  CHECK(open.replies.size() == 31);
  for (std::uint64_t id = 2; id <= 40; ++id) CHECK(open.Next().id() == id);
  CHECK(open.frames == 2);
}

TEST_CASE("answers come in any order, told apart by id") {
  Front front;
  OpenStream open(front);
  v1::OpenRequest frame;
  OpenStream::Add(&frame, 1, kGet, "one");
  v1::PutRequest put;
  put.set_zone("two");
  OpenStream::Add(&frame, 2, kPut, put.SerializeAsString());
  OpenStream::Add(&frame, 3, kGet, "three");
  REQUIRE(open.stream->Write(frame));
  auto one = front.api.Next();
  auto two = front.api.Next();
  auto three = front.api.Next();
  CHECK(one->method == kGet);
  CHECK(one->request == "one");
  CHECK(two->method == kPut);
  CHECK(two->request == put.SerializeAsString());

  three->Answer("3");
  v1::Reply reply = open.Next();
  CHECK(reply.id() == 3);
  CHECK(reply.has_response());
  CHECK(reply.response() == "3");
  CHECK(reply.has_status());
  CHECK(reply.status().code() == 0);
  one->Answer("1");
  CHECK(open.Next().id() == 1);
  two->sink->OnResponse(std::string("taken back by the failure"));
  two->End(ZoneUnknown("z"));
  reply = open.Next();
  CHECK(reply.id() == 2);
  CHECK_FALSE(reply.has_response());
  CHECK(ReasonOf(reply.status()) == "ZONE_UNKNOWN");

  open.stream->WritesDone();
  v1::OpenResponse none;
  CHECK_FALSE(open.stream->Read(&none));
  CHECK(open.stream->Finish().ok());
}

TEST_CASE("a streaming method answers many times under one id") {
  Front front;
  OpenStream open(front);
  open.Send(9, "coffer.v1.Chains/Watch", "");
  auto watch = front.api.Next();
  watch->sink->OnResponse(std::string("a"));
  v1::Reply reply = open.Next();
  CHECK(reply.id() == 9);
  CHECK(reply.response() == "a");
  CHECK_FALSE(reply.has_status());
  watch->sink->OnResponse(std::string());
  reply = open.Next();
  CHECK(reply.has_response());
  CHECK_FALSE(reply.has_status());
  watch->End(NoLayout());
  reply = open.Next();
  CHECK_FALSE(reply.has_response());
  CHECK(ReasonOf(reply.status()) == "NO_LAYOUT");
}

TEST_CASE("answers that come while a frame is written share the next one") {
  Front front;
  OpenStream open(front);
  v1::OpenRequest frame;
  for (int i = 0; i <= 50; ++i) OpenStream::Add(&frame, i, kGet, "");
  REQUIRE(open.stream->Write(frame));
  // Larger than what flow control lets through unread, so its frame is still being written when the others come.
  front.api.Next()->Answer(std::string(12 << 20, 'x'));
  for (int i = 1; i <= 50; ++i) front.api.Next()->Answer("small");
  for (int i = 0; i <= 50; ++i) CHECK(open.Next().id() == static_cast<std::uint64_t>(i));
  CHECK(open.frames == 2);
}

TEST_CASE("each call has its own deadline") {
  Front front;
  OpenStream open(front);
  const auto before = steady_clock::now();
  open.Send(1, kGet, "", 500);
  auto call = front.api.Next();
  CHECK(call->deadline < before + milliseconds(500) + (steady_clock::now() - before));
  CHECK(call->deadline > before + milliseconds(400));
  call->Answer("");
  CHECK(open.Next().id() == 1);

  open.Send(2, kGet, "", 0);
  const v1::Reply refused = open.Next();
  CHECK(refused.id() == 2);
  CHECK(ReasonOf(refused.status()) == "DEADLINE_REQUIRED");
  CHECK(front.api.waiting() == 0);
}

TEST_CASE("a cancelled call is cancelled at the api and answers nothing") {
  Front front;
  OpenStream open(front);
  open.Send(1, kGet, "first");
  auto call = front.api.Next();
  open.Cancel(1);
  front.api.AwaitCancel(call);
  // The id is free again.
  open.Send(1, kGet, "second");
  front.api.Next()->Answer("of the second");
  CHECK(open.Next().response() == "of the second");
  // To cancel what is not there is no fault.
  open.Cancel(77);
  open.Send(2, kGet, "");
  front.api.Next()->Answer("");
  CHECK(open.Next().id() == 2);
}

TEST_CASE("when the caller goes away its calls are cancelled") {
  Front front;
  auto open = std::make_unique<OpenStream>(front);
  open->Send(1, kGet, "");
  open->Send(2, kPut, "");
  auto get = front.api.Next();
  auto put = front.api.Next();
  open->context.TryCancel();
  front.api.AwaitCancel(get);
  front.api.AwaitCancel(put);
  CHECK(open->stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("past the bound of open calls a call is refused with the time to come back") {
  FrontOptions options;
  options.stream.calls = 2;
  Front front(options);
  OpenStream open(front);
  v1::OpenRequest frame;
  for (int i = 1; i <= 3; ++i) OpenStream::Add(&frame, i, kGet, "");
  REQUIRE(open.stream->Write(frame));
  const v1::Reply refused = open.Next();
  CHECK(refused.id() == 3);
  CHECK(refused.status().code() == 8);
  CHECK(ReasonOf(refused.status()) == "TOO_MANY_CALLS");
  CHECK(RetryAfter(refused.status()).has_value());
  front.api.Next()->Answer("");
  CHECK(open.Next().id() == 1);
  open.Send(4, kGet, "");
  front.api.Next();
  CHECK(front.api.Next()->method == kGet);
}

TEST_CASE("past the bound of request bytes a call is refused") {
  FrontOptions options;
  options.stream.request_bytes = 1000;
  Front front(options);
  OpenStream open(front);
  // The value of a put counts, though it stands apart.
  const auto put = [](std::size_t size) {
    v1::PutRequest request;
    request.set_data(std::string(size, 'v'));
    return request.SerializeAsString();
  };
  open.Send(1, kPut, put(800));
  auto first = front.api.Next();
  open.Send(2, kPut, put(300));
  const v1::Reply refused = open.Next();
  CHECK(refused.id() == 2);
  CHECK(ReasonOf(refused.status()) == "TOO_MANY_BYTES");
  first->Answer("");
  CHECK(open.Next().id() == 1);
  open.Send(3, kPut, put(300));
  front.api.Next()->Answer("");
  CHECK(open.Next().id() == 3);
}

TEST_CASE("the bounds of the server count calls inside streams") {
  FrontOptions options;
  options.admission.peer_calls = 2;  // the stream itself is one
  Front front(options);
  OpenStream open(front);
  open.Send(1, kGet, "");
  auto call = front.api.Next();
  open.Send(2, kGet, "");
  CHECK(ReasonOf(open.Next().status()) == "TOO_MANY_CALLS");
  CHECK(front.server->load().calls == 2);
  CHECK(front.server->load().streams == 1);
  const auto kept_by_the_api = call->sink;
  call->Answer("");
  CHECK(open.Next().id() == 1);
  CHECK(front.server->load().calls == 1);
}

TEST_CASE("of answers nobody reads, those of reads are dropped, those of writes are kept") {
  FrontOptions options;
  options.stream.reply_bytes = 8 << 20;
  Front front(options);
  OpenStream open(front);
  v1::OpenRequest frame;
  for (int i = 1; i <= 3; ++i) OpenStream::Add(&frame, i, kGet, "");
  OpenStream::Add(&frame, 4, kPut, "");
  REQUIRE(open.stream->Write(frame));
  // The first takes all the room but a few bytes.
  const std::size_t size = (8 << 20) - 50;
  for (int i = 1; i <= 3; ++i) front.api.Next()->Answer(std::string(size, 'x'));
  front.api.Next()->Answer("stored");
  std::set<std::uint64_t> refused;
  for (int i = 1; i <= 4; ++i) {
    const v1::Reply reply = open.Next();
    if (reply.status().code() != 0) refused.insert(reply.id());
    if (reply.id() == 4) CHECK(reply.response() == "stored");
    if (reply.id() == 1) CHECK(reply.response().size() == size);
  }
  CHECK(refused == std::set<std::uint64_t>{2, 3});
}

TEST_CASE("an unknown method answers UNIMPLEMENTED and the stream goes on") {
  Front front;
  OpenStream open(front);
  open.Send(1, "coffer.v1.Chunks/Steal", "");
  v1::Reply reply = open.Next();
  CHECK(reply.id() == 1);
  CHECK(reply.status().code() == 12);
  open.Send(2, kGet, "");
  front.api.Next()->Answer("");
  CHECK(open.Next().id() == 2);
}

TEST_CASE("an id used twice ends the stream and cancels its calls") {
  Front front;
  OpenStream open(front);
  open.Send(1, kGet, "");
  auto call = front.api.Next();
  open.Send(1, kGet, "");
  front.api.AwaitCancel(call);
  v1::OpenResponse none;
  CHECK_FALSE(open.stream->Read(&none));
  CHECK(open.stream->Finish().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("a frame that is none ends the stream") {
  Front front;
  std::string response;
  const grpc::Status status = Exchange(front.channel, "/coffer.v1.Stream/Open", "\x0a\x7f", &response);
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("a half-closed stream still gets its answers") {
  Front front;
  OpenStream open(front);
  open.Send(1, kGet, "");
  auto call = front.api.Next();
  open.stream->WritesDone();
  call->Answer("late");
  CHECK(open.Next().response() == "late");
  CHECK(open.stream->Finish().ok());
}

TEST_CASE("draining lets open calls finish, refuses new ones and then ends the stream") {
  Front front;
  OpenStream open(front);
  open.Send(1, kGet, "");
  auto call = front.api.Next();
  open.Send(7, "coffer.v1.Cluster/WatchStatus", "");
  auto watch = front.api.Next();
  front.server->Drain();
  front.api.AwaitCancel(watch);
  const v1::Reply ended = open.Next();
  CHECK(ended.id() == 7);
  CHECK(ReasonOf(ended.status()) == "STOPPING");
  open.Send(2, kGet, "");
  const v1::Reply refused = open.Next();
  CHECK(refused.id() == 2);
  CHECK(ReasonOf(refused.status()) == "STOPPING");
  call->Answer("finished");
  CHECK(open.Next().response() == "finished");
  v1::OpenResponse none;
  CHECK_FALSE(open.stream->Read(&none));
  const grpc::Status status = open.stream->Finish();
  CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(ReasonOf(DetailsOf(status)) == "STOPPING");
}

}  // namespace
}  // namespace coffer::router
