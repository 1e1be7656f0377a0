// coffer put: files, folders and standard input into chunks.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "client/command/cluster_calls.h"
#include "client/command/command.h"
#include "client/command/manifest.h"
#include "client/command/progress.h"
#include "client/command/registry.h"
#include "cluster/sha256.h"

namespace coffer::command {
namespace {

namespace fs = std::filesystem;

// Chunks that are asked for with one Has.
constexpr std::size_t kBatch = 16;
// Bytes under way at once.
constexpr std::uint64_t kWindow = 32u << 20;
// A file below this needs no look at the cluster's chunk limit.
constexpr std::uint64_t kSurelySmall = 64u << 10;

// Sends chunks, many at once, leaving out those that are there.
class Uploader {
 public:
  Uploader(Session& session, Progress& progress) : session_(session), progress_(progress) {}

  // Queues a chunk whose id is the hash of its content. May wait for others; throws CommandError if one of them failed.
  void Add(const BlockId& id, std::string data) {
    if (!seen_.insert(id).second) {
      progress_.Add(data.size());
      return;
    }
    batch_bytes_ += data.size();
    batch_.emplace_back(id, std::move(data));
    if (batch_.size() >= kBatch || batch_bytes_ >= kWindow / 2) SendBatch();
  }

  // Queues a chunk under an id of the user's own. It is sent even if the id is there: other bytes may stand under it, and the node says so.
  void AddNamed(const BlockId& id, std::string data) {
    SendBatch();
    Send(id, std::move(data));
  }

  // Waits for everything.
  void Finish() {
    SendBatch();
    while (!under_way_.empty()) WaitForOne();
  }

  std::uint64_t sent() const { return sent_; }
  std::uint64_t skipped() const { return skipped_; }

 private:
  struct Sent {
    client::Future<client::PutResult> future;
    BlockId id;
    std::uint64_t bytes;
  };

  void SendBatch() {
    if (batch_.empty()) return;
    std::vector<BlockId> ids;
    for (const auto& [id, data] : batch_) ids.push_back(id);
    // A single chunk is put at once: asking first would only add a round trip.
    std::vector<bool> present(batch_.size());
    if (batch_.size() > 1) present = Need(session_.client().Has(ids).Get(), "can't ask which chunks are there");
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      auto& [id, data] = batch_[i];
      if (present[i]) {
        ++skipped_;
        progress_.Add(data.size());
        continue;
      }
      Send(id, std::move(data));
    }
    batch_.clear();
    batch_bytes_ = 0;
  }

  void Send(const BlockId& id, std::string data) {
    const std::uint64_t bytes = data.size();
    while (!under_way_.empty() && bytes_ + bytes > kWindow) WaitForOne();
    bytes_ += bytes;
    under_way_.push_back({session_.client().Put(id, std::move(data)), id, bytes});
  }

  void WaitForOne() {
    Sent one = std::move(under_way_.front());
    under_way_.pop_front();
    bytes_ -= one.bytes;
    const auto result = one.future.Get();
    if (!result.ok()) {
      progress_.Clear();
      Fail("can't put the chunk " + Hex(one.id.view()), result.status);
    }
    if (result->already_existed) {
      ++skipped_;
    } else {
      ++sent_;
    }
    progress_.Add(one.bytes);
  }

  Session& session_;
  Progress& progress_;
  std::set<BlockId> seen_;
  std::vector<std::pair<BlockId, std::string>> batch_;
  std::uint64_t batch_bytes_ = 0;
  std::deque<Sent> under_way_;
  std::uint64_t bytes_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t skipped_ = 0;
};

BlockId ContentId(const std::string& data) {
  return BlockId::Must(Sha256({data}).view());
}

// Where the root of what was stored is.
struct Root {
  BlockId id;
  bool has_manifest = false;
  std::uint64_t size = 0;
};

class Putter {
 public:
  Putter(Session& session, Uploader& uploader, std::uint64_t limit, std::optional<BlockId> root_id)
      : session_(session), uploader_(uploader), limit_(limit), root_id_(root_id) {}

  // Stores a stream. `is_root`: under the id the user asked for, if any.
  Root File(std::istream& in, const std::string& name, std::uint32_t mode, bool is_root) {
    std::string data = ReadPiece(in, name);
    // One piece without a manifest, unless it could be taken for one.
    if (data.size() < limit_ && !LooksLikeManifest(data)) {
      const std::uint64_t size = data.size();
      return {Queue(std::move(data), is_root), false, size};
    }
    Manifest m;
    m.mode = mode;
    Sha256Hasher whole;
    while (!data.empty()) {
      whole.Update(data);
      m.pieces.push_back({ContentId(data), data.size()});
      m.size += data.size();
      uploader_.Add(m.pieces.back().id, std::move(data));
      data = ReadPiece(in, name);
    }
    m.sha256 = whole.Finish();
    return {Store(m, is_root), true, m.size};
  }

