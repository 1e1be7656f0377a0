// What a start finds of LevelDB's logs: the note of how far they were synced, and a log, of pieces that verify and others.
#include <algorithm>
#include <string>

#include "cluster/checksum.h"
#include "fuzz_target.h"
#include "node/byte_codec.h"
#include "node/log_tail.h"
#include "node/synced_mark.h"

using namespace coffer;
using namespace coffer::node;

namespace {

void TryNote(std::string_view bytes, bool sealed) {
  std::string note(bytes);
  if (sealed) {
    const std::string begin = EncodeSyncedEnds({}).substr(0, 8);
    note = ByteWriter().Raw(begin).U32(Crc32c({bytes})).Raw(bytes).Take();
  }
  const auto ends = DecodeSyncedEnds(note);
  if (ends) fuzz::Require(EncodeSyncedEnds(*ends) == note, "a note has one form");
}

// A fragment of a record, as LevelDB writes it.
std::string Fragment(std::uint8_t type, std::string_view body) {
  const std::string typed = ByteWriter().U8(type).Raw(body).Take();
  const std::uint32_t crc = Crc32c({typed});
  const std::uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(masked >> 8 * i & 0xff));
  out.push_back(static_cast<char>(body.size() & 0xff));
  out.push_back(static_cast<char>(body.size() >> 8));
  return out + typed;
}

void TryLog(fuzz::Choices choices) {
  std::string log;
  while (!choices.empty() && log.size() < (256 << 10)) {
    const std::uint8_t kind = choices.Byte();
    switch (kind % 4) {
      case 0: log += Fragment(static_cast<std::uint8_t>(1 + choices.Byte() % 4), choices.Piece()); break;
      case 1: log.append(choices.Word(), '\0'); break;
      case 2: log += choices.Piece(); break;
      case 3: log.resize(log.size() - std::min<std::size_t>(log.size(), choices.Byte())); break;
    }
  }
  const LogTail tail = JudgeLog(log);
  fuzz::Require(tail.end <= log.size(), "what is whole is there");
  if (tail.state == LogTail::State::kDamaged) return;
  const LogTail cut = JudgeLog(std::string_view(log).substr(0, tail.end));
  fuzz::Require(cut.state == LogTail::State::kWhole && cut.end == tail.end, "a log that was cut at its end is whole");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const std::uint8_t what = choices.Byte();
  if (what % 4 < 2) {
    TryNote(choices.Rest(), what % 4 == 0);
  } else {
    TryLog(choices);
  }
  return 0;
}
