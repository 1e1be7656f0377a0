#include "node/leveldb_open.h"

#include <sys/stat.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "node/byte_codec.h"
#include "node/disk_env.h"
#include "node/disk_guard.h"
#include "node/leveldb_batch.h"
#include "node/leveldb_read.h"
#include "node/log_tail.h"

namespace coffer::node {
namespace {

// 1: large values are rows of LevelDB. 2: new ones go to the log of values; those rows are still read.
constexpr std::uint64_t kStoreVersion = 2;
const std::string kStoreKey(1, static_cast<char>(Space::kStore));

OpenedDb Refused(StoreOpenError error, std::string message) {
  return {nullptr, nullptr, error, std::move(message)};
}

OpenedDb Explain(StoreOpenError error, const std::string& folder, const std::string& detail) {
  switch (error) {
    case StoreOpenError::kInUse:
      return Refused(error, "Another cofferd uses " + folder + " (" + detail +
                                "). Nothing was changed. Stop that process, or give this one another data folder.");
    case StoreOpenError::kPermission:
      return Refused(error,
                     "No permission to read and write " + folder + " (" + detail +
                         "). Nothing was changed. Give the folder and everything in it to the user cofferd runs as.");
    case StoreOpenError::kReadOnly:
      return Refused(error,
                     "The file system of " + folder + " is read-only (" + detail +
                         "). Nothing was changed. Linux does this after disk errors: look at the kernel's log, then "
                         "mount it writable again or replace the disk.");
    case StoreOpenError::kNoSpace:
      return Refused(error, "No space left for " + folder + " (" + detail +
                                "). No data is lost. Free space on this disk or enlarge it, then start again.");
    case StoreOpenError::kDamaged:
      return Refused(error,
                     "The store in " + folder + " is damaged: " + detail +
                         ". The other copies are safe; this one must not be used as it is. The node starts under a new "
                         "id and fills itself from the other nodes; what is here is kept aside for inspection.");
    case StoreOpenError::kForeign:
      return Refused(error,
                     "The store in " + folder + " belongs to another node: " + detail +
                         ". Nothing was changed. Put each node's data folder back in its place; if that is impossible, "
                         "the node starts under a new id and fills itself from the others.");
    case StoreOpenError::kNewer:
      return Refused(error, "The store in " + folder + " was written by a newer version of Coffer (" + detail +
                                "). Nothing was changed. Install that version again.");
    case StoreOpenError::kDisk:
    case StoreOpenError::kNone:
      break;
  }
  return Refused(StoreOpenError::kDisk,
                 "The disk of " + folder + " answered with an error: " + detail +
                     ". Look at the kernel's log and at the disk's health before starting again.");
}

StoreOpenError Classify(const leveldb::Status& status) {
  const std::string text = status.ToString();
  const auto says = [&](int error) { return text.find(std::generic_category().message(error)) != std::string::npos; };
  if (text.find("in use by") != std::string::npos) return StoreOpenError::kInUse;
  if (status.IsCorruption() || status.IsInvalidArgument() || status.IsNotFound()) return StoreOpenError::kDamaged;
  if (says(EACCES) || says(EPERM)) return StoreOpenError::kPermission;
  if (says(EROFS)) return StoreOpenError::kReadOnly;
  if (says(ENOSPC) || says(EDQUOT)) return StoreOpenError::kNoSpace;
  return StoreOpenError::kDisk;
}

StoreOpenError ClassifyErrno(int error) {
  return Classify(leveldb::Status::IOError(std::generic_category().message(error)));
}

bool EndsWith(const std::string& name, std::string_view end) {
  return name.size() >= end.size() && std::string_view(name).substr(name.size() - end.size()) == end;
}

// LevelDB would start anew, and delete what it finds, when only CURRENT is gone.
std::string WhatIsMissing(const std::vector<std::string>& names, bool must_exist) {
  const bool has_current = std::find(names.begin(), names.end(), "CURRENT") != names.end();
  if (has_current) return {};
  for (const auto& name : names) {
    if (EndsWith(name, ".ldb") || EndsWith(name, ".log")) return "its file CURRENT is gone while " + name + " is there";
  }
  return must_exist ? "its files are gone, although this node has stored data before" : std::string{};
}

std::string StoreRow(const NodeId& owner) {
  return SealRow(kStoreKey, ByteWriter().Varint(kStoreVersion).Raw(owner.view()).bytes());
}

bool IsEmpty(leveldb::DB* db) {
  std::unique_ptr<leveldb::Iterator> it(db->NewIterator(VerifiedScan()));
  it->SeekToFirst();
  return !it->Valid() && it->status().ok();
}

OpenedDb Mark(const LevelDbStoreOptions& options, std::unique_ptr<leveldb::DB> db) {
  leveldb::WriteOptions sync;
  sync.sync = true;
  const auto status = db->Put(sync, kStoreKey, StoreRow(options.owner));
  if (!status.ok()) return Explain(Classify(status), options.folder, status.ToString());
  return {std::move(db), nullptr, StoreOpenError::kNone, {}};
}

// Whose store it is, and of which version; a new one is marked as ours, an old one as of this version.
OpenedDb CheckOwner(const LevelDbStoreOptions& options, std::unique_ptr<leveldb::DB> db) {
  std::string row;
  auto status = db->Get(VerifiedRead(), kStoreKey, &row);
  if (status.IsNotFound()) {
    if (options.must_exist || !IsEmpty(db.get())) {
      return Explain(StoreOpenError::kDamaged, options.folder, "the row that says whose it is is gone");
    }
    return Mark(options, std::move(db));
  }
  if (!status.ok()) return Explain(Classify(status), options.folder, status.ToString());
  const auto body = OpenRow(kStoreKey, row);
  if (!body) return Explain(StoreOpenError::kDamaged, options.folder, "the row that says whose it is does not verify");
  ByteReader in(*body);
  const std::uint64_t version = in.Varint();
  if (version > kStoreVersion) {
    return Explain(StoreOpenError::kNewer, options.folder,
                   "format " + std::to_string(version) + ", this one knows " + std::to_string(kStoreVersion));
  }
  const NodeId owner = in.Fixed<NodeId>();
  if (!in.Done())
    return Explain(StoreOpenError::kDamaged, options.folder, "the row that says whose it is is malformed");
  if (owner != options.owner) {
    return Explain(StoreOpenError::kForeign, options.folder,
                   "it is of " + Hex(owner.view()) + ", this node is " + Hex(options.owner.view()));
  }
  if (version < kStoreVersion) return Mark(options, std::move(db));
  return {std::move(db), nullptr, StoreOpenError::kNone, {}};
}

ValueLogOptions ValueOptions(const LevelDbStoreOptions& options) {
  constexpr std::uint64_t kLeast = 1 << 20;
  // A small disk is not given away in few large pieces.
  const std::uint64_t share = (options.space ? options.space() : SpaceOf(options.folder)).total_bytes / 256;
  const std::uint64_t bytes = std::min(options.segment_bytes, std::max(share, kLeast)) / SegmentFile::kBlock * SegmentFile::kBlock;
  return {options.folder + "/values", bytes, options.spare_segments, options.direct_bytes};
}

leveldb::Status FinishErasures(const LevelDbStoreOptions& options, leveldb::DB* db, ValueLog* values) {
  std::vector<LongErase> unfinished;
  const std::string prefix(1, static_cast<char>(Space::kErase));
  std::unique_ptr<leveldb::Iterator> it(db->NewIterator(VerifiedScan()));
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    auto erase = DecodeEraseRow(AsView(it->key()), AsView(it->value()));
    if (!erase) return leveldb::Status::Corruption("a row that names an unfinished erasure does not verify");
    unfinished.push_back(std::move(*erase));
  }
  auto status = it->status();
  for (const auto& erase : unfinished) {
    if (!status.ok()) break;
    status = FinishErase(db, values, erase, options.erase_at_once);
  }
  return status;
}

// Every partition's meta line. Without one of them its partition would pass for one that was never written.
leveldb::Status CheckMetas(leveldb::DB* db) {
  const std::string prefix(1, static_cast<char>(Space::kMeta));
  std::unique_ptr<leveldb::Iterator> it(db->NewIterator(VerifiedScan()));
  for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    const auto split = SplitStoredKey(Space::kMeta, AsView(it->key()));
    if (!split || !split->key.empty() || !DecodeMetaRow(split->partition, AsView(it->value()))) {
      return leveldb::Status::Corruption("what was written last in a partition does not verify");
    }
  }
  return it->status();
}

}  // namespace

