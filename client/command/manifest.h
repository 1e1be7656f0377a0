// How a file or a folder is kept as chunks: its bytes in pieces, each under the SHA-256 of its content, and a manifest
// chunk that lists them. A file of one piece is kept as it is, without a manifest. docs/cli.md describes the format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"

namespace coffer::command {

// One piece of a file.
struct Piece {
  BlockId id;
  std::uint64_t size = 0;
};

// A file as its pieces, or a folder as its members.
struct Manifest {
  enum class Kind {
    kFile,       // `pieces` are its content
    kDirectory,  // `members`
    kLong,       // `pieces` are the text of a manifest too large for one chunk
  };
  Kind kind = Kind::kFile;
  std::uint32_t mode = 0644;  // permissions, 0 to 0777
  std::uint64_t size = 0;     // bytes of the file
  Digest sha256;              // of the whole file, or of the long manifest's text
  std::vector<Piece> pieces;
  struct Member {
    std::string name;  // one path component
    Kind kind = Kind::kFile;
    std::uint32_t mode = 0644;
    std::uint64_t size = 0;
    bool has_manifest = false;  // a folder, or a file of several pieces; else `root` is the file's content
    BlockId root;
  };
  std::vector<Member> members;
};

// The bytes of a manifest chunk.
std::string EncodeManifest(const Manifest& manifest);
// Whether a chunk is a manifest by its first bytes. (A file that begins so is always stored with a manifest of its
// own.)
bool LooksLikeManifest(const std::string& chunk);
// Throws std::runtime_error when the text is no manifest or names a member that would leave its folder.
Manifest DecodeManifest(const std::string& chunk);
// Whether a name may be created in a folder: not empty, not "." or "..", without '/' and zero bytes, at most 255 bytes.
bool SafeName(const std::string& name);

}  // namespace coffer::command
