// Streams that stand still, or lose a frame, while their connection lives.
#include "link_puppet.h"
#include "link_test_support.h"
#include "test_support.h"

namespace coffer::link {
namespace {

using Catch::Matchers::Contains;

// A hub's pulse is heard many times within the patience of a test.
HubOptions Quick(std::chrono::milliseconds deaf_after = kPatience) {
  HubOptions options;
  options.pulse = std::chrono::milliseconds(20);
  options.deaf_after = deaf_after;
  return options;
}

Identity WithPulse(std::uint8_t n) {
  Identity self = Member(n);
  self.pulse = true;
  return self;
}

wire::LinkRequest Numbered(std::uint64_t number, bool message) {
  wire::LinkRequest frame;
  frame.set_number(number);
  if (!message) return frame;
  frame.add_envelopes()->mutable_peer()->mutable_data_request()->set_call(number);
  Seal(frame.mutable_envelopes(0));
  return frame;
}

bool Down(Station& at) {
  return at.recorder.Until([&] { return !at.recorder.downs.empty(); });
}

TEST_CASE("who has nothing to say says so, in numbered frames") {  // K2, K3
  Station b(2, Quick());
  Puppet puppet(b.address());
  puppet.Introduce(WithPulse(1));
  REQUIRE(puppet.Write({}));
  bool message = false;
  for (std::uint64_t number = 1; number <= 3 || !message; ++number) {
    const auto frame = puppet.Read();
    REQUIRE(frame);
    CHECK(frame->number() == number);
    if (number == 2) REQUIRE(b.hub->Send(NodeOf(1), Request(7)));
    message = message || frame->envelopes_size() > 0;
  }
  CHECK(b.hub->Linked(NodeOf(1)));
}

TEST_CASE("a stream on which nothing comes any more ends, though its connection lives") {  // K2
  Station b(2, Quick(std::chrono::milliseconds(500)));
  Puppet older(b.address()), puppet(b.address());
  older.Introduce(Member(3));  // of a version without a pulse: its silence means nothing
  REQUIRE(older.Write({}));
  REQUIRE(b.recorder.Until([&] { return b.recorder.ups.size() == 1; }));
  puppet.Introduce(WithPulse(1));
  REQUIRE(puppet.Write({}));
  REQUIRE(Down(b));
  CHECK(b.recorder.downs[0].first == NodeOf(1));
  CHECK_THAT(b.recorder.downs[0].second, Contains("whose connection lives"));
  CHECK(b.hub->stats().broken_off == 1);
  CHECK(b.recorder.refused[0].second.reason == "SILENT");
  CHECK(b.hub->Linked(NodeOf(3)));
}

TEST_CASE("a frame that got lost ends the link with the next one, which is not delivered") {  // K3
  const std::uint64_t next = GENERATE(1u, 3u, 0u);  // come twice, lost, and without a number
  Station b(2, Quick());
  Puppet puppet(b.address());
  puppet.Introduce(WithPulse(1));
  REQUIRE(puppet.Write(Numbered(1, true)));
  REQUIRE(b.recorder.Until([&] { return b.recorder.messages.size() == 1; }));
  puppet.Write(Numbered(next, true));
  REQUIRE(Down(b));
  CHECK(b.recorder.messages.size() == 1);
  CHECK(b.hub->stats().broken_off == 1);
  CHECK(b.recorder.refused[0].second.reason == "MISSING");
}

TEST_CASE("two hubs that have nothing to say stay linked") {  // K2
  Station a(1, Quick()), b(2, Quick());
  a.hub->Dial(b.address());
  REQUIRE(b.recorder.Until([&] { return !b.recorder.ups.empty(); }));
  for (std::uint64_t i = 0; i < 20; ++i) {
    REQUIRE(a.hub->Send(NodeOf(2), Request(i)));
    REQUIRE(b.hub->Send(NodeOf(1), Request(i, {std::string(100 << 10, 'x')})));
    REQUIRE(b.recorder.Until([&] { return b.recorder.messages.size() == i + 1; }));
    REQUIRE(a.recorder.Until([&] { return a.recorder.messages.size() == i + 1; }));
    // Beats in between.
    CHECK_FALSE(a.recorder.Until([&] { return !a.recorder.downs.empty(); }, std::chrono::milliseconds(30)));
  }
  CHECK(b.recorder.downs.empty());
  CHECK(a.hub->stats().broken_off + b.hub->stats().broken_off == 0);
}

}  // namespace
}  // namespace coffer::link
