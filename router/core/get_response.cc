#include "router/core/get_response.h"

#include <utility>

#include "coffer/v1/chunks.pb.h"
#include "proto/wire_form.h"

namespace coffer::router {

Response EncodeGetResponse(Payload data, std::uint64_t total_size) {
  std::string head;
  if (total_size != 0) {
    wire_form::AppendHead(wire_form::Tag(v1::GetResponse::kTotalSizeFieldNumber, wire_form::kVarint), total_size, &head);
  }
  if (!data || data->empty()) return head;
  wire_form::AppendHead(wire_form::Tag(v1::GetResponse::kDataFieldNumber, wire_form::kBytes), data->size(), &head);
  return {std::move(head), std::move(data)};
}

std::optional<std::string_view> Cut(std::string_view chunk, std::uint64_t offset, std::uint64_t length) {
  if (offset == 0 && length == 0) return chunk;
  if (offset > chunk.size() || (offset == chunk.size() && length != 0)) return std::nullopt;
  return chunk.substr(offset, length == 0 ? std::string_view::npos : length);
}

}  // namespace coffer::router
