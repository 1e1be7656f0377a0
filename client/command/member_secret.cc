#include "client/command/member_secret.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "client/command/command.h"

namespace coffer::command {

link::Keyring ReadKeyring(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw CommandError(kExitFailure, "can't read the secret file \"" + path + "\": " + std::strerror(errno));
  std::string text(link::Keyring::kMostBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  try {
    link::Keyring keyring = link::Keyring::Parse(text, "\"" + path + "\"");
    link::Wipe(&text);
    return keyring;
  } catch (const std::exception& e) {
    link::Wipe(&text);
    throw CommandError(kExitFailure, e.what());
  }
}

}  // namespace coffer::command
