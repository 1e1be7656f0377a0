#include "node/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <system_error>

#include "node/byte_codec.h"
#include "node/disk_env.h"
#include "node/disk_guard.h"
#include "node/durable_file.h"
#include "node/store_format.h"

namespace coffer::node {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormatText = "coffer data folder 1\n";
constexpr std::string_view kFormatStart = "coffer data folder ";
constexpr std::uint64_t kIdentityVersion = 1;
constexpr std::string_view kIdentityKey = "identity";
constexpr std::string_view kMembersKey = "members";
constexpr std::uint64_t kMostPeers = 8192;
// What belongs to an identity, in the order it is moved aside: the identity last, so that what was begun is seen.
constexpr const char* kOfIdentity[] = {"agreement-a", "agreement-b", "store", "identity"};

template <class Id>
Id Random() {
  Id id;
  if (::getrandom(id.bytes.data(), id.bytes.size(), 0) != static_cast<ssize_t>(id.bytes.size())) {
    throw std::runtime_error("The kernel gave no random numbers.");
  }
  return id;
}

std::uint64_t BytesBelow(const std::string& path) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(path, error); !error && it != fs::end(it); it.increment(error)) {
    std::error_code gone;
    if (it->is_regular_file(gone)) bytes += it->file_size(gone);
  }
  return bytes;
}

bool Exists(const std::string& path) {
  struct stat st;
  return ::lstat(path.c_str(), &st) == 0;
}

}  // namespace

std::string EncodeIdentity(const Identity& identity) {
  ByteWriter out;
  out.Varint(kIdentityVersion).Raw(identity.id.view()).Raw(identity.cluster.view());
  out.U8(identity.has_store ? 1 : 0).Text(identity.name);
  return SealRow(kIdentityKey, out.bytes());
}

std::optional<Identity> DecodeIdentity(std::string_view bytes) {
  const auto body = OpenRow(kIdentityKey, bytes);
  if (!body) return std::nullopt;
  ByteReader in(*body);
  if (in.Varint() != kIdentityVersion) return std::nullopt;
  Identity identity;
  identity.id = in.Fixed<NodeId>();
  identity.cluster = in.Fixed<ClusterId>();
  const std::uint8_t has_store = in.U8();
  identity.name = in.Text();
  if (!in.Done() || has_store > 1 || identity.id.IsZero()) return std::nullopt;
  identity.has_store = has_store == 1;
  return identity;
}

DataFolder::~DataFolder() {
  agreement_.reset();
  if (lock_ >= 0) ::close(lock_);
}

DataFolder::Problem DataFolder::Explain(const std::string& what, int error) const {
  switch (error) {
    case EACCES:
    case EPERM:
      return {Error::kPermission, what + ". Nothing was changed. Give the folder " + options_.path +
                                      " and everything in it to the user cofferd runs as."};
    case EROFS:
      return {Error::kReadOnly, what + ". Linux does this after disk errors: look at the kernel's log, then mount the file "
                                       "system writable again or replace the disk."};
    case ENOSPC:
    case EDQUOT:
      return {Error::kNoSpace, what + ". No data is lost. Free space on this disk or enlarge it, then start again."};
    default:
      return {Error::kDisk, what + ". Look at the kernel's log and at the disk's health before starting again."};
  }
}

DataFolder::Opened DataFolder::Open(DataFolderOptions options) {
  if (!options.make_id) options.make_id = Random<NodeId>;
  std::unique_ptr<DataFolder> folder(new DataFolder(std::move(options)));
  for (auto step : {&DataFolder::CheckOurs, &DataFolder::Lock, &DataFolder::CheckFormat, &DataFolder::LoadIdentity, &DataFolder::RaiseBoot}) {
    if (Problem problem = (folder.get()->*step)(); !problem.ok()) return {nullptr, problem.error, problem.message};
  }
  return {std::move(folder), Error::kNone, {}};
}

std::string DataFolder::WhyNotOurs(const std::string& path) {
  DataFolderOptions options;
  options.path = path;
  return DataFolder(std::move(options)).CheckOurs().message;
}

