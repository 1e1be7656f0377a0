#include "client/command/fetch_tree.h"

#include <deque>

#include "cluster/sha256.h"

namespace coffer::command {
namespace {

// Pieces under way at once.
constexpr std::size_t kAhead = 6;

client::CallOptions Bulk() {
  client::CallOptions o;
  o.bulk = true;
  return o;
}

void CheckPiece(const BlockId& id, const std::string& data) {
  if (Sha256({data}).view() == id.view()) return;
  throw CommandError(kExitFailure, "the chunk " + Hex(id.view()) +
                                       " does not hold what its id says: its SHA-256 is another\n"
                                       "  nothing wrong was written; put the file again, or ask who stored this chunk");
}

}  // namespace

std::string FetchVerified(Session& session, const BlockId& id) {
  auto got = Need(session.client().Get(id, Bulk()).Take(), "can't get " + Hex(id.view()));
  CheckPiece(id, got.data);
  return std::move(got.data);
}

void FetchPieces(Session& session, const Manifest& m, const std::function<void(const std::string&)>& on_piece) {
  std::deque<client::Future<client::GetResult>> under_way;
  std::size_t asked = 0;
  Sha256Hasher whole;
  for (const Piece& piece : m.pieces) {
    while (asked < m.pieces.size() && under_way.size() < kAhead) {
      under_way.push_back(session.client().Get(m.pieces[asked++].id, Bulk()));
    }
    auto got = Need(under_way.front().Take(), "can't get the piece " + Hex(piece.id.view()));
    under_way.pop_front();
    CheckPiece(piece.id, got.data);
    if (got.data.size() != piece.size) {
      throw CommandError(kExitFailure,
                         "the piece " + Hex(piece.id.view()) + " has another size than its manifest says");
    }
    whole.Update(got.data);
    on_piece(got.data);
  }
  if (whole.Finish() != m.sha256) {
    throw CommandError(
        kExitFailure,
        "the pieces do not make up the file their manifest promises: the SHA-256 of the whole is another");
  }
}

Manifest OpenManifest(Session& session, const BlockId& id, const std::string& chunk) {
  try {
    Manifest m = DecodeManifest(chunk);
    if (m.kind != Manifest::Kind::kLong) return m;
    std::string text;
    FetchPieces(session, m, [&](const std::string& piece) { text += piece; });
    Manifest inner = DecodeManifest(text);
    if (inner.kind == Manifest::Kind::kLong) throw std::runtime_error("a long manifest in a long manifest");
    return inner;
  } catch (const CommandError&) {
    throw;
  } catch (const std::exception& e) {
    throw CommandError(kExitFailure, Hex(id.view()) + ": " + e.what() + "\n  nothing was written");
  }
}

}  // namespace coffer::command
