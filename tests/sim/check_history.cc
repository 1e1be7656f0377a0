// check_history < HISTORY: what the simulator's checkers say of a history that clients of real processes recorded (I6 to I10).
//
// One JSON object per line and operation; ids, bodies and hashes in hexadecimal, times in seconds on one clock:
//   {"kind": "put", "target": ID, "began": T, "ended": T or null, "outcome": "ok"|"failed"|"unknown", "value": DIGEST}
//   get: "result": DIGEST or null (absent) · delete · append: "position": N, "body": BODY
//   read: "result": [{"position", "body", "hash", "predecessor"}, ...] of the whole chain, or null (absent) · remove: a chain's deletion
// An operation of unknown outcome has not ended. Prints a line for each promise that is broken, and ends with 1 if there is one, with 2 if the
// history can't be read.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "node/core/replica.h"
#include "sim/check_chains.h"
#include "sim/check_chunks.h"

namespace coffer::sim {
namespace {

using Json = nlohmann::json;
using Complaint = std::optional<std::string>;

struct Operation {
  std::string kind, target, outcome;
  double began = 0;
  std::optional<double> ended;
  Json record;
  ChunkChecker::Token chunk;
  ChainChecker::Token chain;
};

std::string Bytes(const Json& hex) {
  const auto bytes = FromHex(hex.get<std::string>());
  if (!bytes) throw std::invalid_argument("no hexadecimal: " + hex.dump());
  return *bytes;
}

Operation Parsed(const std::string& line) {
  Operation o;
  o.record = Json::parse(line);
  o.kind = o.record.at("kind");
  o.target = Bytes(o.record.at("target"));
  o.outcome = o.record.at("outcome");
  o.began = o.record.at("began");
  if (!o.record.at("ended").is_null()) o.ended = o.record.at("ended").get<double>();
  return o;
}

class Replay {
 public:
  void Begin(Operation& o) {
    if (o.kind == "put") {
      o.chunk = chunks_.BeginPut(o.target, o.record.at("value"));
    } else if (o.kind == "get") {
      o.chunk = chunks_.Begin(o.target);
    } else if (o.kind == "delete") {
      o.chunk = chunks_.BeginDelete(o.target);
    } else if (o.kind == "append") {
      o.chain = chains_.BeginAppend(o.target, o.record.at("position"), {Bytes(o.record.at("body"))});
    } else if (o.kind == "read") {
      o.chain = chains_.Begin(o.target);
    } else if (o.kind == "remove") {
      o.chain = chains_.BeginDelete(o.target);
    } else {
      throw std::invalid_argument("no kind of operation: " + o.kind);
    }
  }

  // Of reads that failed nothing follows; of writes, that they did not happen and will not.
  Complaint End(const Operation& o) {
    const bool ok = o.outcome == "ok";
    if (o.kind == "put") return chunks_.EndPut(o.chunk, ok ? Outcome::kOk : Outcome::kNotDone);
    if (o.kind == "append") return ok ? chains_.EndAppend(o.chain) : chains_.EndRefused(o.chain);
    if (!ok) return std::nullopt;
    if (o.kind == "delete") return chunks_.EndDelete(o.chunk, Outcome::kOk);
    if (o.kind == "remove") {
      chains_.EndDelete(o.chain);
      return std::nullopt;
    }
    const Json& result = o.record.at("result");
    if (o.kind == "get") {
      // Through routers: any holder may have answered (R13.1).
      return result.is_null() ? chunks_.EndGet(o.chunk, Outcome::kNotFound, "", false) : chunks_.EndGet(o.chunk, Outcome::kOk, result, false);
    }
    return result.is_null() ? chains_.EndGone(o.chain, false) : EndRead(o, result);
  }

 private:
  // Each entry continues the one before it, by position and hash.
  Complaint EndRead(const Operation& o, const Json& result) {
    std::vector<std::string> bodies;
    Digest before;
    for (const Json& entry : result) {
      const std::string at = std::to_string(bodies.size());
      bodies.push_back(Bytes(entry.at("body")));
      if (entry.at("position") != bodies.size() - 1) return "chain " + Hex(o.target).substr(0, 8) + " has a gap before entry " + at + " (I8)";
      const Digest hash = node::EntryHash(BlockId::Must(o.target), bodies.size() - 1, before, "", bodies.back());
      if (Bytes(entry.at("predecessor")) != before.str() || Bytes(entry.at("hash")) != hash.str()) {
        return "chain " + Hex(o.target).substr(0, 8) + ": entry " + at + " does not continue the one before it (I8)";
      }
      before = hash;
    }
    return chains_.EndRead(o.chain, bodies);
  }

  ChunkChecker chunks_;
  ChainChecker chains_;
};

// Where times are equal, what begins comes first: then nothing is taken to have been over before something else began.
struct Event {
  double time;
  bool end;
  std::size_t operation;
};

std::vector<std::string> Judge(std::vector<Operation>& history) {
  std::vector<Event> events;
  for (std::size_t i = 0; i < history.size(); ++i) {
    events.push_back({history[i].began, false, i});
    if (history[i].ended) events.push_back({*history[i].ended, true, i});
  }
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return std::tie(a.time, a.end) < std::tie(b.time, b.end); });
  std::vector<std::string> found;
  Replay replay;
  for (const Event& event : events) {
    Operation& o = history[event.operation];
    if (!event.end) {
      replay.Begin(o);
    } else if (auto complaint = replay.End(o)) {
      found.push_back(*complaint);
    }
  }
  return found;
}

int Run() {
  std::vector<Operation> history;
  for (std::string line; std::getline(std::cin, line);) history.push_back(Parsed(line));
  const auto found = Judge(history);
  for (const std::string& text : found) std::cout << text << "\n";
  return found.empty() ? 0 : 1;
}

}  // namespace
}  // namespace coffer::sim

int main() {
  try {
    return coffer::sim::Run();
  } catch (const std::exception& e) {
    std::cerr << "check_history: " << e.what() << "\n";
    return 2;
  }
}
