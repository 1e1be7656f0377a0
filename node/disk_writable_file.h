// A file that LevelDB writes from its beginning to its end, with the promises of DiskEnv.
//
// A log is written into room that is there already: whenever it has grown it is given zeros behind its end, so that most syncs change
// neither the file's length nor its blocks. Else every sync has the file system write its own records, too, which takes half as
// long again (docs/decisions/0011-room-in-the-log.md). What reads a log passes over zeros behind its last record (node/log_tail.h).
#pragma once

#include <leveldb/env.h>

#include <cstdint>
#include <string>

#include "node/disk_env.h"

namespace coffer::node {

// For one thread. Must not outlive the environment.
class DiskWritableFile final : public leveldb::WritableFile {
 public:
  // Takes `fd`, of an empty file. `room`: how many bytes are made at a time; 0: the file ends where what was written ends.
  DiskWritableFile(DiskEnv* env, std::string path, int fd, std::uint64_t room);
  ~DiskWritableFile() override;

  leveldb::Status Append(const leveldb::Slice& data) override;
  leveldb::Status Flush() override;
  leveldb::Status Sync() override;
  leveldb::Status Close() override;

 private:
  leveldb::Status WriteOut(std::size_t size);
  leveldb::Status MakeRoom();
  void CutRoom();
  void GrownTo(std::uint64_t size);

  DiskEnv* const env_;
  const std::string path_;
  int fd_;
  std::uint64_t room_;
  std::uint64_t written_ = 0;  // bytes of LevelDB's, but for the buffer
  std::uint64_t size_ = 0;     // of the file
  std::string buffer_;
};

}  // namespace coffer::node
