// Rows, slots and keys as they are found on a disk. Raw bytes must be refused or understood; a body under a good checksum (what an
// older or newer version may have written) reaches the parsers behind the checksum.
#include "fuzz_target.h"
#include "node/agreement_slot.h"
#include "node/data_folder.h"
#include "node/leveldb_batch.h"
#include "node/store_format.h"

using namespace coffer;
using namespace coffer::node;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  const std::uint8_t what = choices.Byte();
  const PartitionId partition = choices.Byte();
  const bool sealed = choices.Byte() % 2 == 0;
  const std::string key(choices.Piece());
  const std::string_view bytes = choices.Rest();
  const auto row = [&](Space space, std::string_view of) {
    return sealed ? SealRow(StoredKey(space, partition, of), bytes) : std::string(bytes);
  };
  switch (what % 9) {
    case 0:
      if (const auto found = DecodeHeaderRow(partition, key, row(Space::kHeader, key))) {
        fuzz::Require(DecodeHeader(EncodeHeader(found->header)).has_value(), "a header survives the way back");
      }
      break;
    case 1: DecodeMetaRow(partition, row(Space::kMeta, {})); break;
    case 2: {
      const std::string stored = StoredLogKey(partition, Seq(7));
      DecodeLogRow(partition, Seq(7), sealed ? SealRow(stored, bytes) : std::string(bytes));
      break;
    }
    case 3: DecodeEraseRow(key, sealed ? SealRow(key, bytes) : std::string(bytes)); break;
    case 4:
      if (const auto slot = DecodeAgreementSlot(bytes)) {
        const auto again = DecodeAgreementSlot(EncodeAgreementSlot(*slot));
        fuzz::Require(again && again->state == slot->state, "a slot survives the way back");
      }
      IsNewerAgreementSlot(bytes);
      break;
    case 5:
      if (const auto identity = DecodeIdentity(bytes)) {
        fuzz::Require(DecodeIdentity(EncodeIdentity(*identity)) == identity, "an identity survives the way back");
      }
      break;
    case 6:
      if (const auto record = DecodeKey(bytes)) fuzz::Require(EncodeKey(*record) == bytes, "a key has one form");
      break;
    case 7:
      if (const auto header = DecodeHeader(bytes)) {
        fuzz::Require(DecodeHeader(EncodeHeader(*header)).has_value(), "a header survives the way back");
      }
      break;
    case 8:
      if (const auto peers = DecodePeers(sealed ? SealRow("members", bytes) : std::string(bytes))) {
        fuzz::Require(DecodePeers(EncodePeers(*peers)).has_value(), "members survive the way back");
      }
      break;
  }
  return 0;
}
