// The end of a LevelDB log after power loss: torn, or damaged?
//
// LevelDB syncs each group of writes before it begins the next, so power loss can harm the last record only, and it
// harms it in one way: sectors that never reached the disk read as zeros. A process that is killed while it writes leaves
// the same (node/disk_writable_file.h). Such a record was never acknowledged and is cut off. Any other record that does
// not verify was acknowledged, or may have been: the store is damaged, and its identity is retired. LevelDB itself, told
// to be paranoid, can't tell the two apart and refuses both; and a last record whose length was changed passes with it for
// one that was cut short.
//
// Behind the last record of a log there may be zeros: room made for what was to come (node/disk_writable_file.h). LevelDB
// passes over them.
//
// Up to where a note says that a file was synced all has to verify, whatever it looks like (node/synced_mark.h).
//
// The price, without such a note or behind it: a last record that was acknowledged, then changed at rest, and has a sector of zeros of
// its own, or zeros alone in the sector it ends in, passes for torn; so do several if one missing sector holds the headers of all of
// them, and the first begins with it. A file that was cut short at rest can't be told from a torn one. And a torn record that lost
// only a sector in which fewer than 64 of its last bytes stand, or fewer than 7 of its first, passes for damaged: the node fills
// itself anew from the others, which costs time and no data. So does a bit that was changed in the room, within 7 bytes of the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "node/durable_file.h"

namespace coffer::node {

struct LogTail {
  enum class State {
    kWhole,    // everything verifies, but for room behind the last record, or a last record cut short by the end of the file
    kTorn,     // the last record has zeros where sectors are missing: cut at `end`
    kDamaged,  // anything else
  };
  State state = State::kWhole;
  std::uint64_t end = 0;  // where the last whole record ends
};

// Judges the bytes of a log or manifest (both have the same format).
LogTail JudgeLog(std::string_view bytes);

// The logs and the manifest in use of the DB in `folder`, judged before LevelDB reads them. Of the logs only the newest can be torn.
struct CheckedTails {
  std::string damaged;  // not empty: what does not verify; nothing was changed
  std::string cut;      // not empty: what was cut off
  FileResult cutting;   // how that ended: a failure is the disk's, not damage
};
CheckedTails CheckTails(const std::string& folder);

}  // namespace coffer::node
