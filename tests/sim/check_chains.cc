#include "sim/check_chains.h"

#include <algorithm>

#include "cluster/ids.h"

namespace coffer::sim {
namespace {

std::string Name(const std::string& chain) { return "chain " + Hex(chain).substr(0, 8); }

}  // namespace

ChainChecker::Token ChainChecker::Begin(const std::string& chain) {
  Token token{chain, lengths_[chain], chains_[chain].deleted};
  token.age = ages_[chain];
  return token;
}

void ChainChecker::Forgive(const std::string& chain, std::uint64_t length, bool delete_too) {
  Known& known = chains_[chain];
  if (known.entries.size() > length) known.entries.resize(length);
  ++known.changes;
  lengths_[chain] = std::min(lengths_[chain], length);
  if (delete_too) known.deleted = false;
  ++ages_[chain];
  std::erase_if(refused_, [&](const std::string& body) {
    const auto& [of, position] = asked_.at(body);
    return of == chain && position >= length;
  });
}

ChainChecker::Token ChainChecker::BeginAppend(const std::string& chain, std::uint64_t position, std::vector<std::string> bodies) {
  Token token = Begin(chain);
  token.position = position;
  for (std::size_t i = 0; i < bodies.size(); ++i) asked_[bodies[i]] = {chain, position + i};
  token.bodies = std::move(bodies);
  return token;
}

ChainChecker::Token ChainChecker::BeginDelete(const std::string& chain) {
  chains_[chain].delete_begun = true;
  return Begin(chain);
}

ChainChecker::Complaint ChainChecker::Seen(const std::string& chain, std::uint64_t position, const std::vector<std::string>& bodies) {
  Known& known = chains_[chain];
  std::vector<std::string>& entries = known.entries;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    const std::uint64_t at = position + i;
    // What was seen there before was asked for there. That it was refused would have been noticed then, or when it was.
    if (at < entries.size() && !bodies[i].empty() && entries[at] == bodies[i]) continue;
    const auto asked = asked_.find(bodies[i]);
    if (asked == asked_.end() || asked->second.first != chain || asked->second.second != at) {
      return Name(chain) + ": nobody appended what is at position " + std::to_string(at);
    }
    if (refused_.contains(bodies[i])) return Name(chain) + ": an append was refused for good, yet it is at position " + std::to_string(at);
    if (at < entries.size() && !entries[at].empty() && entries[at] != bodies[i]) {
      return Name(chain) + " forks: two entries at position " + std::to_string(at) + " (I6)";
    }
    if (at >= entries.size()) entries.resize(at + 1);
    entries[at] = bodies[i];
    ++known.changes;
  }
  lengths_[chain] = std::max(lengths_[chain], position + bodies.size());
  return std::nullopt;
}

ChainChecker::Complaint ChainChecker::EndAppend(const Token& token) {
  if (token.age != ages_[token.chain]) return std::nullopt;
  if (token.deleted) return Name(token.chain) + " was appended to after its delete was acknowledged (I10)";
  if (token.position < token.floor) {
    return Name(token.chain) + ": an append to position " + std::to_string(token.position) + " succeeded though " +
           std::to_string(token.floor) + " entries were seen before it began";
  }
  return Seen(token.chain, token.position, token.bodies);
}

ChainChecker::Complaint ChainChecker::EndRefused(const Token& token) {
  if (token.age != ages_[token.chain]) return std::nullopt;
  const std::vector<std::string>& entries = chains_[token.chain].entries;
  for (std::size_t i = 0; i < token.bodies.size(); ++i) {
    const std::uint64_t at = token.position + i;
    if (at < entries.size() && entries[at] == token.bodies[i]) {
      return Name(token.chain) + ": an append was refused for good, yet it was seen at position " + std::to_string(at);
    }
    refused_.insert(token.bodies[i]);
  }
  return std::nullopt;
}

ChainChecker::Complaint ChainChecker::EndConflict(const Token& token, std::uint64_t length) {
  if (token.age != ages_[token.chain]) return std::nullopt;
  if (auto why = EndRefused(token)) return why;
  if (auto why = EndHead(token, length)) return why;
  // Where `layout force` shortened the chain, a writer may still go by what stood there before.
  if (length <= token.position && ages_[token.chain] == 0) {
    return Name(token.chain) + ": an append to position " + std::to_string(token.position) + " was refused; the chain is said to have " +
           std::to_string(length) + " entries";
  }
  return std::nullopt;
}

ChainChecker::Complaint ChainChecker::EndHead(const Token& token, std::uint64_t length) {
  if (token.age != ages_[token.chain]) return std::nullopt;
  if (length < token.floor) {
    return Name(token.chain) + " has " + std::to_string(length) + " entries; " + std::to_string(token.floor) + " were seen before (I9)";
  }
  if (token.deleted) return Name(token.chain) + " is there after its delete was acknowledged (I10)";
  lengths_[token.chain] = std::max(lengths_[token.chain], length);
  return std::nullopt;
}

ChainChecker::Complaint ChainChecker::EndGone(const Token& token, bool append) {
  if (token.age != ages_[token.chain]) return std::nullopt;
  const Known& known = chains_[token.chain];
  if (known.delete_begun) return std::nullopt;
  if (append) return Name(token.chain) + " is said to be deleted; nobody deleted it";
  if (token.floor > 0) return Name(token.chain) + " is NOT_FOUND; " + std::to_string(token.floor) + " entries were seen before (I9)";
  return std::nullopt;
}

ChainChecker::Complaint ChainChecker::EndRead(const Token& token, const std::vector<std::string>& bodies) {
  if (token.age != ages_[token.chain]) return std::nullopt;
  if (auto why = EndHead(token, bodies.size())) return why;
  return Seen(token.chain, 0, bodies);
}

}  // namespace coffer::sim
