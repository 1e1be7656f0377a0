#include "client/command/status_screen.h"

#include <algorithm>
#include <vector>

#include "client/command/format.h"
#include "coffer/v1/cluster.pb.h"

namespace coffer::command {
namespace {

constexpr const char* kRed = "\033[31m";
constexpr const char* kGreen = "\033[32m";
constexpr const char* kYellow = "\033[33m";
constexpr const char* kBold = "\033[1m";
constexpr const char* kPlain = "\033[0m";

// Lines that know their colour; the text itself never holds an escape, so that widths stay true.
struct Line {
  std::string text;
  const char* colour = nullptr;
  std::size_t coloured = std::string::npos;  // bytes from the start that take the colour
};
using Lines = std::vector<Line>;

std::size_t Width(const Screen& s) {
  return static_cast<std::size_t>(std::max(s.width, 40));
}

std::string TimeOfDay(std::uint64_t ms) {
  char text[32];
  const auto s = static_cast<unsigned>(ms / 1000 % 86400);
  std::snprintf(text, sizeof text, "%02u:%02u:%02u UTC", s / 3600, s / 60 % 60, s % 60);
  return text;
}

std::string Plural(std::size_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

Line TitleLine(const v1::Status& s, std::size_t width) {
  std::size_t routers = 0;
  std::size_t witnesses = 0;
  for (const v1::MemberStatus& m : s.members()) {
    routers += m.role() == v1::MEMBER_ROLE_ROUTER;
    witnesses += m.role() == v1::MEMBER_ROLE_WITNESS;
  }
  const std::size_t nodes = static_cast<std::size_t>(s.members_size()) - routers - witnesses;
  std::string counts = "  epoch " + std::to_string(s.epoch()) + "  " + Plural(nodes, "node");
  if (witnesses > 0) counts += " " + Plural(witnesses, "witness");
  counts += " " + Plural(routers, "router");
  const std::string time = s.time_ms() > 0 ? TimeOfDay(s.time_ms()) : "";
  const std::size_t fixed = 8 + Columns(counts) + 2 + time.size();
  std::string left = "coffer  " + Cut(s.cluster_name(), width > fixed ? width - fixed : 8) + counts;
  if (time.empty() || Columns(left) + 2 + time.size() > width) return {Cut(left, width)};
  return {left + std::string(width - Columns(left) - time.size(), ' ') + time};
}

const char* VerdictColour(const v1::Status& s) {
  if (s.verdict() == v1::VERDICT_HEALTHY) return kGreen;
  return s.verdict() == v1::VERDICT_DEGRADED ? kYellow : kRed;
}

// Text after a prefix; what does not fit goes on below, under the text.
std::vector<std::string> Hang(const std::string& prefix, const std::string& text, std::size_t width) {
  std::vector<std::string> lines = Wrap(text, width - Columns(prefix));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    lines[i] = (i == 0 ? prefix : std::string(Columns(prefix), ' ')) + lines[i];
  }
  return lines;
}

// The verdict and its reason, then what to do.
void AddVerdict(const v1::Status& s, std::size_t width, Lines& out) {
  const std::string word = VerdictWord(s);
  const std::string pad(word.size() + 2, ' ');
  for (const std::string& l : Hang(word + "  ", s.reason().empty() ? "no reason given" : s.reason(), width)) {
    out.push_back({l, VerdictColour(s), out.size() == 1 ? word.size() : 0});
  }
  const std::string why = s.code().empty() ? "" : "why: coffer explain " + s.code();
  const std::string both = s.next_action() + (s.next_action().empty() || why.empty() ? "" : "   ") + why;
  if (both.empty()) return;
  if (Columns(pad + both) <= width) {
    out.push_back({pad + both});
    return;
  }
  for (const std::string& l : Hang(pad, s.next_action(), width)) out.push_back({l});
  if (!why.empty()) out.push_back({Cut(pad + why, width)});
}

bool InTrouble(const v1::MemberStatus& m) { return m.state() != v1::MEMBER_STATE_UP || m.read_only() || m.disk_slow(); }

const char* StateColour(const v1::MemberStatus& m) {
  switch (m.state()) {
    case v1::MEMBER_STATE_DOWN:
      return kRed;
    case v1::MEMBER_STATE_SUSPECT:
    case v1::MEMBER_STATE_DRAINING:
    case v1::MEMBER_STATE_JOINING:
      return kYellow;
    default:
      return m.read_only() || m.disk_slow() ? kYellow : nullptr;
  }
}

std::vector<std::string> MemberRow(const v1::MemberStatus& m) {
  const bool stores = m.role() != v1::MEMBER_ROLE_ROUTER && m.role() != v1::MEMBER_ROLE_WITNESS;
  const bool gone = m.state() == v1::MEMBER_STATE_DOWN || (m.state() == v1::MEMBER_STATE_DRAINED && m.up_seconds() == 0);
  const std::string none = "-";
  const std::string role = m.role() == v1::MEMBER_ROLE_ROUTER ? "router" : "witness";
  const auto if_stores = [&](const std::string& text) { return stores && !gone ? text : none; };
  const auto if_there = [&](const std::string& text) { return gone ? none : text; };
  char p99[32] = "-";
  if (m.p99_seconds() > 0) std::snprintf(p99, sizeof p99, m.p99_seconds() < 0.0995 ? "%.1f" : "%.0f", m.p99_seconds() * 1000);
  return {StateWord(m),
          stores ? if_stores(std::to_string(m.primaries())) : role,
          if_stores(std::to_string(m.replicas())),
          if_stores(BytesShort(static_cast<double>(m.data_bytes()))),
          if_stores(std::to_string(static_cast<int>(m.disk_used() * 100 + 0.5)) + "%"),
          if_there(RateShort(m.gets_per_second())),
          if_there(RateShort(m.puts_per_second())),
          if_there(p99),
          if_there(AgeShort(m.up_seconds()))};
}

// Which members to show in `room` rows: all, or those in trouble and as many of the others as fit.
std::vector<const v1::MemberStatus*> Choose(const v1::Status& s, std::size_t room) {
  std::vector<const v1::MemberStatus*> all;
  for (const v1::MemberStatus& m : s.members()) all.push_back(&m);
  if (all.size() <= room) return all;
  std::vector<bool> shown(all.size());
  std::size_t left = room > 0 ? room - 1 : 0;  // one row says how many are missing
  for (const bool trouble : {true, false}) {
    for (std::size_t i = 0; i < all.size() && left > 0; ++i) {
      const bool in_trouble = InTrouble(*all[i]);
      if (in_trouble != trouble || shown[i]) continue;
      shown[i] = true;
      --left;
    }
  }
  std::vector<const v1::MemberStatus*> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (shown[i]) out.push_back(all[i]);
  }
  return out;
}

void AddMembers(const v1::Status& s, std::size_t width, std::size_t room, Lines& out) {
  const auto chosen = Choose(s, room);
  Table figures({"STATE", "PRIMARY", "REPLICA", "DATA", "DISK", "GET/s", "PUT/s", "P99 ms", "UP"},
                {false, true, true, true, true, true, true, true, true});
  std::size_t name_width = 4;
  std::size_t address_width = 7;
  for (const v1::MemberStatus* m : chosen) {
    figures.Add(MemberRow(*m));
    name_width = std::max(name_width, Columns(m->name()));
    address_width = std::max(address_width, Columns(m->address()));
  }
  const std::vector<std::string> lines = figures.Lines();
  std::size_t figures_width = 0;
  for (const std::string& l : lines) figures_width = std::max(figures_width, Columns(l));
  const std::size_t left = width > figures_width + 2 ? width - figures_width - 1 : 8;
  // The name matters most, then the whole address; half an address helps nobody.
  name_width = std::min(name_width, left);
  const bool with_address = left >= name_width + 1 + address_width;
  const auto cell = [](const std::string& text, std::size_t w) {
    const std::string cut = Cut(text, w);
    return cut + std::string(w - Columns(cut) + 1, ' ');
  };
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const v1::MemberStatus* m = i == 0 ? nullptr : chosen[i - 1];
    std::string text = cell(m != nullptr ? m->name() : "NODE", name_width);
    if (with_address) text += cell(m != nullptr ? m->address() : "ADDRESS", address_width);
    out.push_back({Cut(text + lines[i], width), m != nullptr ? StateColour(*m) : kBold});
  }
  const std::size_t hidden = static_cast<std::size_t>(s.members_size()) - chosen.size();
  if (hidden == 0) return;
  std::size_t trouble = 0;
  for (const v1::MemberStatus& m : s.members()) trouble += InTrouble(m);
  for (const v1::MemberStatus* m : chosen) trouble -= InTrouble(*m);
  out.push_back(
      {Cut("… and " + std::to_string(hidden) + " more" + (trouble == 0 ? ", all up" : "") + ": coffer nodes", width)});
}

