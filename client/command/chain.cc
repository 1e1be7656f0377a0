// coffer chain: append-only series of entries.
#include <CLI/CLI.hpp>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/command.h"
#include "client/command/format.h"
#include "client/command/registry.h"
#include "client/command/whole_number.h"
#include "proto/mutex.h"

namespace coffer::command {
namespace {

// Entries per request: of an append as the protocol bounds it, of a read so that an answer stays small.
constexpr std::size_t kAppendAtOnce = 1000;
constexpr std::uint64_t kReadAtOnce = 256;
// Bytes of bodies per append; well within the chunk limit.
constexpr std::size_t kAppendBytes = 1u << 20;

void PrintEntry(Session& session, const client::Entry& e, bool raw) {
  const bool text = Printable(e.body);
  if (session.json()) {
    nlohmann::json j{
        {"position", e.position}, {"hash", Hex(e.hash.view())}, {"predecessor", Hex(e.predecessor.view())}};
    j[text ? "body" : "body_hex"] = text ? e.body : Hex(e.body);
    if (!e.signature.empty()) j["signature_hex"] = Hex(e.signature);
    session.out() << j.dump() << "\n";
  } else if (raw) {
    session.out() << e.body << "\n";
  } else {
    session.out() << e.position << "  " << (text ? e.body : "hex:" + Hex(e.body)) << "\n";
  }
}

// Checks that an entry is what its hash says; a router that answers nonsense is found here.
void Verify(const BlockId& chain, const client::Entry& e) {
  if (client::EntryHash(chain, e.position, e.predecessor, e.signature, e.body) == e.hash) return;
  throw CommandError(kExitFailure, "entry " + std::to_string(e.position) + " does not match its hash; it is not shown");
}

struct AppendArguments {
  std::string chain;
  std::vector<std::string> bodies;
  std::optional<std::uint64_t> position;
};

// The hash an entry at `position` has to name.
Digest PredecessorOf(Session& session, const BlockId& chain, std::uint64_t position) {
  if (position == 0) return {};
  const auto r = Need(session.client().Read(chain, client::Part::Range(position - 1, position)).Get(),
                      "can't read the entry before position " + std::to_string(position));
  if (r.entries.size() != 1) {
    throw CommandError(kExitFailure, "the chain has " + std::to_string(r.head.length) +
                                         " entries; nothing can stand at position " + std::to_string(position) +
                                         " yet\n  nothing was appended");
  }
  Verify(chain, r.entries.front());
  return r.entries.front().hash;
}

// Appends one batch where the chain ends and moves `head` there. Tries again when another writer was faster.
bool AppendBatch(Session& session, const std::string& name, const BlockId& chain, std::vector<client::NewEntry> batch,
                 client::Head& head, bool fixed) {
  const auto deadline = std::chrono::steady_clock::now() + session.client().options().timeout;
  for (;;) {
    const auto r = session.client().Append(chain, head.length, head.hash, batch).Get();
    if (r.ok()) {
      head = r->head;
      return r->already_existed;
    }
    const bool lost_race = r.status.code == client::Code::kAborted && r.status.conflict &&
                           r.status.retry_class == client::RetryClass::kFailed;
    if (!fixed && lost_race && std::chrono::steady_clock::now() < deadline) {
      head.length = r.status.conflict->length;
      head.hash = Digest::Must(r.status.conflict->hash);
      continue;
    }
    std::string text = Explain("can't append to the chain", r.status);
    if (r.status.retry_class == client::RetryClass::kOutcomeUnknown && !fixed) {
      // The same command would append at another place: only the same position makes it the same append.
      text = "can't append to the chain: " + r.status.message +
             "\n  outcome unknown: the entries may or may not stand at position " + std::to_string(head.length) +
             "\n  safe to repeat as: coffer chain append " + name + " --position " + std::to_string(head.length) +
             " ...\n";
    } else if (lost_race) {
      text += "  the chain has " + std::to_string(r.status.conflict->length) + " entries now; nothing was appended\n";
    }
    throw CommandError(ExitFor(r.status), text);
  }
}

int Append(Session& session, const AppendArguments& a) {
  const BlockId chain = ChainIdOf(a.chain);
  client::Head head;
  if (a.position) {
    head = {*a.position, PredecessorOf(session, chain, *a.position)};
  } else {
    head = Need(session.client().Heads({chain}).Get(), "can't find the end of the chain").front();
  }
  std::size_t next = 0;
  std::uint64_t appended = 0;
  bool all_existed = true;
  const auto read_one = [&](std::string& body) {
    if (a.bodies.empty()) return static_cast<bool>(std::getline(session.in(), body));
    if (next == a.bodies.size()) return false;
    body = a.bodies[next++];
    return true;
  };
  std::string body;
  bool more = read_one(body);
  while (more) {
    std::vector<client::NewEntry> batch;
    std::size_t bytes = 0;
    while (more && batch.size() < kAppendAtOnce && (batch.empty() || bytes + body.size() <= kAppendBytes)) {
      bytes += body.size();
      batch.push_back({std::move(body), ""});
      body.clear();
      more = read_one(body);
    }
    appended += batch.size();
    all_existed = AppendBatch(session, a.chain, chain, std::move(batch), head, a.position.has_value()) && all_existed;
  }
  if (appended == 0) throw UsageError("there is nothing to append: give bodies, or lines on standard input");
  if (session.json()) {
    session.out() << nlohmann::json{{"chain", Hex(chain.view())},
                                    {"appended", appended},
                                    {"length", head.length},
                                    {"hash", Hex(head.hash.view())},
                                    {"already_existed", all_existed}}
                         .dump()
                  << "\n";
  } else {
    session.out() << "position " << head.length - 1 << "  length " << head.length
                  << (all_existed ? "  (was there already)" : "") << "\n";
  }
  return kExitOk;
}

struct ReadArguments {
  std::string chain;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  bool backwards = false;
  bool local = false;
  bool raw = false;
};

// The range asked for, given where the chain ends.
std::pair<std::uint64_t, std::uint64_t> RangeOf(const ReadArguments& a, std::uint64_t length) {
  if (a.first > 0) return {0, std::min(a.first, length)};
  if (a.last > 0) return {length - std::min(a.last, length), length};
  return {std::min(a.from, length), a.to == 0 ? length : std::min(a.to, length)};
}

int Read(Session& session, const ReadArguments& a) {
  if (a.to != 0 && a.to < a.from) throw UsageError("--to is below --from: the range goes from the one up to before the other");
  const BlockId chain = ChainIdOf(a.chain);
  client::CallOptions options;
  options.local = a.local;
  // The first page tells where the chain ends; from there on positions are fixed, whatever is appended meanwhile.
  const auto probe = Need(session.client().Read(chain, client::Part::Last(1), options).Get(), "can't read the chain");
  const auto [from, to] = RangeOf(a, probe.head.length);
  if (a.local && probe.staleness.count() > 0) {
    session.err() << "coffer: note: a local answer, up to " << probe.staleness.count() << " ms old\n";
  }
  for (std::uint64_t done = 0; done < to - std::min(from, to);) {
    const std::uint64_t n = std::min(kReadAtOnce, to - from - done);
    const client::Part part = a.backwards ? client::Part::Range(to - done - n, to - done).Backwards()
                                          : client::Part::Range(from + done, from + done + n);
    const auto page = Need(session.client().Read(chain, part, options).Get(), "can't read the chain");
    if (page.entries.empty())
      throw CommandError(kExitFailure, "the answer ends before the range does; the copy that answered holds less");
    for (const client::Entry& e : page.entries) {
      Verify(chain, e);
      PrintEntry(session, e, a.raw);
    }
    done += page.entries.size();
  }
  return kExitOk;
}

int ShowHead(Session& session, const std::vector<std::string>& names, bool local) {
  std::vector<BlockId> chains;
  for (const std::string& n : names) chains.push_back(ChainIdOf(n));
  client::CallOptions options;
  options.local = local;
  const auto heads = Need(session.client().Heads(chains, options).Get(), "can't find the end of the chain");
  bool all = true;
  for (std::size_t i = 0; i < heads.size(); ++i) {
    all = all && heads[i].length > 0;
    if (session.json()) {
      session.out() << nlohmann::json{{"chain", Hex(chains[i].view())},
                                      {"length", heads[i].length},
                                      {"hash", Hex(heads[i].hash.view())}}
                           .dump()
                    << "\n";
    } else {
      if (names.size() > 1) session.out() << names[i] << "  ";
      session.out() << "length " << heads[i].length << "  hash " << Hex(heads[i].hash.view()) << "\n";
    }
  }
  return all ? kExitOk : kExitNotFound;
}

struct TailArguments {
  std::string chain;
  std::uint64_t lines = 10;
  bool follow = false;
  bool raw = false;
  std::uint64_t count = 0;
};

int Follow(Session& session, const BlockId& chain, std::uint64_t from, const TailArguments& a) {
  struct Shared {
    Mutex lock;
    Condition changed;
    std::vector<client::Entry> entries ABSL_GUARDED_BY(lock);
    std::optional<client::Status> end ABSL_GUARDED_BY(lock);
  };
  auto shared = std::make_shared<Shared>();
  const client::Ticket ticket = session.client().Watch(
      chain, from, {},
      [shared](std::vector<client::Entry> fresh) {
        MutexLock guard(shared->lock);
        for (client::Entry& e : fresh) shared->entries.push_back(std::move(e));
        shared->changed.NotifyAll();
      },
      [shared](client::Result<client::Done> end) {
        MutexLock guard(shared->lock);
        shared->end = end.status;
        shared->changed.NotifyAll();
      });
  const auto limit = session.timeout();
  const auto until = std::chrono::steady_clock::now() + limit.value_or(std::chrono::hours(24 * 365));
  for (std::uint64_t shown = 0;;) {
    std::vector<client::Entry> batch;
    std::optional<client::Status> end;
    {
      MutexLock guard(shared->lock);
      const auto ready = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared->lock) {
        return !shared->entries.empty() || shared->end;
      };
      shared->changed.WaitUntil(shared->lock, until, ready);
      batch.swap(shared->entries);
      end = shared->end;
    }
    if (batch.empty() && end) Fail("the chain can't be followed any further", *end);
    if (batch.empty()) {
      ticket.Cancel();
      return kExitTimeout;
    }
    for (const client::Entry& e : batch) {
      Verify(chain, e);
      PrintEntry(session, e, a.raw);
      if (a.count > 0 && ++shown == a.count) {
        ticket.Cancel();
        return kExitOk;
      }
    }
    session.out() << std::flush;
    if (!session.out()) return kExitOk;
  }
}

int Tail(Session& session, const TailArguments& a) {
  const BlockId chain = ChainIdOf(a.chain);
  const auto head = Need(session.client().Heads({chain}).Get(), "can't find the end of the chain").front();
  if (head.length == 0 && !a.follow) throw CommandError(kExitNotFound, "there is no chain \"" + a.chain + "\"");
  const std::uint64_t from = head.length - std::min(a.lines, head.length);
  if (a.follow) return Follow(session, chain, from, a);
  ReadArguments read;
  read.chain = a.chain;
  read.from = from;
  read.to = head.length;
  read.raw = a.raw;
  return a.lines == 0 ? static_cast<int>(kExitOk) : Read(session, read);
}

int Remove(Session& session, const std::string& name, bool yes) {
  const BlockId chain = ChainIdOf(name);
  const auto head = Need(session.client().Heads({chain}).Get(), "can't find the chain").front();
  session.err() << "This deletes the chain " << name << " with its " << Grouped(head.length) << " entries, for good.\n";
  if (!yes && !session.Confirm("Delete it?")) {
    session.err() << "nothing was changed\n";
    return kExitFailure;
  }
  Need(session.client().DeleteChain(chain).Get(), "can't delete the chain");
  if (session.json()) {
    session.out() << nlohmann::json{{"chain", Hex(chain.view())}, {"entries_deleted", head.length}}.dump() << "\n";
  } else {
    session.out() << "deleted the chain " << name << "\n";
  }
  return kExitOk;
}

constexpr const char* kChainHelp = "A name: any text stands for its SHA-256; 64 hexadecimal digits are the id itself";

void AddChainRead(CLI::App& cmd, Session& session) {
  auto a = std::make_shared<ReadArguments>();
  CLI::App* read = cmd.add_subcommand("read", "Entries of a chain, verified");
  read->footer(
      "  coffer chain read log                    all of it\n"
      "  coffer chain read log --last 10 --backwards\n"
      "  coffer chain read log --from 100 --to 200 -o json\n"
      "  coffer chain read log --local            from any copy, without asking the others");
  read->add_option("chain", a->chain, kChainHelp)->required();
  CLI::Option* first = read->add_option("--first", a->first, "The first N entries")->transform(WholeNumber(1));
  CLI::Option* last =
      read->add_option("--last", a->last, "The last N entries")->transform(WholeNumber(1))->excludes(first);
  read->add_option("--from", a->from, "From this position")->transform(WholeNumber())->excludes(first)->excludes(last);
  read->add_option("--to", a->to, "Up to but without this position")
      ->transform(WholeNumber(1))
      ->excludes(first)
      ->excludes(last);
  read->add_flag("--backwards", a->backwards, "Newest first");
  read->add_flag("--local", a->local, "Any copy may answer; says how old the answer may be");
  read->add_flag("--raw", a->raw, "Bodies only, one per line, as they are");
  read->callback([&session, a] { session.action = [&session, a] { return Read(session, *a); }; });
}

void AddChainTail(CLI::App& cmd, Session& session) {
  auto a = std::make_shared<TailArguments>();
  CLI::App* tail = cmd.add_subcommand("tail", "The last entries, and with -f every new one");
  tail->footer(
      "  coffer chain tail log\n  coffer chain tail -f log -o json      one JSON object per line, until interrupted");
  tail->add_option("chain", a->chain, kChainHelp)->required();
  tail->add_option("-n,--lines", a->lines, "Start with the last N entries")->transform(WholeNumber())->capture_default_str();
  tail->add_flag("-f,--follow", a->follow, "Go on with every entry that is appended");
  tail->add_flag("--raw", a->raw, "Bodies only");
  tail->add_option("--count", a->count, "With -f: end after so many entries")->transform(WholeNumber());
  tail->callback([&session, a] { session.action = [&session, a] { return Tail(session, *a); }; });
}

}  // namespace

