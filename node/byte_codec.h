// Integers and strings as bytes, for everything this node keeps on disk or sums up in a hash. Big-endian, so that stored
// order is numeric order.
//
// The reader is strict: numbers have one encoding only, and reading past the end fails for good. So bytes that decode
// are the bytes that would be encoded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace coffer::node {

// Appends to a string.
class ByteWriter {
 public:
  ByteWriter() = default;
  // Reserves `size` bytes, in the memory of `used` if given; more may be written.
  explicit ByteWriter(std::size_t size, std::string used = {}) : out_(std::move(used)) {
    out_.clear();
    out_.reserve(size);
  }

  ByteWriter& U8(std::uint8_t v) { return Big(v, 1); }
  ByteWriter& U32(std::uint32_t v) { return Big(v, 4); }
  ByteWriter& U64(std::uint64_t v) { return Big(v, 8); }
  // Seven bits a byte, the lowest first.
  ByteWriter& Varint(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_.push_back(static_cast<char>(v | 0x80));
    out_.push_back(static_cast<char>(v));
    return *this;
  }
  ByteWriter& Raw(std::string_view bytes) {
    out_.append(bytes);
    return *this;
  }
  // A varint length and the bytes.
  ByteWriter& Text(std::string_view bytes) { return Varint(bytes.size()).Raw(bytes); }

  const std::string& bytes() const { return out_; }
  std::string Take() { return std::move(out_); }

 private:
  ByteWriter& Big(std::uint64_t v, std::size_t size) {
    std::array<char, 8> bytes;
    for (std::size_t i = size; i-- > 0; v >>= 8) bytes[i] = static_cast<char>(v & 0xff);
    out_.append(bytes.data(), size);
    return *this;
  }
  std::string out_;
};

// Reads from bytes it does not own. After the first failure everything reads as zero and ok() is false.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  std::uint8_t U8() { return static_cast<std::uint8_t>(Big(1)); }
  std::uint32_t U32() { return static_cast<std::uint32_t>(Big(4)); }
  std::uint64_t U64() { return Big(8); }
  std::uint64_t Varint() {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t byte = U8();
      if (!ok_) return 0;
      if (shift == 63 && byte > 1) break;  // beyond 64 bits
      if (byte == 0 && shift > 0) break;   // a longer encoding than needed
      v |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return v;
    }
    return Fail();
  }
  std::string_view Raw(std::size_t size) {
    if (!ok_ || rest_.size() < size) {
      Fail();
      return {};
    }
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  std::string_view Text() {
    const std::uint64_t size = Varint();
    if (size > rest_.size()) {
      Fail();
      return {};
    }
    return Raw(static_cast<std::size_t>(size));
  }
  template <class B>  // Bytes<...> of cluster/ids.h
  B Fixed() {
    return B::Must(Raw(B::kSize));
  }

  std::string_view rest() const { return rest_; }
  bool ok() const { return ok_; }
  // Everything was read, and it was well-formed.
  bool Done() const { return ok_ && rest_.empty(); }
  std::uint64_t Fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }

 private:
  std::uint64_t Big(int size) {
    std::uint64_t v = 0;
    for (const char c : Raw(static_cast<std::size_t>(size))) v = v << 8 | static_cast<std::uint8_t>(c);
    return v;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace coffer::node