std::string ResyncWhat(const v1::ResyncStatus& r) {
  switch (r.state()) {
    case v1::RESYNC_STATE_WAITING:
      return "starts in " + std::to_string(r.starts_in_seconds()) + " s unless it returns";
    case v1::RESYNC_STATE_PAUSED:
      return kResyncPaused;
    case v1::RESYNC_STATE_BLOCKED:
      return "blocked: " + (r.last_error().empty() ? "no reason given" : r.last_error());
    default:
      return r.eta_seconds() > 0 ? "ETA " + Clock(r.eta_seconds()) : "ETA unknown yet";
  }
}

void AddResync(const v1::Status& s, std::size_t width, Lines& out) {
  if (!s.has_resync()) {
    if (s.resync_paused()) out.push_back({Cut(std::string("RESYNC  ") + kResyncPaused, width), kYellow, 6});
    return;
  }
  const v1::ResyncStatus& r = s.resync();
  const bool by_bytes = r.bytes_total() > 0;
  const std::uint64_t done = by_bytes ? r.bytes_done() : r.partitions_done();
  const std::uint64_t total = by_bytes ? r.bytes_total() : r.partitions_total();
  double share = total > 0 ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total)) : 0;
  // All bytes may be there before every partition is settled; complete is only what is complete in both.
  if (r.partitions_done() < r.partitions_total()) share = std::min(share, 0.99);
  char percent[16];
  std::snprintf(percent, sizeof percent, "%3d%%", std::min(static_cast<int>(share * 100), 100));
  const std::string bar = "  " + Bar(share, 20) + "  " + percent + "  ";
  const char* colour = r.state() == v1::RESYNC_STATE_BLOCKED ? kRed : kYellow;
  const bool running = r.state() == v1::RESYNC_STATE_RUNNING || r.state() == v1::RESYNC_STATE_UNSPECIFIED;
  const std::string head = "RESYNC  " + (r.cause().empty() ? std::string() : "cause " + r.cause());
  if (running) {
    const std::size_t rest = Columns(bar) + Columns(ResyncWhat(r));
    out.push_back({Cut(head, width > rest ? width - rest : 8) + bar + ResyncWhat(r), colour, 6});
  } else {
    std::string line = Cut(Cut(head, width / 2) + bar, width);
    line.erase(line.find_last_not_of(' ') + 1);
    out.push_back({line, colour, 6});
    for (const std::string& l : Hang("        ", ResyncWhat(r), width)) out.push_back({l, colour});
  }
  const bool counted = r.bytes_total() > 0 || r.blocks_total() > 0 || r.partitions_done() > 0;
  std::string detail = "        " + (counted ? BytesOf(r.bytes_done(), r.bytes_total()) : "counting the bytes") + "  " + Grouped(r.partitions_done()) +
                       " of " + Grouped(r.partitions_total()) + " partitions";
  if (running) detail += "  " + BytesText(r.bytes_per_second()) + "/s";
  detail += r.limit_bytes_per_second() > 0
                ? "  limit " + BytesText(static_cast<double>(r.limit_bytes_per_second())) + "/s"
                : "  no limit";
  out.push_back({Cut(detail, width)});
}

