// A layout as a message, and the message as bytes. One meaning has one encoding, wherever the message was put together: agreement
// compares bytes.
#pragma once

#include <google/protobuf/arena.h>

#include <string>

#include "cluster/layout.h"
#include "cluster/message.h"
#include "coffer/internal/v1/layout.pb.h"

namespace coffer::cluster {

// Memory for the thousands of small messages of a layout, which go all at once.
class LayoutArena {
 public:
  LayoutArena() : arena_(Options()) {}
  // Lives as long as this.
  wire::Layout* New() { return google::protobuf::Arena::CreateMessage<wire::Layout>(&arena_); }

 private:
  static google::protobuf::ArenaOptions Options() {
    google::protobuf::ArenaOptions options;
    options.start_block_size = 64 << 10;
    options.max_block_size = 256 << 10;
    return options;
  }
  google::protobuf::Arena arena_;
};

std::string LayoutBytes(const wire::Layout& message);

// All of a layout but its partitions, and one of those; and back. The message is of this version's format (HasKnownFormat); what is read
// may be malformed.
void FillRest(const Layout& from, wire::Layout* to);
void FillPartition(const Group& from, wire::LayoutPartition* to);
bool HasKnownFormat(const wire::Layout& message);
Layout ReadRest(const wire::Layout& from);
Group ReadPartition(const wire::LayoutPartition& from);

}  // namespace coffer::cluster
