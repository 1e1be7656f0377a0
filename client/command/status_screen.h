// The status as a screen: a pure function of the message, the size and whether colours are wanted.
#pragma once

#include <string>

namespace coffer::v1 {
class Status;
class MemberStatus;
}  // namespace coffer::v1

namespace coffer::command {

inline constexpr char kResyncPaused[] = "paused by an operator: coffer resync resume";

struct Screen {
  int width = 80;
  int height = 0;  // 0: as many lines as it takes
  bool colour = false;
};

// Every line ends with a line break and has at most `width` columns; at most `height` lines when that is given and at
// least 12. First the verdict, its reason and what to do; then the members, the moves, the copies, the invariants.
std::string RenderStatus(const v1::Status& status, const Screen& screen);

// "HEALTHY", "DEGRADED", "UNAVAILABLE".
const char* VerdictWord(const v1::Status& status);
// "up", "down 12s", "draining", ...; "read-only" when it is up but refuses writes.
std::string StateWord(const v1::MemberStatus& member);

}  // namespace coffer::command
