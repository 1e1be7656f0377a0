#include "node/cofferd/config_sources.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "node/cofferd/config_keys.h"

namespace coffer::server {
namespace {

// In file form: "--Public-Listen" and "COFFER_PUBLIC_LISTEN" are both "public_listen".
std::string Normal(std::string name) {
  for (char& c : name) {
    if (c == '-') c = '_';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return name;
}

std::string UnknownFlag(const std::string& argument) {
  const std::string flag = argument.substr(0, argument.find('='));
  if (flag.rfind("--", 0) != 0) {
    return "\"" + argument + "\" is not understood: cofferd takes only flags, such as --data FOLDER; see cofferd --help";
  }
  const std::string name = Normal(flag.substr(2));
  if (name == "secret") return "a secret is never given by flag: put it into a file and name that with --secret-file";
  const ConfigKey* nearest = NearestConfigKey(name, 3);
  return "there is no flag " + flag + (nearest ? "; did you mean " + FlagOf(*nearest) + "?" : "; see cofferd --help");
}

}  // namespace

Flags ReadFlags(const std::vector<std::string>& arguments, std::vector<std::string>* errors) {
  Flags flags;
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  bool help = false;
  bool version = false;
  bool print = false;
  app.add_flag("-h,--help", help);
  app.add_flag("--version", version);
  app.add_flag("--print-config", print);
  app.add_option("--config", flags.config_file);
  std::map<std::string, std::string> given;
  std::map<std::string, CLI::Option*> options;
  for (const ConfigKey& key : ConfigKeys()) {
    const auto use_last = CLI::MultiOptionPolicy::TakeLast;
    options[key.name] = app.add_option(FlagOf(key), given[key.name])->multi_option_policy(use_last);
  }
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    errors->push_back(std::string(error.what()) + "; see cofferd --help");
    return flags;
  }
  for (const std::string& extra : app.remaining()) errors->push_back(UnknownFlag(extra));
  for (const ConfigKey& key : ConfigKeys()) {
    if (options[key.name]->count() > 0) flags.values[key.name] = {given[key.name], FlagOf(key)};
  }
  if (print) flags.action = Action::kPrintConfig;
  if (version) flags.action = Action::kVersion;
  if (help) flags.action = Action::kHelp;
  return flags;
}

bool IsOtherVariable(const std::string& name) {
  static const std::set<std::string> known = {"COFFER_CONFIG", "COFFER_ROUTER", "COFFER_ROUTERS", "COFFER_ZONE",
                                              "COFFER_TIMEOUT", "COFFER_OUTPUT"};
  return known.count(name) > 0;
}

RawValues ReadEnvironment(const std::map<std::string, std::string>& environment, std::vector<std::string>* errors,
                          std::vector<std::string>* notices) {
  RawValues values;
  constexpr std::string_view kPrefix = "COFFER_";
  for (const auto& [variable, value] : environment) {
    if (variable.rfind(kPrefix, 0) != 0 || IsOtherVariable(variable)) continue;
    const std::string name = Normal(variable.substr(kPrefix.size()));
    const ConfigKey* key = FindConfigKey(name);
    if (key && VariableOf(*key) == variable) {
      // An empty variable is an unset one: service files can't take a variable away.
      if (!value.empty()) values[name] = {value, variable};
    } else if (name == "secret") {
      errors->push_back("COFFER_SECRET: a secret is never given by the environment: put it into a file and name that with "
                        "COFFER_SECRET_FILE");
    } else if (const ConfigKey* nearest = NearestConfigKey(name, 2)) {
      errors->push_back("there is no variable " + variable + "; did you mean " + VariableOf(*nearest) + "?");
    } else {
      notices->push_back(variable + " is no setting of cofferd and is ignored");
    }
  }
  return values;
}

}  // namespace coffer::server
