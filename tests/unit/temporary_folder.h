// A folder that is gone with the test. In memory where that is possible: what a test needs of a disk it simulates. But what it needs of the
// kernel's way there may need a disk.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace coffer {

class TemporaryFolder {
 public:
  enum class On { kAny, kDisk };
  explicit TemporaryFolder(On on = On::kAny) {
    for (const auto& parent : {std::filesystem::path("/dev/shm"), std::filesystem::temp_directory_path()}) {
      if (on == On::kDisk && parent == "/dev/shm") continue;
      std::string name = (parent / "coffer-test-XXXXXX").string();
      if (!::mkdtemp(name.data())) continue;
      path_ = name;
      return;
    }
    throw std::runtime_error("no temporary folder");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace coffer
