// The codes and reasons: docs and program say the same, and no error is made whose reason is not explained.
#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "router/core/codes.h"
#include "router/core/errors.h"
#include "tests/test_support.h"

using namespace coffer;
using namespace coffer::router;

namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(std::string(COFFER_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("docs/codes.md is the table of the program") {
  const std::string page = ReadFile("docs/codes.md");
  const std::string docs = page.substr(0, page.find("\n## Refusals among members"));  // those are the command line's own
  REQUIRE(docs.size() < page.size());
  REQUIRE_FALSE(docs.empty());
  std::set<std::string> in_docs;
  const std::regex row("\n\\| `([A-Z_]+)` \\|");
  for (auto it = std::sregex_iterator(docs.begin(), docs.end(), row); it != std::sregex_iterator(); ++it) {
    in_docs.insert((*it)[1]);
  }
  std::set<std::string> in_program;
  for (const auto table : {StatusCodes(), ErrorReasons()}) {
    for (const CodeText& text : table) {
      in_program.insert(std::string(text.code));
      INFO(text.code);
      CHECK(docs.find("| `" + std::string(text.code) + "` | " + std::string(text.meaning) + " | " +
                      std::string(text.action) + " |") != std::string::npos);
    }
  }
  CHECK(in_docs == in_program);
}

TEST_CASE("reasons are in alphabetical order, each once") {
  const auto reasons = ErrorReasons();
  CHECK(std::is_sorted(reasons.begin(), reasons.end(), [](const auto& a, const auto& b) { return a.code < b.code; }));
  CHECK(std::adjacent_find(reasons.begin(), reasons.end(), [](const auto& a, const auto& b) { return a.code == b.code; }) ==
        reasons.end());
}

TEST_CASE("every reason that errors.cc makes is explained") {
  const std::string source = ReadFile("router/core/errors.cc");
  const std::regex reason("Code::k[A-Za-z]+, \"([A-Z_]+)\"");
  int found = 0;
  for (auto it = std::sregex_iterator(source.begin(), source.end(), reason); it != std::sregex_iterator(); ++it) {
    ++found;
    INFO((*it)[1]);
    CHECK(Explain((*it)[1].str()) != nullptr);
  }
  CHECK(found > 15);
}

TEST_CASE("every code a judgement gives is explained") {
  const std::string source = ReadFile("router/core/judgement.cc");
  const std::regex code("(?:say\\(|\\s|\\{)\"([A-Z]+_[A-Z_]+)\"");
  std::set<std::string> found;
  for (auto it = std::sregex_iterator(source.begin(), source.end(), code); it != std::sregex_iterator(); ++it) {
    found.insert((*it)[1]);
  }
  std::set<std::string> explained;
  for (const CodeText& text : StatusCodes()) explained.insert(std::string(text.code));
  CHECK(found == explained);
}

TEST_CASE("an error carries its reason, its domain and its delay") {
  const Status status = MakeError(Code::kUnavailable, "NOT_SENT", "text", std::chrono::milliseconds(1250));
  CHECK(CodeOf(status) == Code::kUnavailable);
  CHECK(ReasonOf(status) == "NOT_SENT");
  CHECK(RetryAfter(status) == std::optional<Duration>(std::chrono::milliseconds(1250)));
  CHECK_FALSE(RetryAfter(MakeError(Code::kInternal, "X", "")).has_value());
  CHECK(ReasonOf(Ok()).empty());
  CHECK(Explain("NO_SUCH_CODE") == nullptr);
}
