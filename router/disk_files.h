// The file under the cache's part on disk, and the threads that read and write it: nobody else waits for a disk.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "router/core/disk_index.h"

namespace coffer::router {

// Thread-safe.
class DiskFiles {
 public:
  struct Options {
    std::string folder;               // made if absent; the file in it is emptied and belongs to one router at a time
    std::uint32_t segment_bytes = 0;
    // Called on a thread of this object; must not block. `on_read`: the chunk is null unless kFound.
    std::function<void(std::vector<DiskWritten>)> on_written;
    std::function<void(DiskReadId, DiskReadEnd, Payload)> on_read;
    // Once. What waits to be written or read is given up without a word.
    std::function<void(std::string why)> on_failure;
  };
  // Throws std::runtime_error with a sentence for the operator.
  static std::unique_ptr<DiskFiles> Open(Options options);
  virtual ~DiskFiles() = default;  // stops the threads, and gives the space back

  // Carried out in the order given.
  virtual void Write(std::vector<DiskWrite> writes) = 0;
  // Carried out in any order.
  virtual void Read(std::vector<DiskRead> reads) = 0;
};

}  // namespace coffer::router
