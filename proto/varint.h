// Protobuf's variable-length numbers, for what is encoded by hand so that a value is not copied.
#pragma once

#include <google/protobuf/io/coded_stream.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace coffer {

inline void AppendVarint(std::uint64_t value, std::string* out) {
  std::uint8_t bytes[10];
  const auto* end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(value, bytes);
  out->append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
}

}  // namespace coffer
