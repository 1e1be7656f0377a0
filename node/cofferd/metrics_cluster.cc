#include "node/cofferd/metrics_cluster.h"

#include <map>

#include "proto/mutex.h"
#include "router/core/methods.h"

namespace coffer::server {
namespace {

// Waits for the one answer of a unary call.
class Answer final : public router::ResponseSink {
 public:
  void OnResponse(router::Response message) override {
    MutexLock lock(mutex_);
    message_ = message.str();
  }
  void OnEnd(google::rpc::Status status) override {
    MutexLock lock(mutex_);
    code_ = status.code();
    ended_.NotifyAll();
  }
  std::optional<std::string> Wait(std::chrono::steady_clock::time_point until) {
    MutexLock lock(mutex_);
    const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return code_.has_value(); };
    if (!ended_.WaitUntil(mutex_, until, ended) || *code_ != 0) return std::nullopt;
    return message_;
  }

 private:
  Mutex mutex_;
  Condition ended_;
  std::string message_ ABSL_GUARDED_BY(mutex_);
  std::optional<int> code_ ABSL_GUARDED_BY(mutex_);
};

std::string RoleName(v1::MemberRole role) {
  switch (role) {
    case v1::MEMBER_ROLE_STORAGE:
      return "node";
    case v1::MEMBER_ROLE_WITNESS:
      return "witness";
    case v1::MEMBER_ROLE_ROUTER:
      return "router";
    default:
      return "unknown";
  }
}

// "MEMBER_STATE_UP" is "up", the word of every screen.
std::string Word(const std::string& name, std::size_t prefix) {
  std::string word = name.size() > prefix ? name.substr(prefix) : "unknown";
  for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return word;
}

void WriteMembers(const v1::Status& status, MetricsWriter* writer) {
  std::map<std::pair<std::string, std::string>, int> members;
  for (const auto& member : status.members()) {
    const std::string state = Word(v1::MemberState_Name(member.state()), sizeof "MEMBER_STATE_" - 1);
    ++members[{RoleName(member.role()), state}];
    // A state that has just emptied must read 0, not vanish.
    members[{RoleName(member.role()), "up"}] += 0;
    members[{RoleName(member.role()), "down"}] += 0;
  }
  for (const auto& [key, count] : members) {
    writer->Gauge("coffer_members", "Members by role and state.", count, {{"role", key.first}, {"state", key.second}});
  }
  for (const auto& member : status.members()) {
    if (member.role() != v1::MEMBER_ROLE_STORAGE) continue;
    writer->Gauge("coffer_member_disk_used_ratio", "Share of a storage node's disk in use.", member.disk_used(),
                  {{"member", member.name()}});
    writer->Gauge("coffer_member_read_only", "1 while a storage node refuses writes: its disk is full or failed.",
                  member.read_only() ? 1 : 0, {{"member", member.name()}});
    writer->Gauge("coffer_member_disk_slow", "1 while a storage node's disk takes long to sync: others lead its partitions.",
                  member.disk_slow() ? 1 : 0, {{"member", member.name()}});
  }
}

void WriteResync(const v1::Status& status, MetricsWriter* writer) {
  const v1::ResyncStatus& resync = status.resync();
  const auto left = [](std::uint64_t total, std::uint64_t done) { return static_cast<double>(total > done ? total - done : 0); };
  for (int state = v1::ResyncState_MIN + 1; state <= v1::ResyncState_MAX; ++state) {
    const bool now = status.has_resync() && resync.state() == state;
    writer->Gauge("coffer_resync_state", "1 for the state resync is in; all 0: nothing to move.", now ? 1 : 0,
                  {{"state", Word(v1::ResyncState_Name(static_cast<v1::ResyncState>(state)), sizeof "RESYNC_STATE_" - 1)}});
  }
  writer->Gauge("coffer_resync_remaining_bytes", "Bytes still to be compared or copied.",
                left(resync.bytes_total(), resync.bytes_done()));
  writer->Gauge("coffer_resync_remaining_partitions", "Partitions that are not where they should be.",
                left(resync.partitions_total(), resync.partitions_done()));
  writer->Gauge("coffer_resync_bytes_per_second", "Bytes done per second, a 2 s average.", resync.bytes_per_second());
}

void WriteForce(const v1::ForceStatus& force, MetricsWriter* writer) {
  writer->Gauge("coffer_forced_epoch", "Epoch last made by `coffer layout force`; 0: never.", static_cast<double>(force.epoch()));
  writer->Gauge("coffer_forced_out_members", "Members given up by force; their ids never act again.", force.given_up_size());
  const char* help = "Partitions that were forced upon survivors of which none was up to date: being merged, merged; of these, lacking "
                     "writes up to the last one found, or found empty.";
  writer->Gauge("coffer_forced_partitions", help, force.merging(), {{"state", "merging"}});
  writer->Gauge("coffer_forced_partitions", help, force.merged(), {{"state", "merged"}});
  writer->Gauge("coffer_forced_partitions", help, force.lacking(), {{"state", "lacking"}});
  writer->Gauge("coffer_forced_partitions", help, force.empty(), {{"state", "empty"}});
}

}  // namespace