void AddChain(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("chain", "Append to, read, follow, delete chains");
  cmd->footer(
      "  coffer chain append log \"hello\"     a name stands for its SHA-256; 64 hex digits are an id\n"
      "  coffer chain read log --last 10\n"
      "  coffer chain tail -f log\n"
      "  coffer chain head log");
  auto append = std::make_shared<AppendArguments>();
  CLI::App* add = cmd->add_subcommand("append", "Append entries; prints the position of the last");
  add->footer(
      "  coffer chain append log \"one\" \"two\"       two entries, both or none\n"
      "  journalctl | coffer chain append log       each line an entry\n"
      "  coffer chain append log --position 7 x     only if the chain has 7 entries; safe to repeat");
  add->add_option("chain", append->chain, kChainHelp)->required();
  add->add_option("body", append->bodies, "Bodies; without any, lines of standard input");
  add->add_option("--position", append->position, "Append here or not at all")->transform(WholeNumber());
  add->callback([&session, append] { session.action = [&session, append] { return Append(session, *append); }; });
  AddChainRead(*cmd, session);
  auto names = std::make_shared<std::vector<std::string>>();
  auto local = std::make_shared<bool>(false);
  CLI::App* head = cmd->add_subcommand("head", "Length and last hash; exits 3 if a chain does not exist");
  head->add_option("chain", *names, kChainHelp)->required();
  head->add_flag("--local", *local, "Any copy may answer");
  head->callback([&session, names, local] {
    session.action = [&session, names, local] { return ShowHead(session, *names, *local); };
  });
  AddChainTail(*cmd, session);
  auto name = std::make_shared<std::string>();
  auto yes = std::make_shared<bool>(false);
  CLI::App* remove = cmd->add_subcommand("rm", "Delete a chain with all its entries for good");
  remove->add_option("chain", *name, kChainHelp)->required();
  remove->add_flag("--yes", *yes, "Do not ask");
  remove->callback(
      [&session, name, yes] { session.action = [&session, name, yes] { return Remove(session, *name, *yes); }; });
}

}  // namespace coffer::command
