// A record on the disk of a router's cache, read where its index says that it lies.
#include "fuzz_target.h"
#include "router/core/disk_record.h"

using namespace coffer;
using namespace coffer::router;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const bool sealed = choices.Byte() % 2 == 0;
  const DiskPlace place{choices.Word(), choices.Word(), choices.Word()};
  std::string head(choices.Piece());
  const std::string_view chunk = choices.Rest();
  if (sealed && head.size() == ZoneId::kSize + BlockId::kSize) {
    const ChunkKey key{ZoneId::Must(head.substr(0, ZoneId::kSize)), BlockId::Must(head.substr(ZoneId::kSize))};
    head = DiskRecordHead(place, key, chunk);
    fuzz::Require(VerifyDiskRecord(place, head, chunk) == key, "a record survives the way back");
  }
  const auto key = VerifyDiskRecord(place, head, chunk);
  if (!key) return 0;
  fuzz::Require(DiskRecordHead(place, *key, chunk) == head, "a record has one form");
  // The checksum notices whatever lies in four bytes.
  for (std::uint32_t DiskPlace::*part : {&DiskPlace::segment, &DiskPlace::use, &DiskPlace::offset}) {
    DiskPlace elsewhere = place;
    ++(elsewhere.*part);
    fuzz::Require(!VerifyDiskRecord(elsewhere, head, chunk), "no record verifies where another was meant to be");
  }
  return 0;
}
