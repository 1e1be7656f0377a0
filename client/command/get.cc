// coffer get: what `coffer put` stored, verified, with its folders and permissions.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <ostream>

#include "client/command/command.h"
#include "client/command/fetch_tree.h"
#include "client/command/progress.h"
#include "client/command/registry.h"
#include "client/command/whole_number.h"
#include "cluster/sha256.h"

namespace coffer::command {
namespace {

namespace fs = std::filesystem;

// A file that appears under its name only when it is whole. Removed if it is not committed.
class NewFile {
 public:
  // `replace`: may take the place of an existing file. Throws CommandError.
  NewFile(fs::path path, bool replace)
      : path_(std::move(path)), replace_(replace) {
    if (!replace_ && fs::exists(fs::symlink_status(path_)))
      throw CommandError(kExitFailure, path_.string() + " exists already");
    // A link stays, as /dev/stdout has to: what it leads to is replaced.
    if (std::error_code none; fs::is_symlink(path_, none)) path_ = fs::weakly_canonical(path_);
    part_ = path_.string() + ".coffer-part";
    // A device, as /dev/null, would be gone, and a file in its place.
    if (std::error_code none; fs::exists(path_, none) && !fs::is_regular_file(path_, none))
      throw CommandError(kExitFailure, path_.string() + " is no file; without -O the content goes to standard output");
    unlink(part_.c_str());
    fd_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd_ < 0) throw CommandError(kExitFailure, "can't write " + part_.string() + ": " + std::strerror(errno));
  }
  ~NewFile() {
    if (fd_ >= 0) close(fd_);
    if (!committed_) unlink(part_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void Write(const std::string& data) {
    for (std::size_t at = 0; at < data.size();) {
      const ssize_t n = write(fd_, data.data() + at, data.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw CommandError(kExitFailure, "can't write " + part_.string() + ": " + std::strerror(errno));
      at += static_cast<std::size_t>(n);
    }
  }
  void Commit(std::optional<std::uint32_t> mode) {
    const mode_t mask = umask(0);
    umask(mask);
    const bool fine = fchmod(fd_, mode ? *mode : 0666 & ~mask) == 0 && close(fd_) == 0;
    fd_ = -1;
    if (!fine || rename(part_.c_str(), path_.c_str()) != 0) {
      throw CommandError(kExitFailure, "can't finish " + path_.string() + ": " + std::strerror(errno));
    }
    committed_ = true;
  }

 private:
  fs::path path_;
  fs::path part_;
  const bool replace_;
  int fd_ = -1;
  bool committed_ = false;
};

void WriteFile(Session& session, const Manifest& m, const fs::path& path, bool replace, Progress& progress) {
  NewFile file(path, replace);
  FetchPieces(session, m, [&](const std::string& piece) {
    file.Write(piece);
    progress.Add(piece.size());
  });
  file.Commit(m.mode);
}

void WriteDirectory(Session& session, const Manifest& m, const fs::path& path, Progress& progress, int depth) {
  if (depth > 200) throw CommandError(kExitFailure, "folders are nested too deeply at " + path.string());
  // Made new: nothing that lies there already, such as a link to elsewhere, can lead our files astray.
  if (mkdir(path.c_str(), 0700) != 0) {
    throw CommandError(kExitFailure, "can't make the folder " + path.string() + ": " + std::strerror(errno));
  }
  for (const Manifest::Member& e : m.members) {
    const fs::path target = path / e.name;
    const std::string chunk = FetchVerified(session, e.root);
    if (!e.has_manifest) {
      NewFile file(target, false);
      file.Write(chunk);
      progress.Add(chunk.size());
      file.Commit(e.mode);
      continue;
    }
    Manifest inner = OpenManifest(session, e.root, chunk);
    inner.mode = e.mode;
    if (inner.kind == Manifest::Kind::kDirectory) {
      WriteDirectory(session, inner, target, progress, depth + 1);
    } else {
      WriteFile(session, inner, target, false, progress);
    }
  }
  if (chmod(path.c_str(), m.mode) != 0)
    throw CommandError(kExitFailure, "can't set the permissions of " + path.string());
}

// A folder appears under its name only when all of it is there. What an earlier attempt left is made anew.
void WriteWholeDirectory(Session& session, const Manifest& m, const std::string& output, Progress& progress) {
  const fs::path path = fs::path(output).has_filename() ? fs::path(output) : fs::path(output).parent_path();
  const fs::path part = path.string() + ".coffer-part";
  std::error_code error;
  fs::remove_all(part, error);
  if (error) throw CommandError(kExitFailure, "can't remove what an earlier attempt left, " + part.string() + ": " + error.message());
  try {
    WriteDirectory(session, m, part, progress, 0);
  } catch (...) {
    fs::remove_all(part, error);
    throw;
  }
  fs::rename(part, path, error);
  if (error) throw CommandError(kExitFailure, "can't finish " + path.string() + ": " + error.message());
}

std::uint64_t TotalSize(const Manifest& m) {
  std::uint64_t total = m.size;
  for (const Manifest::Member& e : m.members) total += e.size;
  return total;
}

int GetTree(Session& session, const Manifest& m, const std::string& output) {
  Progress progress(session.err(), session.terminal().err_is_tty && !output.empty(), "get " + output, TotalSize(m),
                    session.terminal().width);
  if (m.kind == Manifest::Kind::kDirectory) {
    if (output.empty()) throw UsageError("this id is a folder: say where to put it with -O PATH");
    if (fs::exists(fs::symlink_status(output))) {
      throw CommandError(kExitFailure, output + " exists already; a folder is only restored to a new path");
    }
    WriteWholeDirectory(session, m, output, progress);
  } else if (output.empty()) {
    FetchPieces(session, m, [&](const std::string& piece) {
      session.out() << piece;
      session.CheckOutput();
    });
  } else {
    WriteFile(session, m, output, true, progress);
  }
  return kExitOk;
}

struct GetArguments {
  std::string id;
  std::string output;
  bool raw = false;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // 0: to the end

  bool part() const { return offset > 0 || length > 0; }
};

int Get(Session& session, const GetArguments& a) {
  const std::string& output = a.output;
  const BlockId id = ParseId(a.id);
  if (a.part() && !a.raw) throw UsageError("--offset and --length are of a chunk: add --raw");
  client::CallOptions options;
  options.bulk = true;
  auto got = Need(session.client().Get(id, options, a.offset, a.length).Take(), "can't get " + a.id);
  if (!a.part() && Sha256({got.data}).view() != id.view()) {
    session.err() << "coffer: note: the id is not the SHA-256 of the content (it was put with --id), so the content "
                     "itself is not verified\n";
  }
  if (!a.raw && LooksLikeManifest(got.data)) return GetTree(session, OpenManifest(session, id, got.data), output);
  if (output.empty()) {
    session.out() << got.data;
    return kExitOk;
  }
  if (fs::is_directory(output)) throw UsageError(output + " is a folder: give the path of a file");
  NewFile file(output, true);
  file.Write(got.data);
  file.Commit({});
  return kExitOk;
}

}  // namespace

void AddGet(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("get", "Get a file or folder back, verified");
  cmd->footer(
      "  coffer get ID -O photo.jpg\n"
      "  coffer get ID > photo.jpg         to standard output\n"
      "  coffer get ID -O holiday          a folder, to a new path, with permissions\n"
      "  coffer get ID --raw               the chunk itself, even if it is a list of pieces\n"
      "  coffer get ID --raw --offset 4096 --length 512");
  auto a = std::make_shared<GetArguments>();
  cmd->add_option("id", a->id, "64 hexadecimal digits, as printed by put")->required();
  cmd->add_option("-O,--to", a->output, "Path of the file or folder to write");
  cmd->add_flag("--raw", a->raw, "Do not follow lists of pieces");
  cmd->add_option("--offset", a->offset, "With --raw: the first byte wanted")->transform(WholeNumber());
  cmd->add_option("--length", a->length, "With --raw: how many bytes at most; 0 means to the end")
      ->transform(WholeNumber());
  cmd->callback([&session, a] { session.action = [&session, a] { return Get(session, *a); }; });
}

}  // namespace coffer::command
