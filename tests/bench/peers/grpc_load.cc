#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <deque>
#include <stdexcept>

#include "coffer/v1/chunks.pb.h"
#include "peers/load.h"

namespace coffer::peers {
namespace {

using grpc::ByteBuffer;

constexpr std::size_t kChannels = 2;

ByteBuffer BufferOf(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return ByteBuffer(&slice, 1);
}

void PutField(int field, const std::string& bytes, std::string* out) {
  out->push_back(static_cast<char>(field << 3 | 2));
  std::size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7) out->push_back(static_cast<char>(size | 0x80));
  out->push_back(static_cast<char>(size));
  out->append(bytes);
}

// 32 bytes.
std::string Key(std::uint64_t n) {
  std::string key = std::to_string(n);
  return std::string(32 - key.size(), 'k') + key;
}

// etcdserverpb.PutRequest and RangeRequest have key = 1 and value = 2; a Range is linearizable unless told otherwise.
std::string RequestOf(const LoadPlan& plan, std::uint64_t count, Values* values) {
  std::string out;
  if (plan.work == "etcd-put" || plan.work == "etcd-prepare") {
    PutField(1, Key(plan.work == "etcd-put" ? 1'000'000 + count : count), &out);
    PutField(2, values->Next(), &out);
  } else if (plan.work == "etcd-get") {
    PutField(1, Key(count * 7919 % plan.keys), &out);
  } else if (plan.work == "coffer-get") {
    v1::GetRequest request;
    request.set_zone("default");
    request.set_id(Key(count * 7919 % plan.keys));
    out = request.SerializeAsString();
  } else if (plan.work == "coffer-put" || plan.work == "coffer-prepare") {
    // A chunk's id is free once: every run puts under new ones, and reads find what any run has stored.
    const auto now = static_cast<std::uint64_t>(Stopwatch::Now().time_since_epoch().count());
    v1::PutRequest request;
    request.set_zone("default");
    request.set_id(Key(plan.work == "coffer-put" ? now : count));
    request.set_data(values->Next());
    out = request.SerializeAsString();
  } else {
    out = values->Next();
  }
  return out;
}

const char* MethodOf(const std::string& work) {
  if (work == "etcd-get") return "/etcdserverpb.KV/Range";
  if (work == "coffer-get") return "/coffer.v1.Chunks/Get";
  if (work == "coffer-put" || work == "coffer-prepare") return "/coffer.v1.Chunks/Put";
  if (work == "echo") return "/coffer.bench.Echo/Echo";
  return "/etcdserverpb.KV/Put";
}

struct Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  ByteBuffer request, response;
  grpc::Status status;
  Instant began;
};

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

// `most`: calls in all; 0: until the plan's time is over.
LoadResult Run(const LoadPlan& plan, std::uint64_t most) {
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (std::size_t i = 0; i < kChannels; ++i) {
    stubs.push_back(std::make_unique<grpc::GenericStub>(ChannelTo(plan.addresses[i % plan.addresses.size()])));
  }
  Values values(plan.bytes);
  grpc::CompletionQueue queue;
  std::uint64_t count = 0;
  std::size_t open = 0;
  const auto ask = [&] {
    auto* call = new Call;
    call->request = BufferOf(RequestOf(plan, count, &values));
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    call->began = Stopwatch::Now();
    call->reader =
        stubs[count % kChannels]->PrepareUnaryCall(&call->context, MethodOf(plan.work), call->request, &queue);
    call->reader->StartCall();
    call->reader->Finish(&call->response, &call->status, call);
    ++count;
    ++open;
  };
  LoadResult result;
  const Stopwatch watch(plan);
  for (std::size_t i = 0; i < plan.in_flight; ++i) ask();
  void* tag;
  bool ok;
  while (open > 0 && queue.Next(&tag, &ok)) {
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    --open;
    if (call->status.ok()) {
      watch.Ended(call->began, &result);
    } else if (++result.errors == 1) {
      result.first_error = call->status.error_message();
    }
    if (most > 0 ? count < most : !watch.Over()) ask();
  }
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return result;
}

// One call at the echo: reads, answers (itself or by asking on), ends.
class Echo final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Echo(grpc::GenericStub* forward) : forward_(forward) { StartRead(&in_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (!forward_) return StartWriteAndFinish(&in_, {}, grpc::Status::OK);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    forward_->UnaryCall(&context_, "/coffer.bench.Echo/Echo", {}, &in_, &out_, [this](grpc::Status status) {
      if (!status.ok()) return Finish(status);
      StartWriteAndFinish(&out_, {}, grpc::Status::OK);
    });
  }
  void OnDone() override { delete this; }

 private:
  grpc::GenericStub* const forward_;
  grpc::ClientContext context_;
  ByteBuffer in_, out_;
};

class EchoService final : public grpc::CallbackGenericService {
 public:
  explicit EchoService(grpc::GenericStub* forward) : forward_(forward) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    if (context->method() == "/coffer.bench.Frames/Send") return new FrameCounter();
    return new Echo(forward_);
  }

 private:
  grpc::GenericStub* const forward_;
};

}  // namespace

LoadResult LoadGrpc(const LoadPlan& plan) {
  if (plan.work == "etcd-get" || plan.work == "coffer-get") {
    LoadPlan prepare = plan;
    prepare.work = plan.work == "etcd-get" ? "etcd-prepare" : "coffer-prepare";
    prepare.in_flight = 16;
    const LoadResult stored = Run(prepare, plan.keys);
    if (stored.errors > 0) throw std::runtime_error("can't store what is to be read: " + stored.first_error);
  }
  return Run(plan, 0);
}

void ServeEcho(const std::string& listen, const std::string& forward) {
  std::unique_ptr<grpc::GenericStub> stub;
  if (!forward.empty()) stub = std::make_unique<grpc::GenericStub>(ChannelTo(forward));
  EchoService service(stub.get());
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterCallbackGenericService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) throw std::runtime_error("can't listen on " + listen);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  server->Shutdown(std::chrono::system_clock::now());
}

}  // namespace coffer::peers