// A new folder must hold nothing that is not ours, lest a wrong path cost someone his files. Before anything is made in it.
DataFolder::Problem DataFolder::CheckOurs() {
  int made = ::mkdir(options_.path.c_str(), 0750) == 0 ? 0 : errno;
  struct stat there;
  if (made == EEXIST && ::stat(options_.path.c_str(), &there) == 0) {
    made = S_ISDIR(there.st_mode) ? 0 : ENOTDIR;
  } else if (made == EEXIST) {
    made = errno;  // a link that leads nowhere
  }
  if (made == ENOENT || made == ENOTDIR) {
    return {Error::kNoFolder, FileError("creating", options_.path, made).what +
                                  ". Nothing was changed. Make the folder that it is to be in, or name another data folder."};
  }
  if (made != 0) return Explain(FileError("creating", options_.path, made).what, made);
  if (Exists(File("format")) || Exists(File("identity"))) return {};
  static const std::set<std::string> kKnown = {"lock",       "format",      "identity",      "agreement-a", "agreement-b",
                                               "store",      "members",     "quarantine",    "failed",      "retired-ids",
                                               "lost+found", "format.next", "identity.next", "secret",      "cofferd.toml",
                                               "scrub",      "scrub.next",  "secret.next", "secret.join", "secret.join.next"};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(options_.path, ignored)) {
    const std::string name = entry.path().filename().string();
    if (kKnown.contains(name) || name.starts_with("retired-") || name.starts_with(".")) continue;
    return {Error::kNotOurs, options_.path + " is no data folder: it holds " + name +
                                 ". Nothing was changed. Give cofferd an empty folder."};
  }
  return {};
}

DataFolder::Problem DataFolder::Lock() {
  const std::string path = File("lock");
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (lock_ < 0) return Explain(FileError("creating", path, errno).what, errno);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Explain(FileError("locking", path, errno).what, errno);
    int error = 0;
    const std::string holder = ReadWholeFile(path, &error).value_or("");
    return {Error::kInUse, "Another cofferd uses " + options_.path + (holder.empty() ? "" : " (process " + holder + ")") +
                               ". Nothing was changed. Stop that process, or give this one another data folder."};
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, pid.data(), pid.size(), 0) < 0) {
    // Only who holds the lock is not said then.
    notices_.push_back("The process id could not be noted in " + path + ".");
  }
  return {};
}

DataFolder::Problem DataFolder::CheckFormat() {
  int error = 0;
  const auto text = ReadWholeFile(File("format"), &error);
  if (text) {
    if (*text == kFormatText) return {};
    const bool cut = std::string_view(kFormatText).starts_with(*text);
    if (!cut && text->starts_with(kFormatStart)) {
      return {Error::kNewer, options_.path + " was written by a newer version of Coffer (" +
                                 text->substr(0, text->find('\n')).substr(0, 80) +
                                 "). Nothing was changed. Install that version again."};
    }
    notices_.push_back("The file format in " + options_.path + " did not verify and was written anew.");
  } else if (error != ENOENT) {
    return Explain(FileError("reading", File("format"), error).what, error);
  }
  const FileResult result = ReplaceFile(File("format"), kFormatText, options_.faults);
  return result.ok() ? Problem{} : Explain(result.what, result.error);
}

