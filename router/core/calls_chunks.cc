// coffer.v1.Chunks: each method as a Call.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "cluster/placement.h"
#include "router/core/call.h"
#include "router/core/get_response.h"
#include "router/core/validate.h"

namespace coffer::router {
namespace {

constexpr std::size_t kPutsAtOnce = 64;
constexpr std::size_t kGetsAtOnce = 32;
constexpr std::size_t kHasAtOnce = kMostOpsOfCall;
// How often a front that takes no more is asked again.
constexpr Duration kFrontPoll = std::chrono::milliseconds(10);
// How long the cache's disk may take before a node is asked.
constexpr Duration kDiskPatience = std::chrono::milliseconds(100);

Status OutOfRange(const BlockId& id, std::uint64_t offset, std::uint64_t size) {
  return MakeError(Code::kOutOfRange, "OUT_OF_RANGE",
                   "offset " + std::to_string(offset) + " is at or past the end of chunk " + Hex(id.view()) + " of " +
                       std::to_string(size) + " bytes");
}

Payload ToPayload(std::string&& bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

// The chunk an answer of get_chunk carries, and whether it is the whole one, which is then kept.
struct ReadChunk {
  Status status;
  Payload data;
  std::uint64_t total_size = 0;
};

ReadChunk TakeChunk(CallHost& host, const ZoneId& zone, const BlockId& id, std::uint64_t offset, OpResult result) {
  ReadChunk read;
  read.status = std::move(result.status);
  if (!IsOk(read.status)) {
    if (CodeOf(read.status) == Code::kDataLoss && read.status.message().find(Hex(id.view())) == std::string::npos) {
      read.status.set_message("chunk " + Hex(id.view()) + ": " + read.status.message());
    }
    return read;
  }
  read.total_size = result.response.total_size();
  if (result.bodies.empty() && read.total_size <= offset) result.bodies.push_back(ToPayload({}));
  const std::uint64_t size = result.bodies.size() == 1 ? result.bodies[0]->size() : 0;
  if (result.bodies.size() != 1 || offset > read.total_size || size > read.total_size - offset) {
    read.status = BadAnswer("the size of chunk " + Hex(id.view()));
    return read;
  }
  read.data = std::move(result.bodies[0]);
  const bool whole = offset == 0 && size == read.total_size;
  if (whole && result.response.settled()) host.cache().Insert(result.asked, zone, id, read.data);
  return read;
}

class PutCall final : public ZonedCall {
 public:
  PutCall(CallId id, Instant deadline, CallHost& host, v1::PutRequest request)
      : ZonedCall(id, deadline, host, request.zone(), request.zone_id()),
        block_(BlockId::Must(request.id())),
        data_(ToPayload(std::move(*request.mutable_data()))) {}

  void Run() override { Reissue(0); }
  void Reissue(Slot) override {
    OpSpec spec = SpecFor(block_, Target::kPrimary, /*write=*/true);
    spec.request.mutable_put_chunk()->set_id(block_.str());
    spec.bodies = {data_};
    Ask(0, std::move(spec));
  }
  void Answered(Slot, OpResult result) override {
    if (!IsOk(result.status)) return End(std::move(result.status));
    v1::PutResponse response;
    response.set_already_existed(result.response.already_existed());
    Succeed(response);
  }

 private:
  const BlockId block_;
  const Payload data_;
};

class PutManyCall final : public ZonedCall {
 public:
  PutManyCall(CallId id, Instant deadline, CallHost& host, v1::PutManyRequest request)
      : ZonedCall(id, deadline, host, request.zone(), request.zone_id()) {
    const std::uint64_t limit = host.layout()->settings.chunk_limit_bytes;
    for (auto& chunk : *request.mutable_chunks()) {
      auto* outcome = response_.add_outcomes();
      const auto violations = ValidateChunk(chunk.id(), chunk.data().size(), limit);
      if (!violations.empty()) {
        *outcome->mutable_status() = InvalidRequest(violations);
        continue;
      }
      chunks_.push_back({BlockId::Must(chunk.id()), ToPayload(std::move(*chunk.mutable_data())), outcome});
    }
  }

  void Run() override { Fill(); }
  void Reissue(Slot slot) override {
    OpSpec spec = SpecFor(chunks_[slot].id, Target::kPrimary, /*write=*/true);
    spec.request.mutable_put_chunk()->set_id(chunks_[slot].id.str());
    spec.bodies = {chunks_[slot].data};
    Ask(slot, std::move(spec));
  }
  void Answered(Slot slot, OpResult result) override {
    v1::PutOutcome* outcome = chunks_[slot].outcome;
    outcome->set_already_existed(IsOk(result.status) && result.response.already_existed());
    *outcome->mutable_status() = std::move(result.status);
    chunks_[slot].data.reset();
    --under_way_;
    ++done_;
    Fill();
  }

 private:
  struct Chunk {
    BlockId id;
    Payload data;
    v1::PutOutcome* outcome;  // in response_
  };
  void Fill() {
    while (next_ < chunks_.size() && under_way_ < kPutsAtOnce) {
      ++under_way_;
      Reissue(static_cast<Slot>(next_++));
    }
    if (done_ == chunks_.size()) Succeed(response_);
  }

  std::vector<Chunk> chunks_;
  v1::PutManyResponse response_;
  std::size_t next_ = 0, under_way_ = 0, done_ = 0;
};

class GetCall final : public ZonedCall {
 public:
  GetCall(CallId id, Instant deadline, CallHost& host, const v1::GetRequest& request)
      : ZonedCall(id, deadline, host, request.zone()),
        block_(BlockId::Must(request.id())),
        offset_(request.offset()),
        length_(request.length()) {}

  void Run() override { Reissue(0); }
  void Reissue(Slot) override {
    if (Payload cached = host().cache().Find(host().now(), zone(), block_)) return Give(std::move(cached));
    on_disk_ = host().FindOnDisk(id(), 0, zone(), block_);
    if (!on_disk_) return AskNode();
    host().WakeAt(id(), host().now() + kDiskPatience);
  }
  void DiskAnswered(Slot, const ChunkKey& key, const Payload& chunk) override {
    if (!on_disk_ || key.zone != zone()) return;
    if (chunk) return Give(chunk);
    Wake();
  }
  void Wake() override {
    if (std::exchange(on_disk_, false)) AskNode();
  }
  void Answered(Slot, OpResult result) override {
    ReadChunk read = TakeChunk(host(), zone(), block_, offset_, std::move(result));
    if (!IsOk(read.status)) return End(std::move(read.status));
    RespondBytes(EncodeGetResponse(std::move(read.data), read.total_size));
    End(Ok());
  }

 private:
  void Give(Payload chunk) {
    const std::uint64_t size = chunk->size();
    const auto range = Cut(*chunk, offset_, length_);
    if (!range) return End(OutOfRange(block_, offset_, size));
    if (range->size() != size) chunk = std::make_shared<const std::string>(*range);
    RespondBytes(EncodeGetResponse(std::move(chunk), size));
    End(Ok());
  }
  void AskNode() {
    OpSpec spec = SpecFor(block_, Target::kPrimaryOrHolder, /*write=*/false);
    auto* get = spec.request.mutable_get_chunk();
    get->set_id(block_.str());
    get->set_offset(offset_);
    get->set_length(length_);
    Ask(0, std::move(spec));
  }

  const BlockId block_;
  const std::uint64_t offset_, length_;
  bool on_disk_ = false;  // the cache's disk reads it, and no node was asked
};

// Answers as they come, as many at once as the front takes.
class GetManyCall final : public ZonedCall {
 public:
  GetManyCall(CallId id, Instant deadline, CallHost& host, const v1::GetManyRequest& request)
      : ZonedCall(id, deadline, host, request.zone()) {
    for (const auto& block : request.ids()) ids_.push_back(block);
  }

  void Run() override { Fill(); }
  void Wake() override {
    for (const Slot slot : std::set<Slot>(on_disk_)) {
      if (host().now() >= disk_asked_ + kDiskPatience) AskNode(slot);
    }
    Fill();
  }
  void Reissue(Slot slot) override { AskNode(slot); }
  void DiskAnswered(Slot slot, const ChunkKey& key, const Payload& chunk) override {
    if (on_disk_.count(slot) == 0) return;
    if (!chunk || key.zone != zone()) return AskNode(slot);
    on_disk_.erase(slot);
    --under_way_;
    Deliver(slot, {Ok(), chunk, chunk->size()});
    Fill();
  }
  void Answered(Slot slot, OpResult result) override {
    --under_way_;
    Deliver(slot, TakeChunk(host(), zone(), Block(slot), 0, std::move(result)));
    Fill();
  }

 private:
  void Fill() {
    while (next_ < ids_.size() && under_way_ < kGetsAtOnce) {
      if (!host().Writable(id())) return host().WakeAt(id(), host().now() + kFrontPoll);
      const Slot slot = static_cast<Slot>(next_++);
      if (const auto violations = ValidateChunk(ids_[slot], 0, 0); !violations.empty()) {
        Deliver(slot, {InvalidRequest(violations), nullptr, 0});
        continue;
      }
      if (Payload cached = host().cache().Find(host().now(), zone(), Block(slot))) {
        const std::uint64_t size = cached->size();
        Deliver(slot, {Ok(), std::move(cached), size});
        continue;
      }
      ++under_way_;
      if (!host().FindOnDisk(id(), slot, zone(), Block(slot))) {
        AskNode(slot);
        continue;
      }
      on_disk_.insert(slot);
      disk_asked_ = host().now();
    }
    if (!on_disk_.empty()) host().WakeAt(id(), disk_asked_ + kDiskPatience);
    if (done_ == ids_.size()) End(Ok());
  }
  void AskNode(Slot slot) {
    on_disk_.erase(slot);
    OpSpec spec = SpecFor(Block(slot), Target::kPrimaryOrHolder, /*write=*/false);
    spec.request.mutable_get_chunk()->set_id(ids_[slot]);
    Ask(slot, std::move(spec));
  }
  void Deliver(Slot slot, ReadChunk read) {
    v1::GetManyResponse response;
    response.set_index(slot);
    *response.mutable_status() = std::move(read.status);
    if (read.data) response.set_data(*read.data);
    Respond(response);
    ++done_;
  }

  BlockId Block(Slot slot) const { return BlockId::Must(ids_[slot]); }

  std::vector<std::string> ids_;  // as asked for; some may be no ids
  std::size_t next_ = 0, under_way_ = 0, done_ = 0;
  std::set<Slot> on_disk_;  // of those under way, the ones the cache's disk reads
  Instant disk_asked_{};    // the last of them
};

// One operation per partition. A slot is a group of ids of one partition.
class HasCall final : public ZonedCall {
 public:
  HasCall(CallId id, Instant deadline, CallHost& host, const v1::HasRequest& request)
      : ZonedCall(id, deadline, host, request.zone()) {
    for (const auto& block : request.ids()) {
      ids_.push_back(BlockId::Must(block));
      response_.add_present(false);
    }
  }

  void Run() override {
    std::vector<std::uint32_t> all(ids_.size());
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    Split(all);
    Fill();
  }
  void Reissue(Slot slot) override {  // in another zone the ids lie in other partitions
    --under_way_;
    ++done_;
    Split(groups_[slot].indices);
    Fill();
  }
  void Answered(Slot slot, OpResult result) override {
    if (!IsOk(result.status)) return End(std::move(result.status));
    const auto& indices = groups_[slot].indices;
    const auto& present = result.response.presence().present();
    if (present.size() != static_cast<int>(indices.size())) return End(BadAnswer("the number of ids"));
    for (std::size_t i = 0; i < indices.size(); ++i) {
      response_.set_present(static_cast<int>(indices[i]), present[static_cast<int>(i)]);
    }
    --under_way_;
    ++done_;
    Fill();
  }

 private:
  struct Group {
    std::vector<std::uint32_t> indices;
  };
  void Split(const std::vector<std::uint32_t>& indices) {
    std::map<PartitionId, Group> by_partition;
    const std::uint32_t partitions = host().layout()->partition_count();
    for (const std::uint32_t i : indices) {
      by_partition[cluster::PartitionOf(zone(), ids_[i], partitions)].indices.push_back(i);
    }
    for (auto& [partition, group] : by_partition) groups_.push_back(std::move(group));
  }
  void Fill() {
    while (next_ < groups_.size() && under_way_ < kHasAtOnce) {
      const Slot slot = static_cast<Slot>(next_++);
      OpSpec spec = SpecFor(ids_[groups_[slot].indices.front()], Target::kPrimary, /*write=*/false);
      for (const std::uint32_t i : groups_[slot].indices) spec.request.mutable_has_chunks()->add_ids(ids_[i].str());
      ++under_way_;
      Ask(slot, std::move(spec));
    }
    if (done_ == groups_.size()) Succeed(response_);
  }

  std::vector<BlockId> ids_;
  std::vector<Group> groups_;  // only grows
  v1::HasResponse response_;
  std::size_t next_ = 0, under_way_ = 0, done_ = 0;
};

class DeleteCall final : public ZonedCall {
 public:
  DeleteCall(CallId id, Instant deadline, CallHost& host, const v1::DeleteRequest& request)
      : ZonedCall(id, deadline, host, request.zone(), request.zone_id()), block_(BlockId::Must(request.id())) {}

  void Run() override { Reissue(0); }
  void Reissue(Slot) override {
    host().ForgetChunk(zone(), block_);
    OpSpec spec = SpecFor(block_, Target::kPrimary, /*write=*/true);
    spec.request.mutable_delete_chunk()->set_id(block_.str());
    Ask(0, std::move(spec));
  }
  void Answered(Slot, OpResult result) override {
    host().ForgetChunk(zone(), block_);  // also what was read while the delete was under way
    if (!IsOk(result.status)) return End(std::move(result.status));
    Succeed(v1::DeleteResponse());
  }

 private:
  const BlockId block_;
};

}  // namespace

std::unique_ptr<Call> MakeChunksCall(CallId id, Instant deadline, CallHost& host, Request request) {
  switch (MethodOf(request)) {
    case Method::kChunksPut:
      return std::make_unique<PutCall>(id, deadline, host, std::get<v1::PutRequest>(std::move(request)));
    case Method::kChunksPutMany:
      return std::make_unique<PutManyCall>(id, deadline, host, std::get<v1::PutManyRequest>(std::move(request)));
    case Method::kChunksGet: return std::make_unique<GetCall>(id, deadline, host, std::get<v1::GetRequest>(request));
    case Method::kChunksGetMany:
      return std::make_unique<GetManyCall>(id, deadline, host, std::get<v1::GetManyRequest>(request));
    case Method::kChunksHas: return std::make_unique<HasCall>(id, deadline, host, std::get<v1::HasRequest>(request));
    default: return std::make_unique<DeleteCall>(id, deadline, host, std::get<v1::DeleteRequest>(request));
  }
}

}  // namespace coffer::router
