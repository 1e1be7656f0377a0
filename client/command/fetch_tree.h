// Reading back what `coffer put` stored: verified pieces, manifests, whole trees.
#pragma once

#include <functional>
#include <string>

#include "client/command/command.h"
#include "client/command/manifest.h"

namespace coffer::command {

// The bytes of a chunk whose id is the SHA-256 of its content; throws CommandError (also when it is not).
std::string FetchVerified(Session& session, const BlockId& id);
// The manifest in a chunk, put together if it is a long one; throws CommandError.
Manifest OpenManifest(Session& session, const BlockId& id, const std::string& chunk);
// Hands the pieces of a file over in order, several under way at once, each verified, then checks the whole.
void FetchPieces(Session& session, const Manifest& manifest, const std::function<void(const std::string&)>& on_piece);

}  // namespace coffer::command
