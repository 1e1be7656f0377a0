// The marks of rules: a swarm can only name the rules that no run exercised if it knows all of them.
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "sim/rule_counts.h"
#include "sim/sim_cluster.h"
#include "test_support.h"

namespace coffer::sim {
namespace {

using std::chrono::seconds;

// The names that stand in the sources.
std::set<std::string> MarkedRules() {
  static const std::regex mark("\\bRULE\\(\"([^\"]+)\"\\)");
  std::set<std::string> names;
  for (const char* folder : {"cluster", "node/core", "router/core"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::string(COFFER_SOURCE_DIR) + "/" + folder)) {
      if (entry.path().extension() != ".cc") continue;
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      const std::string source = text.str();
      for (std::sregex_iterator at(source.begin(), source.end(), mark), end; at != end; ++at) names.insert((*at)[1]);
    }
  }
  return names;
}

TEST_CASE("every marked rule is known before it is passed, and counted when it is") {
  const auto marked = MarkedRules();
  REQUIRE(marked.size() > 30);
  std::set<std::string> known;
  for (const auto& [rule, count] : RuleCounts()) {
    INFO(rule);
    CHECK(count == 0);
    known.insert(rule);
  }
  CHECK(known == marked);

  SimCluster c(1, 4);
  for (int i = 0; i < 2; ++i) c.AddNode();
  c.Start(0);
  c.Form(0);
  c.Start(1);
  c.RunFor(seconds(20));
  auto counts = RuleCounts();
  CHECK(counts["R7.2 proposed"] > 0);         // the second node was taken in
  CHECK(counts["L10.5"] == 0);  // nobody forced anything
}

}  // namespace
}  // namespace coffer::sim
