// Names and numbers as people and messages write them.
#include "cluster/ids.h"

#include <cctype>
#include <string>

#include "cluster/random.h"
#include "layout_fixtures.h"
#include "test_support.h"

namespace coffer {

TEST_CASE("hexadecimal digits: what is written is read back, in either case of letters") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    std::string raw(random.Below(40), '\0');
    for (char& c : raw) c = static_cast<char>(random.Next());
    const std::string hex = Hex(raw);
    CHECK(hex.size() == 2 * raw.size());
    CHECK(FromHex(hex) == raw);
    std::string upper = hex;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    CHECK(FromHex(upper) == raw);
  }
}

TEST_CASE("hexadecimal digits: a byte that is no digit, at either place, or an odd number of them, is refused") {
  for (int c = 0; c < 256; ++c) {
    const bool digit = std::string("0123456789abcdefABCDEF").find(static_cast<char>(c)) != std::string::npos;
    CHECK(FromHex(std::string{'1', static_cast<char>(c)}).has_value() == digit);
    CHECK(FromHex(std::string{static_cast<char>(c), '1'}).has_value() == digit);
  }
  CHECK_FALSE(FromHex("abc"));
  CHECK(FromHex("") == "");
}

TEST_CASE("ids: bytes of another length are no id") {
  const NodeId id = cluster::TestId(7);
  CHECK(NodeId::From(id.view()) == id);
  CHECK(NodeId::Must(id.str()) == id);
  for (std::size_t size : {std::size_t{0}, NodeId::kSize - 1, NodeId::kSize + 1}) {
    const std::string raw(size, 'x');
    CHECK_FALSE(NodeId::From(raw));
    CHECK(NodeId::Must(raw).IsZero());
  }
  CHECK_FALSE(id.IsZero());
  CHECK(Short(id) == "00000008");
}

TEST_CASE("ids are ordered as their bytes are, whichever of them differs") {
  for (std::size_t at = 0; at < NodeId::kSize; ++at) {
    NodeId low, high;
    low.bytes[at] = 0x7f;
    high.bytes[at] = 0x80;
    for (std::size_t behind = at + 1; behind < NodeId::kSize; ++behind) low.bytes[behind] = 0xff;
    CHECK(low < high);
    CHECK(high > low);
    CHECK(low != high);
    CHECK((low <=> low) == std::strong_ordering::equal);
    CHECK((low < high) == (low.view() < high.view()));
  }
}

TEST_CASE("stamps are ordered by term, then start, then position") {
  const Stamp low{Term(1), Boot(9), Seq(9)};
  CHECK(low < Stamp{Term(2), Boot(1), Seq(1)});
  CHECK(low < Stamp{Term(1), Boot(10), Seq(1)});
  CHECK(low < Stamp{Term(1), Boot(9), Seq(10)});
  CHECK(low == Stamp{Term(1), Boot(9), Seq(9)});
  CHECK(low != Stamp{Term(1), Boot(9), Seq(8)});
}

}  // namespace coffer
