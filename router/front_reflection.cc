#include "router/front_reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "router/front_services.h"
#include "router/front_state.h"

namespace coffer::router {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using Question = grpc::reflection::v1alpha::ServerReflectionRequest;
using Reply = grpc::reflection::v1alpha::ServerReflectionResponse;

void Fail(grpc::StatusCode code, const std::string& message, Reply* reply) {
  reply->mutable_error_response()->set_error_code(code);
  reply->mutable_error_response()->set_error_message(message);
}

void AddWithImports(const FileDescriptor* file, std::set<const FileDescriptor*>* seen, Reply* reply) {
  if (!seen->insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  reply->mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddWithImports(file->dependency(i), seen, reply);
}

void AddFile(const FileDescriptor* file, Reply* reply) {
  if (!file) return Fail(grpc::StatusCode::NOT_FOUND, "this server knows nothing of that name", reply);
  std::set<const FileDescriptor*> seen;
  AddWithImports(file, &seen, reply);
}

Reply AnswerTo(const Question& question) {
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  Reply reply;
  reply.set_valid_host(question.host());
  *reply.mutable_original_request() = question;
  switch (question.message_request_case()) {
    case Question::kListServices:
      for (const std::string& name : ReflectedServices()) reply.mutable_list_services_response()->add_service()->set_name(name);
      break;
    case Question::kFileByFilename:
      AddFile(pool.FindFileByName(question.file_by_filename()), &reply);
      break;
    case Question::kFileContainingSymbol:
      AddFile(pool.FindFileContainingSymbol(question.file_containing_symbol()), &reply);
      break;
    case Question::kFileContainingExtension:
    case Question::kAllExtensionNumbersOfType:
      Fail(grpc::StatusCode::NOT_FOUND, "this server's messages have no extensions", &reply);
      break;
    case Question::MESSAGE_REQUEST_NOT_SET:
      Fail(grpc::StatusCode::INVALID_ARGUMENT, "the request asks for nothing", &reply);
  }
  return reply;
}

class ReflectionCall final : public link::PolledServerStream, public std::enable_shared_from_this<ReflectionCall> {
 public:
  ReflectionCall(FrontState* state, std::unique_ptr<link::IncomingCall> call)
      : link::PolledServerStream(std::move(call)), state_(*state) {}

  void Begin() {
    self_ = shared_from_this();
    Status status = state_.admission.Enter(CallerOf(context()).peer, 0, &permit_);
    if (IsOk(status) && state_.draining) status = Stopping();
    if (!IsOk(status)) return End(ToGrpc(status));
    StartRead(&question_);
  }

  void OnReadDone(bool ok) override {
    Question question;
    if (end_) return;
    if (!ok) return End(grpc::Status::OK);
    if (!question.ParseFromString(BytesOf(question_))) {
      return End({grpc::StatusCode::INVALID_ARGUMENT, "the question is no ServerReflectionRequest"});
    }
    const grpc::ByteBuffer answer = BufferOf(AnswerTo(question).SerializeAsString());
    writing_ = true;
    StartWrite(&answer);
  }
  void OnWriteDone(bool ok) override {
    writing_ = false;
    if (end_) return Finish(*end_);
    if (!ok || state_.draining) return End(ToGrpc(Stopping()));
    question_.Clear();
    StartRead(&question_);
  }
  void OnCancel() override { End({grpc::StatusCode::CANCELLED, "the caller cancelled the call"}); }
  void OnDone() override {
    ReleaseCall();
    self_.reset();
  }

 private:
  void End(const grpc::Status& status) {
    if (end_) return;
    end_ = status;
    if (!writing_) Finish(status);
  }

  FrontState& state_;
  Admission::Permit permit_;
  std::shared_ptr<ReflectionCall> self_;  // until OnDone
  grpc::ByteBuffer question_;             // of the read in flight
  // All on the thread that polls.
  bool writing_ = false;
  std::optional<grpc::Status> end_;
};

}  // namespace

void StartReflectionCall(FrontState* state, std::unique_ptr<link::IncomingCall> call) {
  std::make_shared<ReflectionCall>(state, std::move(call))->Begin();
}

}  // namespace coffer::router
