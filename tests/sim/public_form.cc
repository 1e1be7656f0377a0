#include "sim/public_form.h"

#include "client/rpc_status.h"
#include "coffer/v1/chains.pb.h"
#include "coffer/v1/chunks.pb.h"

namespace coffer::sim {
namespace {

using client::Code;
using client::Effect;
using wire::DataRequest;

PublicCall PutCall(const std::string& zone, const DataRequest& request, const std::vector<Payload>& bodies) {
  v1::PutRequest put;
  put.set_zone(zone);
  put.set_id(request.put_chunk().id());
  put.set_data(*bodies.at(0));
  return {"coffer.v1.Chunks/Put", put.SerializeAsString(), Effect::kRepeatSafe,
          [](const client::Status& s) { return s.code == Code::kAlreadyExists; }, zone};
}

PublicCall AppendCall(const std::string& zone, const DataRequest& request, const std::vector<Payload>& bodies) {
  v1::AppendRequest append;
  append.set_zone(zone);
  append.set_chain(request.append().chain());
  append.set_position(request.append().position());
  append.set_predecessor(request.append().predecessor());
  for (const Payload& body : bodies) append.add_entries()->set_body(*body);
  return {"coffer.v1.Chains/Append", append.SerializeAsString(), Effect::kRepeatSafe,
          [position = request.append().position()](const client::Status& s) {
            return s.code == Code::kAborted && s.conflict && s.conflict->length > position;
          },
          zone};
}

// One query, read from its first entry on.
PublicCall ReadCall(const std::string& zone, const DataRequest& request) {
  v1::ReadRequest read;
  read.set_zone(zone);
  auto* query = read.add_queries();
  query->set_chain(request.read_chain().chain());
  *query->mutable_range() = request.read_chain().range();
  return {"coffer.v1.Chains/Read", read.SerializeAsString(), Effect::kRead, {}, {}};
}

template <class Message, class Set>
PublicCall Small(const char* method, Effect effect, const std::string& zone, Set set) {
  Message message;
  message.set_zone(zone);
  set(message);
  return {method, message.SerializeAsString(), effect, {}, effect == Effect::kRead ? std::string() : zone};
}

bool TakeEntries(const PublicAnswer& answer, wire::DataResponse* response, std::vector<Payload>* bodies) {
  for (const std::string& bytes : answer.responses) {
    v1::ReadResponse read;
    if (!read.ParseFromString(bytes)) return false;
    if (read.status().code() != 0) *response->mutable_status() = read.status();
    for (auto& entry : *read.mutable_entries()) bodies->push_back(std::make_shared<const std::string>(std::move(*entry.mutable_body())));
  }
  return true;
}

}  // namespace

PublicCall ToPublic(const std::string& zone, const DataRequest& request, const std::vector<Payload>& bodies) {
  switch (request.op_case()) {
    case DataRequest::kPutChunk: return PutCall(zone, request, bodies);
    case DataRequest::kAppend: return AppendCall(zone, request, bodies);
    case DataRequest::kReadChain: return ReadCall(zone, request);
    case DataRequest::kGetChunk:
      return Small<v1::GetRequest>("coffer.v1.Chunks/Get", Effect::kRead, zone, [&](auto& m) { m.set_id(request.get_chunk().id()); });
    case DataRequest::kHasChunks:
      return Small<v1::HasRequest>("coffer.v1.Chunks/Has", Effect::kRead, zone, [&](auto& m) { *m.mutable_ids() = request.has_chunks().ids(); });
    case DataRequest::kDeleteChunk:
      return Small<v1::DeleteRequest>("coffer.v1.Chunks/Delete", Effect::kRepeatSafe, zone,
                                      [&](auto& m) { m.set_id(request.delete_chunk().id()); });
    case DataRequest::kHeadChain:
      return Small<v1::HeadRequest>("coffer.v1.Chains/Head", Effect::kRead, zone, [&](auto& m) { m.add_chains(request.head_chain().chain()); });
    default:
      return Small<v1::ChainsDeleteRequest>("coffer.v1.Chains/Delete", Effect::kRepeatSafe, zone,
                                            [&](auto& m) { m.set_chain(request.delete_chain().chain()); });
  }
}

bool FromPublic(const DataRequest& request, const PublicAnswer& answer, wire::DataResponse* response, std::vector<Payload>* bodies) {
  *response->mutable_status() = answer.status;
  if (answer.retry_class != client::RetryClass::kOk) {
    // Where the chain ends is told with the conflict.
    if (const auto conflict = client::FromRpc(answer.status).conflict) {
      response->mutable_head()->mutable_head()->set_length(conflict->length);
      response->mutable_head()->mutable_head()->set_hash(conflict->hash);
    }
    return true;
  }
  if (request.has_read_chain()) return TakeEntries(answer, response, bodies);
  if (answer.responses.size() != 1) return false;
  if (request.has_get_chunk()) {
    v1::GetResponse get;
    if (!get.ParseFromString(answer.responses[0])) return false;
    bodies->push_back(std::make_shared<const std::string>(std::move(*get.mutable_data())));
  } else if (request.has_has_chunks()) {
    v1::HasResponse has;
    if (!has.ParseFromString(answer.responses[0])) return false;
    *response->mutable_presence()->mutable_present() = has.present();
  } else if (request.has_head_chain()) {
    v1::HeadResponse head;
    if (!head.ParseFromString(answer.responses[0]) || head.heads_size() != 1) return false;
    *response->mutable_head()->mutable_head() = head.heads(0);
  }
  return true;
}

}  // namespace coffer::sim
