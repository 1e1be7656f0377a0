// Unary and server-streaming calls through the front.
#include <future>
#include <map>
#include <thread>

#include "coffer/v1/chains.grpc.pb.h"
#include "coffer/v1/chunks.grpc.pb.h"
#include "coffer/v1/cluster.grpc.pb.h"
#include "front_fixture.h"

namespace coffer::router {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

struct Call {
  explicit Call(std::chrono::system_clock::duration deadline = kPatience) {
    context.set_deadline(std::chrono::system_clock::now() + deadline);
  }
  grpc::ClientContext context;
};

// Chunks.Get on a thread of its own.
struct AsyncGet {
  AsyncGet(const std::shared_ptr<grpc::Channel>& channel, std::string id,
           std::optional<milliseconds> deadline = milliseconds(kPatience)) {
    if (deadline) context.set_deadline(std::chrono::system_clock::now() + *deadline);
    done = std::async(std::launch::async, [this, channel, id] {
      v1::GetRequest request;
      request.set_id(id);
      return v1::Chunks::NewStub(channel)->Get(&context, request, &response);
    });
  }
  grpc::ClientContext context;
  v1::GetResponse response;
  std::future<grpc::Status> done;
};

TEST_CASE("a unary call reaches the api as bytes and its answer the caller") {
  Front front;
  AsyncGet get(front.channel, "the-id");
  auto call = front.api.Next();
  CHECK(call->method == "coffer.v1.Chunks/Get");
  CHECK(call->caller.peer == "127.0.0.1");
  CHECK(call->caller.certificate_name.empty());
  v1::GetRequest request;
  REQUIRE(request.ParseFromString(call->request));
  CHECK(request.id() == "the-id");
  v1::GetResponse response;
  response.set_data(std::string(3 << 20, 'd'));
  call->Answer(response.SerializeAsString());
  REQUIRE(get.done.get().ok());
  CHECK(get.response.data() == response.data());
}

TEST_CASE("a failure carries its details") {
  Front front;
  AsyncGet get(front.channel, "x");
  front.api.Next()->End(ZoneUnknown("photos"));
  const grpc::Status status = get.done.get();
  CHECK(status.error_code() == grpc::StatusCode::NOT_FOUND);
  CHECK(status.error_message() == ZoneUnknown("photos").message());
  CHECK(ReasonOf(DetailsOf(status)) == "ZONE_UNKNOWN");
}

TEST_CASE("the deadline travels along, less a margin") {
  Front front;
  const auto before = steady_clock::now();
  AsyncGet get(front.channel, "x", milliseconds(8000));
  auto call = front.api.Next();
  CHECK(call->deadline > before + seconds(6));
  CHECK(call->deadline < before + milliseconds(8000));
  call->Answer("");
  CHECK(get.done.get().ok());
}

TEST_CASE("a call without a deadline is refused, a watch may go on") {
  Front front;
  AsyncGet get(front.channel, "x", std::nullopt);
  const grpc::Status refused = get.done.get();
  CHECK(refused.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(ReasonOf(DetailsOf(refused)) == "DEADLINE_REQUIRED");

  grpc::ClientContext context;
  auto reader = v1::Chains::NewStub(front.channel)->Watch(&context, v1::WatchRequest());
  auto watch = front.api.Next();
  CHECK(watch->method == "coffer.v1.Chains/Watch");
  CHECK(watch->deadline > steady_clock::now() + std::chrono::hours(24 * 30));
  watch->End(Ok());
  CHECK(reader->Finish().ok());
}

TEST_CASE("a caller that cancels or runs out of time cancels the work") {
  Front front;
  AsyncGet cancelled(front.channel, "x");
  auto call = front.api.Next();
  cancelled.context.TryCancel();
  CHECK(cancelled.done.get().error_code() == grpc::StatusCode::CANCELLED);
  front.api.AwaitCancel(call);

  AsyncGet late(front.channel, "y", milliseconds(300));
  auto slow = front.api.Next();
  CHECK(late.done.get().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  front.api.AwaitCancel(slow);
}

TEST_CASE("past the bound of calls a caller is told to come back") {
  FrontOptions options;
  options.admission.peer_calls = 1;
  Front front(options);
  AsyncGet first(front.channel, "1");
  auto call = front.api.Next();
  CHECK(front.server->load().calls == 1);
  AsyncGet second(front.channel, "2");
  const grpc::Status refused = second.done.get();
  CHECK(refused.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(ReasonOf(DetailsOf(refused)) == "TOO_MANY_CALLS");
  CHECK(RetryAfter(DetailsOf(refused)).has_value());
  call->Answer("");
  CHECK(first.done.get().ok());
  AsyncGet third(front.channel, "3");
  front.api.Next()->Answer("");
  CHECK(third.done.get().ok());
}

TEST_CASE("past the bound of bytes a caller is told to come back") {
  FrontOptions options;
  options.admission.bytes = 1000;
  Front front(options);
  Call call;
  v1::PutRequest request;
  request.set_data(std::string(2000, 'x'));
  v1::PutResponse response;
  const grpc::Status status = v1::Chunks::NewStub(front.channel)->Put(&call.context, request, &response);
  CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(ReasonOf(DetailsOf(status)) == "TOO_MANY_BYTES");
  CHECK(front.api.waiting() == 0);
}

TEST_CASE("answers of a streaming call arrive in order, then its end") {
  Front front;
  Call call;
  auto reader = v1::Chains::NewStub(front.channel)->Read(&call.context, v1::ReadRequest());
  auto pending = front.api.Next();
  CHECK(pending->method == "coffer.v1.Chains/Read");
  for (std::uint32_t i = 0; i < 100; ++i) {
    v1::ReadResponse response;
    response.set_index(i);
    pending->sink->OnResponse(response.SerializeAsString());
  }
  pending->End(NoLayout());
  v1::ReadResponse response;
  for (std::uint32_t i = 0; i < 100; ++i) {
    REQUIRE(reader->Read(&response));
    CHECK(response.index() == i);
  }
  CHECK_FALSE(reader->Read(&response));
  const grpc::Status status = reader->Finish();
  CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(ReasonOf(DetailsOf(status)) == "NO_LAYOUT");
}

TEST_CASE("a streaming call whose caller does not read pauses, then goes on") {
  FrontOptions options;
  options.writable_bytes = 1 << 20;
  Front front(options);
  Call call;
  auto reader = v1::Chains::NewStub(front.channel)->Read(&call.context, v1::ReadRequest());
  auto pending = front.api.Next();
  const std::string answer = [] {
    v1::ReadResponse response;
    response.add_entries()->set_body(std::string(4 << 20, 'b'));
    return response.SerializeAsString();
  }();
  int sent = 0;
  while (pending->sink->Writable() && sent < 10) {
    pending->sink->OnResponse(answer);
    ++sent;
  }
  CHECK(sent < 10);
  std::thread rest([&] {
    v1::ReadResponse response;
    int received = 0;
    while (reader->Read(&response)) ++received;
    CHECK(received == sent);
  });
  while (!pending->sink->Writable()) std::this_thread::yield();
  pending->End(Ok());
  rest.join();
  CHECK(reader->Finish().ok());
}

TEST_CASE("a streaming call that ignores its reader is ended before memory is") {
  FrontOptions options;
  options.stream.reply_bytes = 8 << 20;
  Front front(options);
  Call call;
  auto reader = v1::Chunks::NewStub(front.channel)->GetMany(&call.context, v1::GetManyRequest());
  auto pending = front.api.Next();
  for (int i = 0; i < 4 && !pending->cancelled; ++i) {
    auto sink = pending->sink;
    if (sink) sink->OnResponse(v1::GetManyResponse().SerializeAsString() + std::string("\x1a\x80\x80\x80\x02") + std::string(4 << 20, 'x'));
  }
  front.api.AwaitCancel(pending);
  v1::GetManyResponse response;
  while (reader->Read(&response)) CHECK(response.data().size() == 4 << 20);
  const grpc::Status status = reader->Finish();
  CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_CASE("a streaming call is cancelled with its caller") {
  Front front;
  grpc::ClientContext context;
  auto reader = v1::Cluster::NewStub(front.channel)->WatchStatus(&context, v1::WatchStatusRequest());
  auto pending = front.api.Next();
  pending->sink->OnResponse(std::string());
  v1::WatchStatusResponse response;
  REQUIRE(reader->Read(&response));
  context.TryCancel();
  front.api.AwaitCancel(pending);
  CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("draining ends a watch with the word that another router is to be asked") {
  Front front;
  Call call;
  auto reader = v1::Chains::NewStub(front.channel)->Watch(&call.context, v1::WatchRequest());
  auto pending = front.api.Next();
  front.server->Drain();
  front.api.AwaitCancel(pending);
  const grpc::Status status = reader->Finish();
  CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(ReasonOf(DetailsOf(status)) == "STOPPING");
}

class CountingObserver : public FrontObserver {
 public:
  void OnCallEnd(Method method, Code code, steady_clock::duration took) override {
    std::lock_guard lock(mutex);
    ++ends[{method, code}];
    CHECK(took >= took.zero());
  }
  std::mutex mutex;
  std::map<std::pair<Method, Code>, int> ends;
};

TEST_CASE("every end is told to the observer once") {
  CountingObserver observer;
  {
    FrontOptions options;
    options.observer = &observer;
    Front front(options);
    AsyncGet good(front.channel, "1");
    front.api.Next()->Answer("");
    CHECK(good.done.get().ok());
    AsyncGet bad(front.channel, "2");
    front.api.Next()->End(ZoneUnknown("z"));
    CHECK_FALSE(bad.done.get().ok());
  }
  CHECK(observer.ends == std::map<std::pair<Method, Code>, int>{{{Method::kChunksGet, Code::kOk}, 1},
                                                                {{Method::kChunksGet, Code::kNotFound}, 1}});
}

}  // namespace
}  // namespace coffer::router
