// Values as people write them.
#include "node/cofferd/config_values.h"

#include "tests/test_support.h"

namespace coffer::server {
namespace {

using std::chrono::milliseconds;

TEST_CASE("sizes") {
  struct Case {
    const char* text;
    std::optional<std::uint64_t> bytes;
  };
  for (const Case& c : {Case{"0", 0}, {"1000", 1000}, {"4KiB", 4096}, {"64 MiB", 64ull << 20}, {"1GiB", 1ull << 30},
                        {"2TiB", 2ull << 40}, {"1GB", 1'000'000'000}, {"7B", 7}, {" 5MB ", 5'000'000}, {"", std::nullopt},
                        {"x", std::nullopt}, {"-1", std::nullopt}, {"1.5GiB", std::nullopt}, {"4Kib", std::nullopt},
                        {"99999999TiB", std::nullopt}, {"18446744073709551616", std::nullopt}}) {
    CAPTURE(c.text);
    CHECK(ParseSize(c.text) == c.bytes);
  }
  for (std::uint64_t bytes : {0ull, 1ull, 1000ull, 4096ull, 5ull << 20, (1ull << 30) + 1}) {
    CHECK(ParseSize(FormatSize(bytes)) == bytes);
  }
  CHECK(FormatSize(4 << 20) == "4MiB");
}

TEST_CASE("durations") {
  struct Case {
    const char* text;
    std::optional<milliseconds> duration;
  };
  for (const Case& c : {Case{"0", milliseconds(0)}, {"0s", milliseconds(0)}, {"250ms", milliseconds(250)},
                        {"10s", milliseconds(10'000)}, {"5m", milliseconds(300'000)}, {"2h", milliseconds(7'200'000)},
                        {"10", std::nullopt}, {"s", std::nullopt}, {"", std::nullopt}, {"-1s", std::nullopt},
                        {"1.5s", std::nullopt}, {"1d", std::nullopt}, {"9999999999999999h", std::nullopt}}) {
    CAPTURE(c.text);
    CHECK(ParseDuration(c.text) == c.duration);
  }
  for (int ms : {0, 1, 999, 1000, 60'000, 90'000, 3'600'000}) {
    CHECK(ParseDuration(FormatDuration(milliseconds(ms))) == milliseconds(ms));
  }
  CHECK(FormatDuration(milliseconds(90'000)) == "90s");
}

TEST_CASE("addresses") {
  for (const char* good : {"node-1:7701", "10.0.0.1:0", "[::1]:7701", "0.0.0.0:65535"}) CHECK(IsHostPort(good));
  for (const char* bad : {"", "node-1", ":7701", "node-1:", "node-1:x", "node-1:65536", "::1:7701", "a b:1", "http://x:1",
                          "[]:1", "node-1:-1"}) {
    CAPTURE(bad);
    CHECK_FALSE(IsHostPort(bad));
  }
}

TEST_CASE("names") {
  for (const char* good : {"a", "node-1", "rack_7.b", "3f2a"}) CHECK(IsName(good));
  for (const std::string& bad : {std::string(), std::string("-a"), std::string("a-"), std::string("a b"),
                                 std::string("\xc3\xa4"), std::string(64, 'a')}) {
    CAPTURE(bad);
    CHECK_FALSE(IsName(bad));
  }
}

TEST_CASE("lists drop what is empty") {
  CHECK(ParseList("a:1, b:2 ,,c:3") == std::vector<std::string>{"a:1", "b:2", "c:3"});
  CHECK(ParseList(" , ").empty());
}

TEST_CASE("edit distance counts swaps of neighbours as one") {
  CHECK(EditDistance("", "abc") == 3);
  CHECK(EditDistance("weight", "weight") == 0);
  CHECK(EditDistance("wieght", "weight") == 1);
  CHECK(EditDistance("kitten", "sitting") == 3);
}

}  // namespace
}  // namespace coffer::server