OpenedDb OpenDb(const LevelDbStoreOptions& options, DiskEnv* env, leveldb::Options leveldb_options) {
  if (::mkdir(options.folder.c_str(), 0750) != 0 && errno != EEXIST) {
    const int error = errno;
    return Explain(ClassifyErrno(error), options.folder, std::generic_category().message(error));
  }
  SyncFolder(FolderOf(options.folder));
  std::vector<std::string> names;
  if (auto status = leveldb_options.env->GetChildren(options.folder, &names); !status.ok()) {
    return Explain(Classify(status), options.folder, status.ToString());
  }
  if (const std::string missing = WhatIsMissing(names, options.must_exist); !missing.empty()) {
    return Explain(StoreOpenError::kDamaged, options.folder, missing);
  }
  leveldb::FileLock* lock = nullptr;
  const std::string lock_path = options.folder + "/LOCK";
  if (auto status = leveldb_options.env->LockFile(lock_path, &lock); !status.ok()) {
    return Explain(Classify(status), options.folder, status.ToString());
  }
  const CheckedTails tails = CheckTails(options.folder);
  leveldb_options.env->UnlockFile(lock);
  if (!tails.damaged.empty()) return Explain(StoreOpenError::kDamaged, options.folder, tails.damaged);
  if (!tails.cutting.ok()) return Explain(ClassifyErrno(tails.cutting.error), options.folder, tails.cutting.what);
  env->CountFolder(options.folder);  // without what was cut off
  if (auto noting = env->NoteSyncs(options.folder); !noting.ok()) return Explain(Classify(noting), options.folder, noting.ToString());
  leveldb_options.create_if_missing = true;
  leveldb::DB* raw = nullptr;
  const auto status = leveldb::DB::Open(leveldb_options, options.folder, &raw);
  std::unique_ptr<leveldb::DB> db(raw);
  if (!status.ok()) return Explain(Classify(status), options.folder, status.ToString());
  OpenedDb opened = CheckOwner(options, std::move(db));
  if (!opened.db) return opened;
  if (auto log = ValueLog::Open(env, opened.db.get(), ValueOptions(options), &opened.values); !log.ok()) {
    return Explain(Classify(log), options.folder, log.ToString());
  }
  if (auto finished = FinishErasures(options, opened.db.get(), opened.values.get()); !finished.ok()) {
    return Explain(Classify(finished), options.folder, finished.ToString());
  }
  if (auto checked = CheckMetas(opened.db.get()); !checked.ok()) {
    return Explain(Classify(checked), options.folder, checked.ToString());
  }
  return opened;
}

}  // namespace coffer::node
