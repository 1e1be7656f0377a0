// Runs the command in this process, against fake routers, with its terminal in strings.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "client/command/command.h"
#include "unit/client_fake_router.h"

namespace coffer::test {

struct Ran {
  int code;
  std::string out;
  std::string err;
};

// A folder that goes away with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "coffer-cli-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void WriteFile(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Shell {
  std::shared_ptr<FakeCluster> cluster = std::make_shared<FakeCluster>();
  std::unique_ptr<FakeRouter> router = std::make_unique<FakeRouter>(cluster);
  std::map<std::string, std::string> environment;
  std::string input;
  bool in_is_tty = false;
  bool out_is_tty = false;
  bool err_is_tty = false;
  bool out_is_full = false;

  Shell() {
    environment["COFFER_ROUTERS"] = router->address();
    cluster->status.set_epoch(17);
  }

  Ran Run(const std::vector<std::string>& arguments) {
    std::istringstream in(input);
    std::ostringstream out;
    if (out_is_full) out.setstate(std::ios::badbit);
    std::ostringstream err;
    command::Terminal terminal{in, out, err};
    terminal.in_is_tty = in_is_tty;
    terminal.out_is_tty = out_is_tty;
    terminal.err_is_tty = err_is_tty;
    terminal.env = [this](const std::string& name) {
      const auto it = environment.find(name);
      return it == environment.end() ? std::string() : it->second;
    };
    const int code = command::Run(arguments, terminal);
    return {code, out.str(), err.str()};
  }
};

}  // namespace coffer::test