// Shown while there is something to see: a pass that runs, or what one has found.
void AddScrub(const v1::Status& s, std::size_t width, Lines& out) {
  std::uint64_t running = 0, paused = 0, bad = 0, unreadable = 0, differing = 0;
  double rate = 0;
  double read = 0, all = 0;
  for (const v1::MemberStatus& m : s.members()) {
    const v1::ScrubStatus& scrub = m.scrub();
    bad += scrub.bad_blocks();
    unreadable += scrub.unreadable_partitions();
    differing += scrub.copies_differing();
    paused += scrub.state() == v1::SCRUB_STATE_PAUSED ? 1 : 0;
    if (scrub.state() != v1::SCRUB_STATE_RUNNING) continue;
    ++running;
    rate += scrub.bytes_per_second();
    read += static_cast<double>(scrub.partitions_done());
    all += static_cast<double>(scrub.partitions_total());
  }
  if (running + paused + bad + unreadable + differing == 0) return;
  std::string line = "SCRUB   ";
  if (running > 0) {
    line += "reads on " + std::to_string(running) + (running == 1 ? " node  " : " nodes  ") +
            std::to_string(all > 0 ? std::min(99, static_cast<int>(read / all * 100)) : 0) + "%  " + BytesText(rate) + "/s  ";
  } else if (paused > 0) {
    line += "paused  ";
  }
  line += Grouped(bad) + " bad";
  if (unreadable > 0) line += "  " + Grouped(unreadable) + " partitions unreadable";
  if (differing > 0) line += "  " + Grouped(differing) + " copies differ";
  out.push_back({Cut(line, width), unreadable + differing > 0 ? kRed : bad > 0 ? kYellow : nullptr, 5});
}

