// Answers of a router that the client takes apart by hand: anything is refused or understood, and what protobuf writes is read as it reads it.
#include <string>

#include "client/response_bytes.h"
#include "coffer/v1/chains.pb.h"
#include "coffer/v1/chunks.pb.h"
#include "fuzz_target.h"

using namespace coffer;
using namespace coffer::client;

namespace {

void Get(std::string_view bytes) {
  GetResult result;
  ParseGetResponse(std::string(bytes), &result);
  v1::GetResponse expected;
  if (!expected.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  expected.DiscardUnknownFields();
  fuzz::Require(ParseGetResponse(expected.SerializeAsString(), &result), "a chunk that protobuf wrote is read");
  fuzz::Require(result.data == expected.data() && result.total_size == expected.total_size(), "the chunk is the same");
}

void Read(std::string_view bytes) {
  ReadPage page;
  ParseReadResponse(bytes, &page);
  v1::ReadResponse expected;
  if (!expected.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  expected.DiscardUnknownFields();
  fuzz::Require(ParseReadResponse(expected.SerializeAsString(), &page), "a page that protobuf wrote is read");
  fuzz::Require(page.index == expected.index() && page.complete == expected.complete(), "the page is the same");
  fuzz::Require(page.part.entries.size() == static_cast<std::size_t>(expected.entries_size()), "it has all entries");
  for (int i = 0; i < expected.entries_size(); ++i) {
    const Entry& entry = page.part.entries[static_cast<std::size_t>(i)];
    fuzz::Require(entry.body == expected.entries(i).body() && entry.position == expected.entries(i).position(), "an entry is the same");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = fuzz::Text(data, size).substr(1);
  data[0] % 2 == 0 ? Get(bytes) : Read(bytes);
  return 0;
}
