// Small files that are replaced as a whole and survive power loss, and the few calls files outside LevelDB are made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace coffer::node {

class DiskFaults;

// How a file operation ended. `error` is an errno, 0 for success.
struct FileResult {
  int error = 0;
  std::string what;  // "syncing /path failed: Input/output error"
  bool ok() const { return error == 0; }
};
FileResult FileError(std::string_view doing, const std::string& path, int error);

// All bytes of a file; nothing and ENOENT if there is none. At most so many: EFBIG beyond.
std::optional<std::string> ReadWholeFile(const std::string& path, int* error, std::uint64_t most_bytes = 64u << 20);
// Replaces the file: its old or its new bytes are there after a crash at any time, the new ones after success.
FileResult ReplaceFile(const std::string& path, std::string_view bytes, DiskFaults* faults);
// Writes all of `bytes` at `offset` and syncs.
FileResult OverwriteAndSync(int fd, const std::string& path, std::uint64_t offset, std::string_view bytes,
                            DiskFaults* faults);
// Syncs the folder the path is in.
FileResult SyncParent(const std::string& path, DiskFaults* faults);

}  // namespace coffer::node
