// What can be seen of a simulated cluster from outside.
#include <algorithm>
#include <sstream>

#include <google/protobuf/text_format.h>

#include "sim/sim_cluster.h"

namespace coffer::sim {
namespace {

// Ids and hashes by their first bytes.
class ShortBytes : public google::protobuf::TextFormat::FastFieldValuePrinter {
 public:
  void PrintBytes(const std::string& bytes, google::protobuf::TextFormat::BaseTextGenerator* out) const override {
    out->PrintString(Hex(bytes.substr(0, 4)));
  }
};

bool IsGossip(int kind) {
  using K = coffer::internal::v1::Peer::KindCase;
  return kind == K::kPing || kind == K::kPingAck || kind == K::kPingRequest || kind == K::kPingNack || kind == K::kPushPull;
}

}  // namespace

void SimCluster::NoteMessage(const NodeId& from, const NodeId& to, const PeerMessage& message) {
  if (!messages || IsGossip(message.header.kind_case())) return;
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetDefaultFieldValuePrinter(new ShortBytes);
  std::string text;
  printer.PrintToString(message.header, &text);
  auto name = [&](const NodeId& id) {
    const auto i = IndexOf(id);
    return i ? process(*i).name : "client-" + std::to_string(id.bytes[0]);
  };
  Note("  " + name(from) + " -> " + name(to) + ": " + text);
}

std::shared_ptr<const cluster::Layout> SimCluster::Newest() const {
  std::shared_ptr<const cluster::Layout> newest;
  for (const auto& n : nodes_) {
    if (!n->core) continue;
    auto layout = n->core->layout();
    if (layout && (!newest || layout->epoch > newest->epoch)) newest = std::move(layout);
  }
  return newest;
}

bool SimCluster::Settled() const {
  const auto newest = Newest();
  if (!newest) return false;
  for (const auto& n : nodes_) {
    if (n->core && (!n->core->layout() || n->core->layout()->epoch != newest->epoch)) return false;
    if (n->core && n->role == 1 && newest->IndexOf(n->id) == cluster::kNoMember) return false;
  }
  for (const auto& m : newest->members) {
    const auto i = IndexOf(m.id);
    // A witness is never in a goal: only by its place among the voters is it missed, and it keeps that without another candidate.
    if (i && Up(*i) == m.down && !(m.witness && !m.down)) return false;
  }
  return std::all_of(newest->partitions.begin(), newest->partitions.end(), [](const auto& g) { return g.AtGoal(); });
}

bool SimCluster::AllWritable() const {
  const auto newest = Newest();
  if (!newest) return false;
  int writable = 0;
  for (const auto& n : nodes_) {
    if (!n->core || !n->core->layout() || n->core->layout()->epoch != newest->epoch) continue;
    const auto report = n->core->Report(NodeNow(*n));
    for (const auto& line : report.primaries()) writable += line.writable() ? 1 : 0;
  }
  return writable == static_cast<int>(partitions_);
}

bool SimCluster::AllKnownAlive() const {
  for (const auto& n : nodes_) {
    if (!n->core) continue;
    const auto members = n->core->members();
    for (const auto& other : nodes_) {
      if (!other->core) continue;
      const auto known = members->find(other->id);
      if (known == members->end() || known->second.state != cluster::Liveness::kAlive) return false;
    }
  }
  return true;
}

std::string SimCluster::Describe() const {
  std::ostringstream out;
  const auto newest = Newest();
  out << "t=" << std::chrono::duration<double>(now_.time_since_epoch()).count();
  if (newest) {
    out << " epoch " << newest->epoch.value << " min_copies " << newest->settings.min_copies << " voters";
    for (const auto v : newest->voters) out << " " << newest->members[v].name;
    out << " members";
    for (const auto& m : newest->members) out << " " << m.name << (m.down ? "(down)" : "") << (m.draining ? "(draining)" : "");
    for (PartitionId p = 0; p < newest->partition_count() && p < 12; ++p) {
      const auto& g = newest->group(p);
      out << "\n  p" << p << " primary " << g.primary << " term " << g.term.value << " in_sync";
      for (const auto m : g.in_sync) out << " " << m;
      out << " goal";
      for (const auto m : g.goal) out << " " << m;
    }
  }
  for (const auto& n : nodes_) {
    out << "\n  " << n->name << " " << Short(n->id) << (n->core ? " up" : " down") << (n->paused ? " paused" : "") << " epoch "
        << (n->core && n->core->layout() ? n->core->layout()->epoch.value : 0);
    if (!n->core) continue;
    const auto report = n->core->Report(NodeNow(*n));
    if (report.self().learners() > 0) out << ", learns " << report.self().learners() << " partitions";
    if (!report.resync().last_error().empty()) out << ", resync: " << report.resync().last_error();
    for (const auto& line : report.primaries()) {
      if (!line.writable()) out << ", p" << line.partition() << " takes no writes";
    }
  }
  return out.str();
}

}  // namespace coffer::sim
