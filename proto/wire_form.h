// Protobuf's wire form, for what is encoded or taken apart by hand so that a value is not copied.
#pragma once

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace coffer::wire_form {

constexpr auto kVarint = google::protobuf::internal::WireFormatLite::WIRETYPE_VARINT;
constexpr auto kFixed32 = google::protobuf::internal::WireFormatLite::WIRETYPE_FIXED32;
constexpr auto kBytes = google::protobuf::internal::WireFormatLite::WIRETYPE_LENGTH_DELIMITED;

// What stands before a field.
constexpr std::uint32_t Tag(int field, google::protobuf::internal::WireFormatLite::WireType type) {
  return static_cast<std::uint32_t>(field) << 3 | static_cast<std::uint32_t>(type);
}

// A tag, and the number behind it: the size of what follows, or a value.
inline void AppendHead(std::uint32_t tag, std::uint64_t number, std::string* out) {
  std::uint8_t bytes[15];
  auto* end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(tag, bytes);
  end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(number, end);
  out->append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
}

// Puts the next `size` bytes behind what is in `out`; false: there are fewer. CodedInputStream::ReadString fills the room with zeros first.
inline bool AppendNext(google::protobuf::io::CodedInputStream* in, int size, std::string* out) {
  while (size > 0) {
    const void* piece = nullptr;
    int there = 0;
    if (!in->GetDirectBufferPointer(&piece, &there)) return false;
    const int taken = std::min(size, there);
    // Whoever claims more than his limit gets no memory for it.
    if (taken < size && size <= in->BytesUntilLimit()) out->reserve(out->size() + static_cast<std::size_t>(size));
    out->append(static_cast<const char*>(piece), static_cast<std::size_t>(taken));
    if (!in->Skip(taken)) return false;
    size -= taken;
  }
  return true;
}

}  // namespace coffer::wire_form
