// The TOML file: keys at the top level, values of the types that read naturally there.
#include <filesystem>
#include <fstream>
#include <iterator>
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

// The line on which a letter that is not ASCII stands outside of quotes and comments, where TOML has none; nothing: there is no such line.
// toml++ 3.3 would look the letter up in a table that takes U+00A1 to U+0499 for impossible, and what it does then is not defined.
std::optional<int> LineOfForeignLetter(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  int line = 1;
  std::string_view quote;  // that ends the string we are in
  bool comment = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      comment = false;
      if (quote.size() == 1) quote = {};
    } else if (comment) {
      continue;
    } else if (!quote.empty()) {
      if (text[i] == '\\' && quote[0] == '"') {
        if (i + 1 < text.size() && text[i + 1] != '\n') ++i;
      } else if (text.substr(i).starts_with(quote)) {
        i += quote.size() - 1;
        quote = {};
      }
    } else if (text[i] == '#') {
      comment = true;
    } else if (text[i] == '"' || text[i] == '\'') {
      const bool three = text.substr(i, 3) == std::string(3, text[i]);
      quote = text.substr(i, three ? 3 : 1);
      i += quote.size() - 1;
    } else if (static_cast<unsigned char>(text[i]) >= 0x80) {
      return line;
    }
  }
  return std::nullopt;
}

std::string BytesOfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

RawValues ReadConfigFile(const std::string& path, std::vector<std::string>* errors) {
  RawValues values;
  toml::table table;
  // What can't be read, the parser says.
  if (const auto line = LineOfForeignLetter(BytesOfFile(path))) {
    errors->push_back(path + ":" + std::to_string(*line) + ": this is not TOML: a letter that is not ASCII stands outside of quotes");
    return values;
  }
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
