// The answers that carry values, taken apart by hand: protobuf would make an object and four strings of each entry, and a second copy
// of each chunk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client/client.h"
#include "google/rpc/status.pb.h"

namespace coffer::client {

// A serialised v1::GetResponse, whose chunk keeps the memory of the bytes it came in. False: it is none.
bool ParseGetResponse(std::string bytes, GetResult* result);

// A serialised v1::ReadResponse.
struct ReadPage {
  std::uint32_t index = 0;
  google::rpc::Status status;
  bool complete = false;
  ReadResult part;
};
// False: it is none.
bool ParseReadResponse(std::string_view bytes, ReadPage* page);

}  // namespace coffer::client