DataFolder::Problem DataFolder::LoadIdentity() {
  int error = 0;
  const auto bytes = ReadWholeFile(File("identity"), &error);
  if (!bytes && error != ENOENT && error != EFBIG) return Explain(FileError("reading", File("identity"), error).what, error);
  const bool there = bytes || error == EFBIG;
  const auto identity = bytes ? DecodeIdentity(*bytes) : std::nullopt;
  if (identity) identity_ = *identity;
  std::string reason;
  if (const auto marked = ReadWholeFile(File("failed"), &error)) {
    reason = marked->substr(0, 1000);
    if (reason.empty()) reason = "an earlier run failed";
  } else if (error != ENOENT) {
    return Explain(FileError("reading", File("failed"), error).what, error);
  }
  if (!identity) {
    // Votes without an identity may be those of a first start that was cut short: nothing was ever done with them.
    const bool leftovers = there || Exists(File("store"));
    if (!leftovers) return MakeIdentity();
    if (reason.empty()) reason = there ? "its identity file does not verify" : "its identity file is gone";
  }
  if (!reason.empty()) return RetireNow(reason);
  auto opened = AgreementFile::Open(options_.path, identity_.id, options_.faults);
  switch (opened.outcome) {
    case AgreementFile::Outcome::kLoaded:
      break;
    case AgreementFile::Outcome::kNewer:
      return {Error::kNewer, opened.message};
    case AgreementFile::Outcome::kFailed:
      return Explain(opened.message, EIO);
    case AgreementFile::Outcome::kAbsent:
    case AgreementFile::Outcome::kDamaged:
    case AgreementFile::Outcome::kForeign:
      return RetireNow("its votes can't be trusted: " + opened.message);
  }
  if (!opened.message.empty()) notices_.push_back(opened.message);
  agreement_ = std::move(opened.file);
  recovered_ = std::move(opened.state);
  return {};
}

DataFolder::Problem DataFolder::MakeIdentity() {
  identity_.id = options_.make_id();
  identity_.name = options_.name;
  identity_.has_store = false;
  // What was seen of others is true whatever became of us.
  NodeDurable fresh;
  fresh.remembered = std::move(recovered_.remembered);
  auto opened = AgreementFile::Create(options_.path, identity_.id, fresh, options_.faults);
  if (opened.outcome != AgreementFile::Outcome::kLoaded) return Explain(opened.message, EIO);
  agreement_ = std::move(opened.file);
  recovered_ = std::move(fresh);
  // Last: without it, what was made so far is no identity yet.
  if (Problem problem = WriteIdentity(); !problem.ok()) return problem;
  // What failed was an identity before this one.
  if (::unlink(File("failed").c_str()) == 0) SyncFolder(options_.path);
  return {};
}

DataFolder::Problem DataFolder::RaiseBoot() {
  cluster::AddStart(&recovered_.lineage, Random<cluster::BootNonce>());
  const auto saved = agreement_->Save(recovered_);
  if (!saved.ok) {
    if (saved.trust_lost) MarkFailed(saved.message);
    return Explain(saved.message, EIO);
  }
  if (identity_.name == options_.name) return {};
  identity_.name = options_.name;
  return WriteIdentity();
}

DataFolder::Problem DataFolder::WriteIdentity() {
  const FileResult result = ReplaceFile(File("identity"), EncodeIdentity(identity_), options_.faults);
  return result.ok() ? Problem{} : Explain(result.what, result.error);
}

bool DataFolder::SetCluster(const ClusterId& cluster, std::string* error) {
  if (identity_.cluster == cluster) return true;
  identity_.cluster = cluster;
  const Problem problem = WriteIdentity();
  *error = problem.message;
  return problem.ok();
}

bool DataFolder::NoteStore(std::string* error) {
  if (identity_.has_store) return true;
  identity_.has_store = true;
  const Problem problem = WriteIdentity();
  *error = problem.message;
  return problem.ok();
}

std::string EncodePeers(const std::vector<wire::MemberFacts>& peers) {
  ByteWriter body;
  body.Varint(std::min<std::uint64_t>(peers.size(), kMostPeers));
  for (std::size_t i = 0; i < peers.size() && i < kMostPeers; ++i) body.Text(peers[i].SerializeAsString());
  return SealRow(kMembersKey, body.bytes());
}

std::optional<std::vector<wire::MemberFacts>> DecodePeers(std::string_view bytes) {
  const auto body = OpenRow(kMembersKey, bytes);
  if (!body) return std::nullopt;
  ByteReader in(*body);
  const std::uint64_t count = in.Varint();
  if (count > kMostPeers) return std::nullopt;
  std::vector<wire::MemberFacts> peers;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view facts = in.Text();
    wire::MemberFacts peer;
    if (!in.ok() || !peer.ParseFromArray(facts.data(), static_cast<int>(facts.size()))) return std::nullopt;
    peers.push_back(std::move(peer));
  }
  return peers;
}

