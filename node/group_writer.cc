#include "node/group_writer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace coffer::node {
namespace {

constexpr std::uint64_t kFileBlock = SegmentFile::kBlock;
constexpr std::size_t kStaged = 1 << 20;  // written at a time

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};
// At an address that O_DIRECT takes. A group's own memory is not.
using BlockMemory = std::unique_ptr<char, Free>;

BlockMemory TakeBlocks(std::size_t size) {
  BlockMemory memory(static_cast<char*>(std::aligned_alloc(kFileBlock, size)));
  if (!memory) throw std::bad_alloc();
  return memory;
}

std::uint64_t BytesOf(const std::vector<std::string_view>& pieces) {
  std::uint64_t bytes = 0;
  for (const std::string_view piece : pieces) bytes += piece.size();
  return bytes;
}

}  // namespace

leveldb::Status GroupWriter::Write(const std::shared_ptr<SegmentFile>& file, std::uint64_t offset,
                                   const std::vector<std::string_view>& pieces) {
  if (file_ != file) {
    if (file_) file_->EndDirect();
    file_ = file;
    last_block_.clear();
  }
  const std::uint64_t size = BytesOf(pieces);
  if (size >= direct_bytes_ && (offset + size) % kFileBlock == 0) return WriteDirect(file.get(), offset, pieces, size);
  last_block_.clear();
  return file->Write(offset, pieces);
}

leveldb::Status GroupWriter::WriteDirect(SegmentFile* file, std::uint64_t offset, const std::vector<std::string_view>& pieces,
                                         std::uint64_t size) {
  // The block it begins in is written again as it is, which tears nothing that a write through the page cache would not.
  std::string before;
  if (auto status = BlockBefore(*file, offset, &before); !status.ok()) return status;
  const std::uint64_t room = std::min<std::uint64_t>(kStaged, before.size() + size);
  const BlockMemory stage = TakeBlocks(room);
  std::uint64_t at = offset - before.size();
  std::size_t staged = before.size();
  std::memcpy(stage.get(), before.data(), before.size());
  const auto write = [&] {
    const std::string_view blocks(stage.get(), staged);
    std::size_t written = 0;
    auto status = file->WriteDirect(at, blocks, &written);
    if (status.ok() && written < staged) status = file->Write(at + written, {blocks.substr(written)});
    last_at_ = at + staged - kFileBlock;
    last_block_ = blocks.substr(staged - kFileBlock);
    at += staged;
    staged = 0;
    return status;
  };
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const std::size_t fits = std::min<std::size_t>(piece.size(), room - staged);
      std::memcpy(stage.get() + staged, piece.data(), fits);
      staged += fits;
      piece.remove_prefix(fits);
      if (staged < room) continue;
      if (auto status = write(); !status.ok()) return status;
    }
  }
  return staged == 0 ? leveldb::Status::OK() : write();
}

leveldb::Status GroupWriter::BlockBefore(const SegmentFile& file, std::uint64_t offset, std::string* bytes) const {
  bytes->resize(offset % kFileBlock);
  if (bytes->empty()) return leveldb::Status::OK();
  if (!last_block_.empty() && last_at_ == offset - bytes->size()) {
    bytes->assign(last_block_, 0, bytes->size());
    return leveldb::Status::OK();
  }
  return file.Read(offset - bytes->size(), bytes->data(), bytes->size(), nullptr, 0);
}

}  // namespace coffer::node
