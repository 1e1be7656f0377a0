// coffer explain: what a code means, what is safe, what to do. The codes are those of the status and of error details.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/command.h"
#include "client/command/explain_texts.h"
#include "client/command/format.h"
#include "client/command/registry.h"
#include "client/command/suggest.h"

namespace coffer::command {
namespace {

// The text on lines that fit, after a label.
void PrintPart(Session& session, const std::string& label, const std::string& text) {
  const auto width = static_cast<std::size_t>(std::max(40, session.terminal().width));
  std::string lead = label;
  for (const std::string& line : Wrap(text, width - label.size())) {
    session.out() << lead << line << "\n";
    lead = std::string(label.size(), ' ');
  }
}

void PrintOne(Session& session, const Explanation& e) {
  if (session.json()) {
    session.out() << nlohmann::json{{"code", e.code}, {"meaning", e.meaning}, {"do", e.action}}.dump() << "\n";
    return;
  }
  session.out() << e.code << "\n";
  PrintPart(session, "  what  ", e.meaning);
  PrintPart(session, "  do    ", e.action);
}

void PrintAll(Session& session) {
  // Whoever searches in it wants all of it.
  const bool whole = !session.terminal().out_is_tty;
  const auto width = static_cast<std::size_t>(std::max(60, session.terminal().width));
  for (const Explanation& e : Explanations()) {
    if (session.json()) {
      PrintOne(session, e);
    } else {
      session.out() << e.code << std::string(24 - std::min<std::size_t>(23, e.code.size()), ' ')
                    << (whole ? e.meaning : Cut(e.meaning, width - 24)) << "\n";
    }
  }
}

int Explain(Session& session, std::string code) {
  std::transform(code.begin(), code.end(), code.begin(), [](unsigned char c) { return std::toupper(c); });
  std::replace(code.begin(), code.end(), '-', '_');
  if (code.empty()) {
    PrintAll(session);
    return kExitOk;
  }
  std::vector<std::string> codes;
  bool found = false;
  for (const Explanation& e : Explanations()) {
    codes.push_back(e.code);
    if (e.code != code) continue;
    found = true;  // a code of the status may also be the reason of an error: both are shown
    PrintOne(session, e);
  }
  if (found) return kExitOk;
  const std::string best = Closest(code, codes);
  throw CommandError(kExitNotFound, "there is no code \"" + code + "\"" +
                                        (best.empty() ? "" : "; did you mean \"" + best + "\"?") +
                                        "\n  next: coffer explain lists all codes");
}

}  // namespace

void AddExplain(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("explain", "What a code means, what is safe, what to do");
  cmd->footer("  coffer explain NODE_DOWN\n  coffer explain               all codes");
  auto code = std::make_shared<std::string>();
  cmd->add_option("code", *code, "A code from `coffer status` or from an error");
  cmd->callback([&session, code] { session.action = [&session, code] { return Explain(session, *code); }; });
}

}  // namespace coffer::command