void ClusterMetrics::Write(const v1::Status* status, Clock::time_point now, MetricsWriter* writer) {
  writer->Gauge("coffer_status_known", "1 while this process knows the cluster's status.", status ? 1 : 0);
  if (!status) return;
  for (int verdict = v1::Verdict_MIN + 1; verdict <= v1::Verdict_MAX; ++verdict) {
    writer->Gauge("coffer_verdict", "1 for the verdict that holds.", status->verdict() == verdict ? 1 : 0,
                  {{"verdict", Word(v1::Verdict_Name(static_cast<v1::Verdict>(verdict)), sizeof "VERDICT_" - 1)}});
  }
  const auto& copies = status->copies();
  const char* help = "Blocks by copies on living, up-to-date nodes.";
  writer->Gauge("coffer_blocks", help, static_cast<double>(copies.two_or_more()), {{"copies", "2"}});
  writer->Gauge("coffer_blocks", help, static_cast<double>(copies.one()), {{"copies", "1"}});
  writer->Gauge("coffer_blocks", help, static_cast<double>(copies.none()), {{"copies", "0"}});
  // With one storage node one copy is all there is to have.
  const bool wanting = copies.none() > 0 || (copies.one() > 0 && status->min_copies() >= 2);
  if (!wanting) under_replicated_since_.reset();
  if (wanting && !under_replicated_since_) under_replicated_since_ = now;
  const double age = wanting ? std::chrono::duration<double>(now - *under_replicated_since_).count() : 0;
  writer->Gauge("coffer_under_replicated_oldest_seconds", "How long there have been blocks with too few copies, without a break.", age);
  WriteResync(*status, writer);
  WriteMembers(*status, writer);
  WriteForce(status->force(), writer);
  writer->Gauge("coffer_epoch", "Version of the layout.", static_cast<double>(status->epoch()));
  writer->Gauge("coffer_partitions", "Partitions of the cluster.", status->partitions());
  writer->Gauge("coffer_partitions_writable", "Partitions that accept writes now.", status->partitions_writable());
  writer->Gauge("coffer_partitions_readable", "Partitions whose chunks can be read now.", status->partitions_readable());
  int broken = 0;
  for (const auto& invariant : status->invariants()) broken += invariant.holds() ? 0 : 1;
  writer->Gauge("coffer_invariants_broken", "Invariants of the status that do not hold now.", broken);
  writer->Gauge("coffer_min_copies", "Copies every acknowledged write has.", status->min_copies());
}

std::optional<v1::Status> AskStatus(router::Api* api, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  auto answer = std::make_shared<Answer>();
  const auto handle = api->Invoke(router::Method::kClusterGetStatus, v1::GetStatusRequest().SerializeAsString(), until,
                                  {"metrics", ""}, answer);
  const auto message = answer->Wait(until);
  v1::GetStatusResponse response;
  if (message && response.ParseFromString(*message)) return std::move(*response.mutable_status());
  if (handle) handle->Cancel();
  return std::nullopt;
}

}  // namespace coffer::server
