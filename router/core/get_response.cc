#include "router/core/get_response.h"

namespace coffer::router {
namespace {

void AppendVarint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

}  // namespace

std::string EncodeGetResponse(std::string_view data, std::uint64_t total_size) {
  std::string out;
  out.reserve(data.size() + 24);
  if (!data.empty()) {
    out.push_back('\x0a');
    AppendVarint(out, data.size());
    out.append(data);
  }
  if (total_size != 0) {
    out.push_back('\x10');
    AppendVarint(out, total_size);
  }
  return out;
}

std::optional<std::string_view> Cut(std::string_view chunk, std::uint64_t offset, std::uint64_t length) {
  if (offset == 0 && length == 0) return chunk;
  if (offset > chunk.size() || (offset == chunk.size() && length != 0)) return std::nullopt;
  return chunk.substr(offset, length == 0 ? std::string_view::npos : length);
}

}  // namespace coffer::router
