// coffer completion bash: completions, made from the parser itself so that they can't be out of date.
#include <CLI/CLI.hpp>
#include <ostream>
#include <sstream>

#include "client/command/command.h"
#include "client/command/registry.h"

namespace coffer::command {
namespace {

std::string Words(const CLI::App* app) {
  std::string out;
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) out += sub->get_name() + " ";
  for (const CLI::App* a = app; a != nullptr; a = a->get_parent()) {
    for (const CLI::Option* o : a->get_options()) {
      for (const std::string& name : o->get_lnames()) out += "--" + name + " ";
    }
  }
  return out;
}

void AddCases(const CLI::App* app, const std::string& path, std::ostream& out) {
  out << "    \"" << path << "\") words=\"" << Words(app) << "\" ;;\n";
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    AddCases(sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), out);
  }
}

// Paths of all commands, so that the script can tell commands from arguments.
void AddPaths(const CLI::App* app, const std::string& path, std::ostream& out) {
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    const std::string full = path.empty() ? sub->get_name() : path + " " + sub->get_name();
    out << "|" << full;
    AddPaths(sub, full, out);
  }
}

std::string Script(const CLI::App* root) {
  std::ostringstream out;
  out << "# bash completion for coffer; use: source <(coffer completion bash)\n"
         "_coffer() {\n"
         "  local path=\"\" word words candidate i\n"
         "  local paths=\"";
  AddPaths(root, "", out);
  out << "|\"\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    word=\"${COMP_WORDS[i]}\"\n"
         "    candidate=\"${path:+$path }$word\"\n"
         "    [[ \"$paths\" == *\"|$candidate|\"* ]] && path=\"$candidate\"\n"
         "  done\n"
         "  case \"$path\" in\n";
  AddCases(root, "", out);
  out << "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
         "}\n"
         "complete -o default -F _coffer coffer\n";
  return out.str();
}

}  // namespace

void AddCompletion(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("completion", "Completions for the shell");
  cmd->footer("  source <(coffer completion bash)\n  coffer completion bash > /etc/bash_completion.d/coffer");
  auto shell = std::make_shared<std::string>();
  cmd->add_option("shell", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  cmd->callback([&session, &app, shell] {  // with what the option is parsed into
    session.action = [&session, &app] {
      session.out() << Script(&app);
      return static_cast<int>(kExitOk);
    };
  });
}

}  // namespace coffer::command
