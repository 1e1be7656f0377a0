#include "client/command/manifest.h"

#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "client/command/format.h"

namespace coffer::command {
namespace {

using nlohmann::json;

constexpr char kMagic[] = "coffer.manifest.v1\n";

const char* KindName(Manifest::Kind kind) {
  switch (kind) {
    case Manifest::Kind::kDirectory:
      return "directory";
    case Manifest::Kind::kLong:
      return "long";
    default:
      return "file";
  }
}

Manifest::Kind KindOf(const std::string& name) {
  if (name == "file") return Manifest::Kind::kFile;
  if (name == "directory") return Manifest::Kind::kDirectory;
  if (name == "long") return Manifest::Kind::kLong;
  throw std::runtime_error("unknown kind \"" + name + "\"");
}

// Names of files are bytes; JSON is text. What is no printable UTF-8 is kept in hexadecimal.
json NameToJson(const std::string& name) {
  try {
    static_cast<void>(json(name).dump());
    return {{"name", name}};
  } catch (const json::exception&) {
    return {{"name_hex", Hex(name)}};
  }
}

std::string NameOf(const json& j) {
  if (!j.contains("name_hex")) return j.at("name").get<std::string>();
  const auto raw = FromHex(j.at("name_hex").get<std::string>());
  if (!raw) throw std::runtime_error("a name is no hexadecimal text");
  return *raw;
}

template <class Fixed>
Fixed BytesOf(const json& j) {
  const auto raw = FromHex(j.get<std::string>());
  const auto out = raw ? Fixed::From(*raw) : std::nullopt;
  if (!out) throw std::runtime_error("an id does not have 32 bytes");
  return *out;
}

std::uint32_t ModeOf(const json& j) {
  const auto mode = j.at("mode").get<std::uint32_t>();
  return mode & 0777;  // never set-user-id and the like
}

}  // namespace

bool SafeName(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

bool LooksLikeManifest(const std::string& chunk) {
  return chunk.rfind(kMagic, 0) == 0;
}

std::string EncodeManifest(const Manifest& m) {
  json j = {{"kind", KindName(m.kind)}, {"mode", m.mode}};
  if (m.kind == Manifest::Kind::kDirectory) {
    json members = json::array();
    for (const Manifest::Member& e : m.members) {
      json one = NameToJson(e.name);
      one.update({{"kind", KindName(e.kind)},
                  {"mode", e.mode},
                  {"size", e.size},
                  {"manifest", e.has_manifest},
                  {"root", Hex(e.root.view())}});
      members.push_back(std::move(one));
    }
    j["members"] = std::move(members);
  } else {
    j["size"] = m.size;
    j["sha256"] = Hex(m.sha256.view());
    json pieces = json::array();
    for (const Piece& p : m.pieces) pieces.push_back({{"id", Hex(p.id.view())}, {"size", p.size}});
    j["pieces"] = std::move(pieces);
  }
  return kMagic + j.dump();
}

Manifest DecodeManifest(const std::string& chunk) {
  if (!LooksLikeManifest(chunk)) throw std::runtime_error("this is no manifest");
  try {
    const json j = json::parse(chunk.begin() + sizeof kMagic - 1, chunk.end());
    Manifest m;
    m.kind = KindOf(j.at("kind").get<std::string>());
    m.mode = ModeOf(j);
    if (m.kind == Manifest::Kind::kDirectory) {
      std::set<std::string> names;
      for (const json& one : j.at("members")) {
        Manifest::Member e;
        e.name = NameOf(one);
        // Shown only when it can't harm a terminal.
        const std::string shown = Printable(e.name) ? e.name : "hex:" + Hex(e.name);
        if (!SafeName(e.name)) throw std::runtime_error("the member " + shown + " would leave its folder");
        if (!names.insert(e.name).second) throw std::runtime_error("the member " + shown + " is named twice");
        e.kind = KindOf(one.at("kind").get<std::string>());
        e.mode = ModeOf(one);
        e.size = one.at("size").get<std::uint64_t>();
        e.has_manifest = one.at("manifest").get<bool>();
        e.root = BytesOf<BlockId>(one.at("root"));
        m.members.push_back(std::move(e));
      }
      return m;
    }
    m.size = j.at("size").get<std::uint64_t>();
    m.sha256 = BytesOf<Digest>(j.at("sha256"));
    std::uint64_t sum = 0;
    for (const json& one : j.at("pieces")) {
      m.pieces.push_back({BytesOf<BlockId>(one.at("id")), one.at("size").get<std::uint64_t>()});
      sum += m.pieces.back().size;
    }
    if (sum != m.size) throw std::runtime_error("the pieces do not add up to the size");
    return m;
  } catch (const json::exception& e) {
    throw std::runtime_error(std::string("the manifest can't be read: ") + e.what());
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(std::string("the manifest is refused: ") + e.what());
  }
}

}  // namespace coffer::command
