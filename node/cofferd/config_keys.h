// The keys of the configuration: what each means, takes and does. Flags, variables, file, help and --print-config are all
// made from this one table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node/cofferd/config.h"

namespace coffer::server {

struct ConfigKey {
  const char* name;     // as in the file; the flag has dashes for underscores, the variable COFFER_ and capitals
  const char* group;    // heading in the help
  const char* allowed;  // what a value must be, as the end of "must be ..."
  const char* help;     // effect, and price where there is one
  bool (*set)(const std::string& value, Config* config);  // false: the value is not allowed; `config` is as it was
  std::string (*get)(const Config& config);
};

const std::vector<ConfigKey>& ConfigKeys();
const ConfigKey* FindConfigKey(std::string_view name);

std::string FlagOf(const ConfigKey& key);
std::string VariableOf(const ConfigKey& key);
// The key a wrong name was probably meant to be: at most one third of its letters are wrong, and at most this many. Or null.
const ConfigKey* NearestConfigKey(std::string_view name, std::size_t most_distance);

}  // namespace coffer::server
