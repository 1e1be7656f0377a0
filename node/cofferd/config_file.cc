// The TOML file: keys at the top level, values of the types that read naturally there.
#include <filesystem>
#include <sstream>
#include <stdexcept>

// The parser takes some files that are no TOML ("[:]") for its own mistake, and would end the process.
[[noreturn]] static void NotToml() { throw std::logic_error("this is not TOML"); }
#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : NotToml())
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "node/cofferd/config_keys.h"
#include "node/cofferd/config_sources.h"

namespace coffer::server {
namespace {

// The value as it would be written in a variable; nothing for types that no key has.
std::optional<std::string> TextOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  const auto* list = node.as_array();
  if (!list) return std::nullopt;
  std::string joined;
  for (const toml::node& item : *list) {
    const auto* text = item.as_string();
    if (!text) return std::nullopt;
    joined += (joined.empty() ? "" : ",") + text->get();
  }
  return joined;
}

std::string UnknownKey(const std::string& name, const std::string& place) {
  if (name == "secret") return place + ": the secret has a file of its own: name it with secret_file";
  const ConfigKey* nearest = NearestConfigKey(name, 3);
  return place + ": there is no key \"" + name + "\"" +
         (nearest ? std::string("; did you mean \"") + nearest->name + "\"?" : "; see cofferd --help");
}

}  // namespace

RawValues ReadConfigFile(const std::string& path, std::vector<std::string>* errors) {
  RawValues values;
  toml::table table;
  try {
    table = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    const auto line = error.source().begin.line;
    errors->push_back(path + (line > 0 ? ":" + std::to_string(line) : std::string()) + ": " +
                      std::string(error.description()));
    return values;
  } catch (const std::logic_error& error) {
    errors->push_back(path + ": " + error.what());
    return values;
  }
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string place = path + ":" + std::to_string(key.source().begin.line);
    const auto text = TextOf(node);
    if (!FindConfigKey(name)) {
      errors->push_back(UnknownKey(name, place));
    } else if (!text) {
      errors->push_back(place + ": " + name + " must be a string, a whole number, true, false or a list of strings");
    } else {
      values[name] = {*text, place};
    }
  }
  return values;
}

}  // namespace coffer::server