  Root Directory(const fs::path& path, std::uint32_t mode, bool is_root) {
    Manifest m;
    m.kind = Manifest::Kind::kDirectory;
    m.mode = mode;
    std::vector<fs::path> members;
    for (const fs::directory_entry& e : fs::directory_iterator(path)) members.push_back(e.path());
    std::sort(members.begin(), members.end());
    std::uint64_t size = 0;
    for (const fs::path& member : members) {
      struct stat st {};
      if (lstat(member.c_str(), &st) != 0) throw CommandError(kExitFailure, "can't look at " + member.string());
      Manifest::Member e;
      e.name = member.filename().string();
      e.mode = st.st_mode & 0777;
      Root root;
      if (S_ISDIR(st.st_mode)) {
        e.kind = Manifest::Kind::kDirectory;
        root = Directory(member, e.mode, false);
      } else if (S_ISREG(st.st_mode)) {
        std::ifstream in(member, std::ios::binary);
        if (!in) throw CommandError(kExitFailure, "can't read " + member.string());
        root = File(in, member.string(), e.mode, false);
      } else {
        session_.err() << "coffer: skipped " << member.string() << ": neither a file nor a folder\n";
        continue;
      }
      e.root = root.id;
      e.has_manifest = root.has_manifest;
      e.size = root.size;
      size += root.size;
      m.members.push_back(std::move(e));
    }
    return {Store(m, is_root), true, size};
  }

 private:
  std::string ReadPiece(std::istream& in, const std::string& name) {
    std::string data(limit_, '\0');
    in.read(data.data(), static_cast<std::streamsize>(limit_));
    data.resize(static_cast<std::size_t>(in.gcount()));
    if (in.bad()) throw CommandError(kExitFailure, "can't read " + name);
    return data;
  }

  BlockId Store(const Manifest& m, bool is_root) {
    std::string text = EncodeManifest(m);
    if (text.size() > limit_) {
      Manifest outer;
      outer.kind = Manifest::Kind::kLong;
      outer.size = text.size();
      outer.sha256 = Sha256({text});
      for (std::size_t at = 0; at < text.size(); at += limit_) {
        std::string part = text.substr(at, limit_);
        outer.pieces.push_back({ContentId(part), part.size()});
        uploader_.Add(outer.pieces.back().id, std::move(part));
      }
      text = EncodeManifest(outer);
      if (text.size() > limit_)
        throw CommandError(kExitFailure, "this is too much for one manifest; put its parts one by one");
    }
    return Queue(std::move(text), is_root);
  }

  BlockId Queue(std::string data, bool is_root) {
    if (is_root && root_id_) {
      uploader_.AddNamed(*root_id_, std::move(data));
      return *root_id_;
    }
    const BlockId id = ContentId(data);
    uploader_.Add(id, std::move(data));
    return id;
  }

  Session& session_;
  Uploader& uploader_;
  const std::uint64_t limit_;
  const std::optional<BlockId> root_id_;
};

std::uint64_t TotalSize(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::is_regular_file(path) ? fs::file_size(path) : 0;
  std::uint64_t total = 0;
  for (const fs::directory_entry& e :
       fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied)) {
    if (e.is_regular_file() && !e.is_symlink()) total += e.file_size();
  }
  return total;
}

int Put(Session& session, const std::string& source, const std::string& id_text) {
  std::optional<BlockId> id;
  if (!id_text.empty()) id = ParseId(id_text);
  const bool from_stdin = source == "-";
  struct stat st {};
  if (!from_stdin && stat(source.c_str(), &st) != 0) {
    throw CommandError(kExitNotFound, "there is no file \"" + source + "\"");
  }
  const std::uint64_t total = from_stdin ? 0 : TotalSize(source);
  std::uint64_t limit = 4u << 20;
  const bool small = !from_stdin && S_ISREG(st.st_mode) && total < kSurelySmall;
  if (!small) {
    const std::uint64_t said = FetchStatus(session).chunk_limit_bytes();
    if (said > 0) limit = said;
  }
  Progress progress(session.err(), session.terminal().err_is_tty, "put " + source, total, session.terminal().width);
  Uploader uploader(session, progress);
  Putter putter(session, uploader, limit, id);
  Root root;
  if (from_stdin) {
    root = putter.File(session.in(), "standard input", 0644, true);
  } else if (S_ISDIR(st.st_mode)) {
    root = putter.Directory(source, st.st_mode & 0777, true);
  } else {
    std::ifstream in(source, std::ios::binary);
    if (!in) throw CommandError(kExitFailure, "can't read \"" + source + "\"");
    root = putter.File(in, source, st.st_mode & 0777, true);
  }
  uploader.Finish();
  progress.Clear();
  if (session.json()) {
    session.out() << nlohmann::json{{"id", Hex(root.id.view())},
                                    {"bytes", root.size},
                                    {"chunks_sent", uploader.sent()},
                                    {"chunks_already_there", uploader.skipped()}}
                         .dump()
                  << "\n";
  } else {
    session.out() << Hex(root.id.view()) << "\n";
  }
  return kExitOk;
}

}  // namespace

void AddPut(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("put", "Store a file, a folder or standard input; prints its id");
  cmd->footer(
      "  coffer put photo.jpg              prints the id: the SHA-256 of the content, or of the list of its pieces\n"
      "  coffer put holiday/               a folder with all that is in it\n"
      "  tar c . | coffer put -            standard input\n"
      "  coffer put --id HEX note.txt      under an id of your own (64 hexadecimal digits)\n"
      "Running it again is safe and sends only what is not there yet.");
  auto source = std::make_shared<std::string>();
  auto id = std::make_shared<std::string>();
  cmd->add_option("source", *source, "A file, a folder, or - for standard input")->required();
  cmd->add_option("--id", *id, "Id of the root, 64 hexadecimal digits");
  cmd->callback(
      [&session, source, id] { session.action = [&session, source, id] { return Put(session, *source, *id); }; });
}

}  // namespace coffer::command
