// A layout as bytes. One meaning has one encoding: agreement compares bytes, and they are stored and sent as they were
// made.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/layout.h"
#include "cluster/layout_bytes.h"
#include "coffer/internal/v1/layout.pb.h"

namespace coffer::cluster {
namespace {

namespace pb = internal::v1;

constexpr std::uint32_t kFormat = 1;

void EncodeMember(const Member& from, pb::LayoutMember* to) {
  to->set_id(from.id.str());
  to->set_name(from.name);
  to->set_address(from.address);
  to->set_weight(from.weight);
  to->set_failure_domain(from.failure_domain);
  to->set_certificate_name(from.certificate_name);
  to->set_witness(from.witness);
  to->set_draining(from.draining);
  to->set_down(from.down);
  to->set_former(from.former);
}

void EncodeSettings(const Settings& from, pb::LayoutSettings* to) {
  to->set_partitions(from.partitions);
  to->set_min_copies(from.min_copies);
  to->set_min_copies_chosen(from.min_copies_chosen);
  to->set_resync_paused(from.resync_paused);
  to->set_resync_limit_bytes_per_second(from.resync_limit_bytes_per_second);
  to->set_scrub_paused(from.scrub_paused);
  to->set_scrub_asked(from.scrub_asked.value);
  to->set_chunk_limit_bytes(from.chunk_limit_bytes);
  to->set_voters_wanted(from.voters_wanted);
}

void EncodeToken(const JoinToken& from, pb::LayoutJoinToken* to) {
  to->set_hash(from.hash);
  to->set_expires_ms(from.expires_ms);
  to->set_used(from.used);
  to->set_used_by(from.used_by);
}

// Whether the message or anything in it carries a field this version does not know.
bool HasUnknownFields(const google::protobuf::Message& message) {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  if (!reflection->GetUnknownFields(message).empty()) return true;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (HasUnknownFields(reflection->GetMessage(message, field))) return true;
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      if (HasUnknownFields(reflection->GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

// kNoMember for what is no index; WhyMalformed refuses it.
MemberIndex DecodeIndex(std::uint32_t raw) {
  return raw < kNoMember ? static_cast<MemberIndex>(raw) : kNoMember;
}

MemberList DecodeIndices(const google::protobuf::RepeatedField<std::uint32_t>& from) {
  MemberList to;
  to.reserve(from.size());
  for (std::uint32_t raw : from) to.push_back(DecodeIndex(raw));
  return to;
}

Member DecodeMember(const pb::LayoutMember& from) {
  Member to;
  to.id = NodeId::Must(from.id());
  to.name = from.name();
  to.address = from.address();
  to.weight = from.weight();
  to.failure_domain = from.failure_domain();
  to.certificate_name = from.certificate_name();
  to.witness = from.witness();
  to.draining = from.draining();
  to.down = from.down();
  to.former = from.former();
  return to;
}

Settings DecodeSettings(const pb::LayoutSettings& from) {
  Settings to;
  to.partitions = from.partitions();
  to.min_copies = from.min_copies();
  to.min_copies_chosen = from.min_copies_chosen();
  to.resync_paused = from.resync_paused();
  to.resync_limit_bytes_per_second = from.resync_limit_bytes_per_second();
  to.scrub_paused = from.scrub_paused();
  to.scrub_asked = Epoch(from.scrub_asked());
  to.chunk_limit_bytes = from.chunk_limit_bytes();
  to.voters_wanted = from.voters_wanted();
  return to;
}

}  // namespace

std::string LayoutBytes(const wire::Layout& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

void FillRest(const Layout& from, wire::Layout* to) {
  to->set_format(kFormat);
  to->set_cluster_id(from.cluster.str());
  to->set_cluster_name(from.cluster_name);
  to->set_epoch(from.epoch.value);
  to->mutable_voters()->Add(from.voters.begin(), from.voters.end());
  for (const Member& member : from.members) EncodeMember(member, to->add_members());
  EncodeSettings(from.settings, to->mutable_settings());
  if (from.plan) {
    to->mutable_plan()->set_id(from.plan->id.value);
    to->mutable_plan()->set_cause(from.plan->cause);
    to->mutable_plan()->set_partitions_total(from.plan->partitions_total);
  }
  to->set_forced_epoch(from.forced_epoch.value);
  for (const Retired& gone : from.retired) {
    auto* entry = to->add_retired();
    entry->set_id(gone.id.str());
    entry->set_name(gone.name);
    entry->set_epoch(gone.epoch.value);
  }
  for (const JoinToken& token : from.join_tokens) EncodeToken(token, to->add_join_tokens());
}

void FillPartition(const Group& from, wire::LayoutPartition* to) {
  to->set_primary(from.primary);
  to->mutable_in_sync()->Add(from.in_sync.begin(), from.in_sync.end());
  to->set_term(from.term.value);
  to->mutable_goal()->Add(from.goal.begin(), from.goal.end());
  to->mutable_survivors()->Add(from.survivors.begin(), from.survivors.end());
  if (!from.loss) return;
  to->mutable_loss()->set_epoch(from.loss->epoch.value);
  to->mutable_loss()->set_nothing(from.loss->nothing);
  to->mutable_loss()->set_from(from.loss->from.value);
  to->mutable_loss()->set_to(from.loss->to.value);
  to->mutable_loss()->set_last(from.loss->last.value);
  to->mutable_loss()->set_set_aside(from.loss->set_aside);
}

bool HasKnownFormat(const wire::Layout& message) { return message.format() == kFormat; }

Layout ReadRest(const wire::Layout& from) {
  Layout to;
  to.cluster = ClusterId::Must(from.cluster_id());
  to.cluster_name = from.cluster_name();
  to.epoch = Epoch(from.epoch());
  to.voters = DecodeIndices(from.voters());
  for (const auto& member : from.members()) to.members.push_back(DecodeMember(member));
  to.settings = DecodeSettings(from.settings());
  if (from.has_plan()) {
    to.plan = MovePlan{Epoch(from.plan().id()), from.plan().cause(), from.plan().partitions_total()};
  }
  to.forced_epoch = Epoch(from.forced_epoch());
  for (const auto& gone : from.retired()) to.retired.push_back({NodeId::Must(gone.id()), gone.name(), Epoch(gone.epoch())});
  for (const auto& token : from.join_tokens()) {
    to.join_tokens.push_back({token.hash(), token.expires_ms(), token.used(), token.used_by()});
  }
  return to;
}

Group ReadPartition(const wire::LayoutPartition& from) {
  Group to{DecodeIndex(from.primary()), DecodeIndices(from.in_sync()), Term(from.term()), DecodeIndices(from.goal()),
           DecodeIndices(from.survivors())};
  if (from.has_loss()) {
    const pb::LayoutLoss& loss = from.loss();
    to.loss = Loss{Epoch(loss.epoch()), loss.nothing(), Seq(loss.from()), Seq(loss.to()), Seq(loss.last()), loss.set_aside()};
  }
  return to;
}

std::string Encode(const Layout& layout) {
  LayoutArena arena;
  wire::Layout* message = arena.New();
  FillRest(layout, message);
  message->mutable_partitions()->Reserve(static_cast<int>(layout.partitions.size()));
  for (const Group& group : layout.partitions) FillPartition(group, message->add_partitions());
  return LayoutBytes(*message);
}

std::optional<Layout> DecodeLayout(std::string_view bytes, std::string* error) {
  const auto refuse = [error](std::string why) {
    if (error != nullptr) *error = std::move(why);
    return std::nullopt;
  };
  if (bytes.size() > kMaxLayoutBytes)
    return refuse("the layout is larger than " + std::to_string(kMaxLayoutBytes) + " bytes");
  LayoutArena arena;
  wire::Layout* message = arena.New();
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return refuse("the layout's bytes are damaged");
  if (!HasKnownFormat(*message)) {
    return refuse("the layout has format " + std::to_string(message->format()) + ", this version knows format " +
                  std::to_string(kFormat) + ": update this node");
  }
  Layout layout = ReadRest(*message);
  layout.partitions.reserve(message->partitions_size());
  for (const auto& group : message->partitions()) layout.partitions.push_back(ReadPartition(group));
  if (auto why = WhyMalformed(layout)) return refuse("the layout is malformed: " + *why);
  if (Encode(layout) != bytes) {  // the only way unknown fields show; looked for only then, because it walks everything
    if (HasUnknownFields(*message)) return refuse("the layout has fields this version does not know: update this node");
    return refuse("the layout's bytes are not in their one accepted form");
  }
  return layout;
}

std::shared_ptr<const Layout> ReadLayout(std::string_view bytes, std::string* error) {
  auto layout = DecodeLayout(bytes, error);
  return layout ? std::make_shared<const Layout>(std::move(*layout)) : nullptr;
}

}  // namespace coffer::cluster
