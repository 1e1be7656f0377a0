// A manifest chunk that somebody else stored: no name in it leaves the folder it is restored into.
#include <stdexcept>
#include <string>

#include "client/command/manifest.h"
#include "fuzz_target.h"

using namespace coffer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string chunk(fuzz::Text(data, size));
  command::LooksLikeManifest(chunk);
  command::Manifest manifest;
  try {
    manifest = command::DecodeManifest(chunk);
  } catch (const std::runtime_error&) {
    return 0;
  }
  for (const auto& member : manifest.members) {
    fuzz::Require(command::SafeName(member.name), "a member's name may be created");
    fuzz::Require(member.name.find('/') == std::string::npos && member.name != "..", "a member stays in its folder");
  }
  const std::string again = command::EncodeManifest(manifest);
  fuzz::Require(command::EncodeManifest(command::DecodeManifest(again)) == again, "a manifest survives the way back");
  return 0;
}