// Shown for good once the layout was forced: what was acknowledged may be lacking.
void AddForce(const v1::Status& s, std::size_t width, Lines& out) {
  if (!s.has_force()) return;
  const v1::ForceStatus& force = s.force();
  std::string line = "FORCED  epoch " + std::to_string(force.epoch());
  if (force.merging() > 0) line += ", " + Grouped(force.merging()) + " partitions being merged";
  if (force.merged() > 0) line += ", " + Grouped(force.merged()) + " merged from survivors";
  if (force.lacking() > 0) line += ", " + Grouped(force.lacking()) + " lack writes";
  if (force.empty() > 0) line += ", " + Grouped(force.empty()) + " found empty";
  out.push_back({Cut(line + ": coffer layout losses", width), force.merging() + force.merged() > 0 ? kYellow : nullptr, 6});
}

std::string Names(const google::protobuf::RepeatedPtrField<std::string>& names, std::size_t columns) {
  if (names.empty()) return "none";
  std::string out;
  for (int i = 0; i < names.size(); ++i) {
    const std::string next = (i > 0 ? ", " : "") + names[i];
    const int after = names.size() - i - 1;
    const std::string more = after > 0 ? " +" + std::to_string(after) : "";
    if (Columns(out + next + more) > columns && i > 0) return out + " +" + std::to_string(after + 1);
    out += next;
  }
  return Cut(out, columns);
}

