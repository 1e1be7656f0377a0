// LevelDB's view of the disk, with the promises LevelDB's own lacks.
//
// * No mmap: a table cut short under us is an error, not a SIGBUS.
// * A file exists after power loss once it was created or renamed: its directory is synced.
// * The first failed append, flush, sync, rename or directory sync is final: every later one fails with the same
// message, so
//   that nothing written after it is believed (a sync that is repeated may succeed without the data).
// * Once the DB is open a full disk is waited for, not reported: the rest of a short write follows when there is space.
// Nothing
//   is lost meanwhile, and LevelDB never sees the failure after which it would go on as if nothing were missing.
// * How far logs and manifests were synced is noted beside them (SyncedMark).
// * Bytes are counted, and tests can make any operation fail or know what a power loss would take (DiskFaults).
#pragma once

#include <leveldb/env.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "node/synced_mark.h"
#include "proto/mutex.h"

namespace coffer::node {

// What a test sees and decides. Called by several threads at once; the default does nothing. `Before...` return an
// errno to fail with, 0 to go on.
class DiskFaults {
 public:
  virtual ~DiskFaults() = default;
  virtual int BeforeWrite(const std::string& /*path*/, std::size_t /*size*/) { return 0; }
  virtual int BeforeSync(const std::string& /*path*/) { return 0; }
  virtual int BeforeRead(const std::string& /*path*/) { return 0; }
  // A write past the page cache; EINVAL: the file system has none.
  virtual int BeforeDirect(const std::string& /*path*/) { return 0; }
  // Bytes in the middle of a file are about to be replaced; until the file is synced, a power loss may bring them back.
  virtual void Overwriting(const std::string& /*path*/, std::uint64_t /*offset*/, std::size_t /*size*/) {}
  // The file now holds `size` bytes that survive a power loss.
  virtual void Synced(const std::string& /*path*/, std::uint64_t /*size*/) {}
  virtual void Created(const std::string& /*path*/) {}
  virtual void DirectorySynced(const std::string& /*folder*/) {}
};

// fsyncs a folder; 0 or an errno.
int SyncFolder(const std::string& folder);
// The folder a path is in.
std::string FolderOf(const std::string& path);

// Thread-safe. Must outlive the DB that uses it.
class DiskEnv final : public leveldb::EnvWrapper {
 public:
  // `on_failure` is called once, by any thread, with the first failure. `log_room`: see DiskWritableFile.
  DiskEnv(DiskFaults* faults, std::function<void(const std::string&)> on_failure, std::uint64_t log_room = 0);
  ~DiskEnv() override;

  leveldb::Status NewSequentialFile(const std::string& path, leveldb::SequentialFile** out) override;
  leveldb::Status NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** out) override;
  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** out) override;
  leveldb::Status NewAppendableFile(const std::string& path, leveldb::WritableFile** out) override;
  leveldb::Status RemoveFile(const std::string& path) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  leveldb::Status LockFile(const std::string& path, leveldb::FileLock** lock) override;

  // The message of the first failure, or of having been stopped while waiting for space; empty while there is none.
  std::string failure() const;
  // A failure that leaves it unknown what the disk holds.
  bool trust_lost() const { return trust_lost_; }
  // Some write waits for space.
  bool waiting_for_space() const { return waiting_ > 0; }
  // From now on a full disk is waited for. Before, it ends the writing, as after StopWaiting.
  void StartWaiting();
  // From now on a full disk ends the writing, without being a failure of the disk: nobody will wait. For shutting down.
  void StopWaiting();

  std::uint64_t bytes_written() const { return bytes_written_; }
  // Bytes of the files written here, starting from what the folder held.
  std::uint64_t used_bytes() const { return used_bytes_; }
  void CountFolder(const std::string& folder);
  // From now on it is noted in this folder how far logs and manifests were synced. Before the DB is opened.
  leveldb::Status NoteSyncs(const std::string& folder);

 private:
  friend class DiskWritableFile;
  friend class DiskReader;
  friend class SegmentFile;
  // Ok, or the first failure.
  leveldb::Status Check() const;
  leveldb::Status Fail(const std::string& what, const std::string& path, int error);
  // As Fail, but nothing that was promised can be missing: on_failure is not called.
  leveldb::Status GiveUp(const std::string& what, const std::string& path, int error);
  bool SetFailure(std::string message);
  leveldb::Status SyncFolderOf(const std::string& path);
  // A file was synced, up to its end.
  leveldb::Status Synced(const std::string& path, std::uint64_t size);
  // Calls `write`, which returns what write(2) does, until it has written something of the `size` bytes; waits for space.
  leveldb::Status WriteSome(const std::string& path, std::size_t size, const std::function<ssize_t()>& write,
                            std::size_t* written);
  // True when it is worth trying again, false when nobody waits any more.
  bool WaitForSpace();

  DiskFaults* const faults_;
  const std::function<void(const std::string&)> on_failure_;
  const std::uint64_t log_room_;
  SyncedMark mark_;
  mutable Mutex mutex_;
  Condition stopped_;
  std::string failure_ ABSL_GUARDED_BY(mutex_);
  bool may_wait_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> failed_{false};
  std::atomic<bool> trust_lost_{false};
  std::atomic<int> waiting_{0};
  std::atomic<std::uint64_t> bytes_written_{0};
  std::atomic<std::uint64_t> used_bytes_{0};
};

}  // namespace coffer::node
