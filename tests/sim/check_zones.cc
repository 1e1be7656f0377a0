#include "sim/check_zones.h"

#include <algorithm>

namespace coffer::sim {

void ZoneChecker::BeginCreate(const std::string& name, const ZoneId& id) {
  auto& lives = lives_[name];
  if (lives.empty() || lives.back().id != id) lives.push_back({id});  // else it is asked for again
}

const std::vector<ZoneChecker::Life>& ZoneChecker::LivesOf(const std::string& name) const {
  static const std::vector<Life> none;
  const auto it = lives_.find(name);
  return it == lives_.end() ? none : it->second;
}

ZoneChecker::Complaint ZoneChecker::Say(const Token& token, const std::string& what) const {
  return "zone " + token.name + " (life " + std::to_string(LivesOf(token.name).size()) + "), block " + Hex(token.block).substr(0, 10) + ": " + what;
}

ZoneChecker::Complaint ZoneChecker::DeleteFoundNothing(const std::string& name) const {
  return "zone " + name + " (life " + std::to_string(LivesOf(name).size()) + ") was acknowledged, and is not there to be deleted";
}

ZoneChecker::Token ZoneChecker::Begin(const std::string& name, const std::string& block) const {
  const auto& lives = LivesOf(name);
  Token token{name, block, {}, lives.size(), false, {}};
  if (lives.empty() || lives.back().gone) return token;
  token.first = lives.size() - 1;
  token.there = lives.back().there && !lives.back().delete_begun;
  const auto values = values_.find({name, block});
  if (values == values_.end()) return token;
  for (const auto& [value, known] : values->second) {
    if (known.Certain() && known.first == token.first) token.expected = value;
  }
  return token;
}

ZoneChecker::Token ZoneChecker::BeginPut(const std::string& name, const std::string& block, const std::string& value) {
  Token token = Begin(name, block);
  token.value = value;
  values_[{name, block}][value].first = token.first;
  return token;
}

bool ZoneChecker::StillThere(const Token& token) const {
  const auto& lives = LivesOf(token.name);
  return token.there && lives.size() == token.first + 1 && !lives.back().delete_begun;
}

ZoneChecker::Complaint ZoneChecker::EndPut(const Token& token, Outcome outcome) {
  Value& mine = values_[{token.name, token.block}][token.value];
  if (outcome == Outcome::kUnknown) {
    // Every attempt named a zone that was there before the end (R6.6): it can't have met a later one.
    const std::size_t lives = LivesOf(token.name).size();
    if (token.first >= lives) mine.possible = false;
    else mine.last = lives - 1;
    return std::nullopt;
  }
  if (outcome != Outcome::kOk) {
    mine.possible = false;
    if (outcome == Outcome::kNotFound && StillThere(token)) return Say(token, "a put is told that the zone is not there");
    return std::nullopt;
  }
  const std::size_t lives = LivesOf(token.name).size();
  if (token.first >= lives) return Say(token, "was put after the zone's delete was acknowledged (I10)");
  mine.acknowledged = true;
  mine.last = lives - 1;
  if (!mine.Certain()) return std::nullopt;
  for (const auto& [value, other] : values_[{token.name, token.block}]) {
    if (value != token.value && other.Certain() && other.first == mine.first) return Say(token, "has two acknowledged values (I7)");
  }
  return std::nullopt;
}

ZoneChecker::Complaint ZoneChecker::EndFoundAnywhere(const Token& token, const std::string& value) const {
  const auto values = values_.find({token.name, token.block});
  const bool put = values != values_.end() && values->second.contains(value);
  if (!put) return Say(token, "was read with what nobody put into this zone: " + value);
  return std::nullopt;
}

ZoneChecker::Complaint ZoneChecker::EndFound(const Token& token, const std::optional<std::string>& value) const {
  const std::size_t lives = LivesOf(token.name).size();
  if (token.first >= lives) return Say(token, "was found after the zone's delete was acknowledged (I10)");
  const auto values = values_.find({token.name, token.block});
  bool put = false;
  bool met = false;
  for (const auto& [known, facts] : values == values_.end() ? std::map<std::string, Value>{} : values->second) {
    if ((value && known != *value) || !facts.possible) continue;
    put = true;
    met = met || (facts.first < lives && (facts.last == kOpen || facts.last >= token.first));
  }
  if (!put) return Say(token, value ? "was read with what nobody put into this zone, or what was refused: " + *value : "was found; nobody put it");
  if (!met) return Say(token, "was found with what was deleted with an earlier zone of this name (I10)");
  if (value && !token.expected.empty() && token.first + 1 == lives && *value != token.expected) {
    return Say(token, "was read with another value than the one acknowledged (I7)");
  }
  return std::nullopt;
}

ZoneChecker::Complaint ZoneChecker::EndAbsent(const Token& token, bool zone) const {
  if (!StillThere(token)) return std::nullopt;
  if (zone) return Say(token, "the zone was acknowledged and is said not to be there");
  if (!token.expected.empty()) return Say(token, "was acknowledged and is said not to be there");
  return std::nullopt;
}

std::vector<std::pair<std::string, std::string>> ZoneChecker::Blocks() const {
  std::vector<std::pair<std::string, std::string>> blocks;
  for (const auto& [block, values] : values_) blocks.push_back(block);
  return blocks;
}

std::set<ZoneId> ZoneChecker::Gone() const {
  std::set<ZoneId> gone;
  for (const auto& [name, lives] : lives_) {
    for (const Life& life : lives) {
      if (life.gone) gone.insert(life.id);
    }
  }
  return gone;
}

std::uint64_t ZoneChecker::lives() const {
  std::uint64_t count = 0;
  for (const auto& [name, lives] : lives_) count += lives.size();
  return count;
}

}  // namespace coffer::sim
