// What the log of values keeps on a disk: locators, records, rows of segments. What is understood is what would be written.
#include "cluster/checksum.h"
#include "fuzz_target.h"
#include "node/byte_codec.h"
#include "node/store_format.h"
#include "node/value_record.h"

using namespace coffer;
using namespace coffer::node;

namespace {

// The bytes behind a good checksum of their place.
std::string SealedRecord(const ValuePosition& at, std::string_view bytes) {
  const std::string place = ByteWriter().Raw("coffer value").U64(at.segment).U64(at.offset).Take();
  const std::size_t key = bytes.size() > 12 ? static_cast<std::uint8_t>(bytes[12]) : 0;
  const std::string_view summed = bytes.substr(0, ValueRecordBytes(key) - 4);
  return ByteWriter().U32(Crc32c({place, summed})).Raw(bytes).Take();
}

void Record(const ValuePosition& at, std::string_view bytes) {
  const auto record = DecodeValueRecord(at, bytes);
  if (!record) return;
  const std::string again = EncodeValueRecord(at, *record);
  fuzz::Require(again == bytes.substr(0, again.size()), "a record has one form");
  fuzz::Require(again.size() == ValueRecordBytes(record->key.size()) && again.size() <= kMostValueRecordBytes, "a record is as long as is said");
  fuzz::Require(!DecodeValueRecord({at.segment + 1, at.offset}, bytes), "no record is one of another segment");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const std::uint8_t what = choices.Byte();
  const bool sealed = choices.Byte() % 2 == 0;
  const ValuePosition at{choices.Word(), choices.Word()};
  const std::string_view bytes = choices.Rest();
  switch (what % 4) {
    case 0:
      if (const auto locator = DecodeLocator(bytes)) fuzz::Require(EncodeLocator(*locator) == bytes, "a locator has one form");
      break;
    case 1: Record(at, sealed ? SealedRecord(at, bytes) : std::string(bytes)); break;
    case 2: {
      const std::string row = sealed ? SealRow(SegmentKey(at.segment), bytes) : std::string(bytes);
      if (const auto segment = DecodeSegmentRow(at.segment, row)) {
        fuzz::Require(segment->live <= segment->end && segment->end <= segment->size, "no more lives than was written");
        fuzz::Require(EncodeSegmentRow(at.segment, *segment) == row, "a row has one form");
      }
      break;
    }
    case 3:
      if (const auto segment = DecodeSegmentKey(bytes)) fuzz::Require(SegmentKey(*segment) == bytes, "a key has one form");
      break;
  }
  return 0;
}
