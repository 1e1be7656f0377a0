// A configuration file, variables and flags with anything in them: a valid setting or sentences that say what is wrong.
#include <unistd.h>

#include <string>
#include <vector>

#include "fuzz_target.h"
#include "node/cofferd/config.h"

using namespace coffer;

namespace {

// One file for all inputs of this process.
class ScratchFile {
 public:
  ScratchFile() : fd_(mkstemp(path_)) { fuzz::Require(fd_ >= 0, "a scratch file can be made"); }
  ~ScratchFile() {
    close(fd_);
    unlink(path_);
  }
  const char* With(std::string_view text) {
    fuzz::Require(ftruncate(fd_, 0) == 0 && pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()),
                  "the scratch file can be written");
    return path_;
  }

 private:
  char path_[40] = "/tmp/coffer-config-fuzz-XXXXXX";
  int fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ScratchFile file;
  fuzz::Choices choices(fuzz::Text(data, size));
  std::vector<std::string> arguments;
  for (int i = choices.Byte() % 4; i > 0; --i) {
    std::string piece(choices.Piece().substr(0, 200));
    if (piece == "--config" || piece.rfind("--config=", 0) == 0) continue;  // reads no file but ours
    arguments.push_back(std::move(piece));
  }
  std::map<std::string, std::string> environment;
  for (int i = choices.Byte() % 4; i > 0; --i) {
    const std::string name = "COFFER_" + std::string(choices.Piece().substr(0, 40));
    if (name != "COFFER_CONFIG") environment[name] = std::string(choices.Piece().substr(0, 200));
  }
  environment["COFFER_CONFIG"] = file.With(choices.Rest());
  const server::LoadedConfig loaded = server::LoadConfig(arguments, environment, "host");
  for (const std::string& error : loaded.errors) fuzz::Require(!error.empty(), "an error says what is wrong");
  if (loaded.ok()) server::PrintConfig(loaded);
  return 0;
}