std::vector<wire::MemberFacts> DataFolder::ReadPeers() const {
  int error = 0;
  const auto bytes = ReadWholeFile(File("members"), &error);
  return (bytes ? DecodePeers(*bytes) : std::nullopt).value_or(std::vector<wire::MemberFacts>{});
}

bool DataFolder::WritePeers(const std::vector<wire::MemberFacts>& peers) {
  const std::string bytes = EncodePeers(peers);
  MutexLock lock(peers_mutex_);
  return ReplaceFile(File("members"), bytes, options_.faults).ok();
}

void DataFolder::MarkFailed(const std::string& reason) {
  const std::string path = File("failed");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return;  // the disk takes nothing at all; the operator has the message
  // Its mere presence counts, so nothing depends on the text.
  if (::write(fd, reason.data(), reason.size()) >= 0) ::fsync(fd);
  ::close(fd);
  SyncFolder(options_.path);
}

DataFolder::Opened DataFolder::Retire(const std::string& reason) && {
  DataFolderOptions options = options_;
  notices_.clear();
  Problem problem = RetireNow(reason);
  if (!problem.ok()) return {nullptr, problem.error, problem.message};
  auto next = std::unique_ptr<DataFolder>(new DataFolder(std::move(options)));
  std::swap(next->lock_, lock_);
  next->identity_ = identity_;
  next->agreement_ = std::move(agreement_);
  next->recovered_ = recovered_;
  next->notices_ = notices_;
  problem = next->RaiseBoot();
  if (!problem.ok()) return {nullptr, problem.error, problem.message};
  return {std::move(next), Error::kNone, {}};
}

DataFolder::Problem DataFolder::RetireNow(const std::string& reason) {
  agreement_.reset();
  if (Problem problem = MoveAside(reason); !problem.ok()) return problem;
  return MakeIdentity();
}

DataFolder::Problem DataFolder::MoveAside(const std::string& reason) {
  const std::string old_id = identity_.id.IsZero() ? "unknown" : Hex(identity_.id.view());
  std::uint64_t n = 1;
  while (Exists(File(("retired-" + std::to_string(n)).c_str()))) ++n;
  const std::string aside = File(("retired-" + std::to_string(n)).c_str());
  // Recorded first: an id that is moved is never unrecorded.
  int error = 0;
  std::string ids = ReadWholeFile(File("retired-ids"), &error).value_or("");
  std::string line = old_id + " " + reason;
  for (char& c : line) c = c == '\n' ? ' ' : c;
  const FileResult recorded = ReplaceFile(File("retired-ids"), ids + line + "\n", options_.faults);
  if (!recorded.ok()) return Explain(recorded.what, recorded.error);
  if (::mkdir(aside.c_str(), 0750) != 0) return Explain(FileError("creating", aside, errno).what, errno);
  const bool keep = SpaceOf(options_.path).free_bytes >= options_.keep_free_bytes + BytesBelow(File("store"));
  for (const char* name : kOfIdentity) {
    if (!Exists(File(name))) continue;
    const std::string to = aside + "/" + name;
    if (::rename(File(name).c_str(), to.c_str()) != 0) return Explain(FileError("moving", File(name), errno).what, errno);
  }
  for (const std::string& changed : {aside, options_.path}) {
    if (const int failed = SyncFolder(changed)) return Explain(FileError("syncing the folder", changed, failed).what, failed);
  }
  DropOldStores(keep ? n : n + 1);
  notices_.push_back("The identity " + old_id + " is retired: " + reason + ". What it left is in " + aside +
                     (keep ? "" : ", without its store, for which there is no room") +
                     ". This node goes on under a new id and fills itself from the other nodes. When all is well, " + aside +
                     " may be deleted.");
  return {};
}

// Stores of identities retired before number `newest` are not kept: a node that fails again and again would fill its disk.
void DataFolder::DropOldStores(std::uint64_t newest) {
  for (std::uint64_t n = 1; n < newest; ++n) {
    std::error_code ignored;
    fs::remove_all(File(("retired-" + std::to_string(n)).c_str()) + "/store", ignored);
  }
}

}  // namespace coffer::node
