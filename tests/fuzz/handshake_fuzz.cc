// What a stranger can say before it has proven anything.
#include "fuzz_target.h"
#include "proto/link/handshake.h"
#include "proto/link/join_token.h"

using namespace coffer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A token comes as text, from a file.
  if (const auto token = link::ParseJoinToken(fuzz::Text(data, size))) {
    fuzz::Require(link::ParseJoinToken(link::FormatJoinToken(*token)).has_value(), "a token survives the way back");
  }
  fuzz::Choices choices(fuzz::Text(data, size));
  if (choices.Byte() % 2 == 0) {
    link::AcceptorHandshake acceptor("the secret of the cluster");
    while (!choices.empty()) {
      const auto step = acceptor.OnFrame(choices.Piece());
      fuzz::Require(!step.proven && !step.token, "nobody proves a secret he does not know");
      if (!step.send) break;
    }
  } else {
    link::DiallerHandshake dialler("the secret of the cluster", link::Identity{}, link::DialAim{});
    while (!choices.empty()) {
      const auto step = dialler.OnFrame(choices.Piece());
      fuzz::Require(!step.proven, "nobody proves a secret he does not know");
      if (!step.send) break;
    }
  }
  return 0;
}
