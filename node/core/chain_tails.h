// The ends of chains that were read lately, as the bytes that answer "the last n": reading them again is one look-up, without the disk,
// another thread or a copy.
//
// A mirror of what the store is told, never a source. Every batch passes Note before it is handed to the store: an entry behind a kept
// end makes it longer, anything else that touches a chain drops what is kept of it. Entries whose write is not committed yet are kept
// like others; each has the number of its write, so a read shows those it may show, as it would from the store. What is kept was
// verified when it was read from the disk, or came with its write.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/core/entry_pack.h"
#include "node/store.h"

namespace coffer::node {

// Single-threaded: the core's. Bounded in bytes; what was not read for longest goes first.
class ChainTails {
 public:
  // 0: nothing is kept.
  explicit ChainTails(std::uint64_t bytes) : most_(bytes) {}

  struct Chain {
    PartitionId partition = 0;
    ZoneId zone;
    BlockId id;
    auto operator<=>(const Chain&) const = default;
  };
  // Entries [first, length) of a chain whose committed length and hash these are.
  struct Found {
    std::uint64_t length = 0;
    Digest hash;
    std::uint64_t first = 0;
    Payload packed;  // as EntryPack makes them
  };
  // The entries from `from` on, and the last `count` of them at most, of writes up to `limit`. Nothing: not all of it is kept, or
  // there is none.
  std::optional<Found> Find(const Chain& chain, std::uint64_t from, std::uint64_t count, Seq limit);

  // The end of this chain is about to be read from the store, which holds nothing beyond what may be shown of it. The ticket goes with
  // the read; 0: don't bring it.
  std::uint64_t Expect(const Chain& chain);
  // What was read: entries from `first` to the end of the chain. Kept unless the chain changed since Expect.
  void Fill(const Chain& chain, std::uint64_t ticket, std::uint64_t first, Payload packed, std::vector<EntryMark> marks);

  // A batch on its way to the store.
  void Note(const StoreBatch& batch);
  // Whatever is kept of the partition goes.
  void Drop(PartitionId partition);

  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Fresh {  // an entry that came since `base` was put together
    std::string packed;
    Seq seq;
    Digest hash;
  };
  struct Tail {
    std::uint64_t awaited = 0;     // the ticket of a read under way; 0: filled
    std::uint64_t first = 0;       // position of the oldest kept
    std::uint64_t wanted = 0;      // entries that reads ask for, at most
    Payload base;                  // entries of `marks`, packed
    std::vector<EntryMark> marks;
    std::deque<Fresh> fresh;       // those behind
    std::uint64_t fresh_bytes = 0;
    std::uint64_t bytes = 0;       // what it counts
    std::list<Chain>::iterator use;

    std::uint64_t size() const { return marks.size() + fresh.size(); }
    Seq seq(std::uint64_t i) const { return i < marks.size() ? marks[i].seq : fresh[i - marks.size()].seq; }
    const Digest& hash(std::uint64_t i) const { return i < marks.size() ? marks[i].hash : fresh[i - marks.size()].hash; }
    // Where entry i of `base` begins.
    std::uint64_t Begin(std::uint64_t i) const { return i == 0 ? 0 : marks[i - 1].end; }
    Payload Packed(std::uint64_t from, std::uint64_t to) const;
    // All of it in one piece, but for what no read asks for.
    void Join();
  };
  using Tails = std::map<Chain, Tail>;

  void Append(Tails::iterator at, std::uint64_t position, const RecordHeader& header, const Payload& value);
  void Recount(Tail& tail);
  void Drop(Tails::iterator at);
  void MakeRoom();

  const std::uint64_t most_;
  std::uint64_t bytes_ = 0;
  std::uint64_t next_ticket_ = 1;
  Tails tails_;
  std::list<Chain> uses_;  // least recently read first
};

}  // namespace coffer::node
