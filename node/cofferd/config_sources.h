// Where raw values come from: flags, environment, file. Says who said what; knows nothing of meanings.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "node/cofferd/config.h"

namespace coffer::server {

struct RawValue {
  std::string value;
  std::string origin;  // "--data", "COFFER_DATA", "/etc/cofferd.toml:3"
};
using RawValues = std::map<std::string, RawValue>;  // by key

struct Flags {
  Action action = Action::kRun;
  std::string config_file;  // --config
  RawValues values;
};

// Each adds to `errors` what it can't take, naming the nearest valid key.
Flags ReadFlags(const std::vector<std::string>& arguments, std::vector<std::string>* errors);
// A COFFER_ variable that is no key but near to one is an error; any other is left alone (service managers set such).
RawValues ReadEnvironment(const std::map<std::string, std::string>& environment, std::vector<std::string>* errors,
                          std::vector<std::string>* notices);
RawValues ReadConfigFile(const std::string& path, std::vector<std::string>* errors);

// Variables that are not keys of the server but known: of the command line client, and COFFER_CONFIG.
bool IsOtherVariable(const std::string& name);

}  // namespace coffer::server