void AddCopies(const v1::Status& s, std::size_t width, Lines& out) {
  const v1::CopyCounts& c = s.copies();
  const std::uint64_t all = c.two_or_more() + c.one() + c.none();
  const auto part = [&](std::uint64_t n) {
    return n == 0 ? std::string("0") : Percent(n, all) + " (" + Grouped(n) + ")";
  };
  std::string text =
      "COPIES  2: " + Percent(c.two_or_more(), all) + "   1: " + part(c.one()) + "   0: " + part(c.none());
  if (all == 0) text = "COPIES  no data yet";
  const char* colour = c.none() > 0 ? kRed : c.one() > 0 ? kYellow : nullptr;
  const std::string label = "MAY STOP NOW  ";
  const std::size_t room = width > Columns(text) + 4 + label.size() ? width - Columns(text) - 4 - label.size() : 0;
  const std::string names = Names(s.may_stop_now(), std::max<std::size_t>(room, 8));
  if (Columns(names) <= room) {
    out.push_back({text + "    " + label + names, colour, 6});
    return;
  }
  out.push_back({Cut(text, width), colour, 6});
  out.push_back({Cut(label + Names(s.may_stop_now(), width - label.size()), width)});
}

// Broken ones first and apart; the others on as few lines as possible.
void AddInvariants(const v1::Status& s, std::size_t width, Lines& out) {
  std::string held;
  for (const v1::Invariant& i : s.invariants()) {
    if (i.holds()) {
      held += (held.empty() ? "" : " · ") + i.sentence();
      continue;
    }
    for (const std::string& l : Hang("NOT TRUE: ", i.sentence(), width)) out.push_back({l, kRed});
  }
  if (held.empty()) return;
  for (const std::string& l : Wrap(held, width)) out.push_back({l});
}

}  // namespace

const char* VerdictWord(const v1::Status& s) {
  switch (s.verdict()) {
    case v1::VERDICT_HEALTHY:
      return "HEALTHY";
    case v1::VERDICT_DEGRADED:
      return "DEGRADED";
    case v1::VERDICT_UNAVAILABLE:
      return "UNAVAILABLE";
    default:
      return "UNKNOWN";
  }
}

std::string StateWord(const v1::MemberStatus& m) {
  switch (m.state()) {
    case v1::MEMBER_STATE_UP:
      return m.read_only() ? "read-only" : m.disk_slow() ? "slow disk" : "up";
    case v1::MEMBER_STATE_SUSPECT:
      return "suspect " + AgeShort(m.state_seconds());
    case v1::MEMBER_STATE_DOWN:
      return "down " + AgeShort(m.state_seconds());
    case v1::MEMBER_STATE_DRAINING:
      return "draining";
    case v1::MEMBER_STATE_DRAINED:
      return "drained";
    case v1::MEMBER_STATE_JOINING:
      return "joining";
    default:
      return "unknown";
  }
}

std::string RenderStatus(const v1::Status& s, const Screen& screen) {
  const std::size_t width = Width(screen);
  Lines top{TitleLine(s, width)};
  AddVerdict(s, width, top);
  Lines bottom;
  AddResync(s, width, bottom);
  AddScrub(s, width, bottom);
  AddForce(s, width, bottom);
  AddCopies(s, width, bottom);
  AddInvariants(s, width, bottom);
  const auto height = static_cast<std::size_t>(screen.height < 12 ? 100000 : screen.height);
  std::size_t room = static_cast<std::size_t>(s.members_size());
  const std::size_t used = top.size() + 1 + bottom.size();
  if (used + room > height) room = height > used + 3 ? height - used : 3;
  Lines all = std::move(top);
  AddMembers(s, width, room, all);
  all.insert(all.end(), bottom.begin(), bottom.end());
  if (all.size() > height) all.resize(height);
  std::string text;
  for (const Line& l : all) {
    if (!screen.colour || l.colour == nullptr) {
      text += l.text + "\n";
      continue;
    }
    const std::size_t n = std::min(l.coloured, l.text.size());
    text += l.colour + l.text.substr(0, n) + kPlain + l.text.substr(n) + "\n";
  }
  return text;
}

}  // namespace coffer::command
