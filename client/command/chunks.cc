// coffer has, coffer rm.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "client/command/command.h"
#include "client/command/fetch_tree.h"
#include "client/command/format.h"
#include "client/command/registry.h"

namespace coffer::command {
namespace {

int Has(Session& session, const std::vector<std::string>& texts) {
  std::vector<BlockId> ids;
  for (const std::string& t : texts) ids.push_back(ParseId(t));
  bool all = true;
  for (std::size_t at = 0; at < ids.size(); at += 1000) {
    const std::vector<BlockId> page(ids.begin() + static_cast<std::ptrdiff_t>(at),
                                    ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), at + 1000)));
    const auto present = Need(session.client().Has(page).Get(), "can't ask for the chunks");
    for (std::size_t i = 0; i < page.size(); ++i) {
      all = all && present[i];
      const std::string hex = Hex(page[i].view());
      if (session.json()) {
        session.out() << nlohmann::json{{"id", hex}, {"present", static_cast<bool>(present[i])}}.dump() << "\n";
      } else {
        session.out() << hex << (present[i] ? "  yes\n" : "  no\n");
      }
    }
  }
  return all ? kExitOk : kExitNotFound;
}

// Everything a root leads to, the root last: what is deleted in this order can be deleted again after an interruption.
struct Tree {
  std::vector<BlockId> ids;
  std::set<BlockId> known;
  std::uint64_t bytes = 0;

  void Add(const BlockId& id, std::uint64_t size) {
    if (!known.insert(id).second) return;
    ids.push_back(id);
    bytes += size;
  }
};

void Collect(Session& session, const BlockId& id, Tree& tree, bool is_root) {
  auto got = session.client().Get(id).Take();
  // A part that is gone was deleted by an earlier, interrupted run.
  if (got.status.code == client::Code::kNotFound && !is_root) return;
  if (!got.ok()) Fail("can't get " + Hex(id.view()), got.status);
  if (LooksLikeManifest(got.value.data)) {
    const Manifest direct = DecodeManifest(got.value.data);
    for (const Piece& p : direct.pieces) tree.Add(p.id, p.size);  // of a file, or of a long manifest's text
    const Manifest m = OpenManifest(session, id, got.value.data);
    for (const Piece& p : m.pieces) tree.Add(p.id, p.size);
    for (const Manifest::Member& e : m.members) {
      if (e.has_manifest) {
        Collect(session, e.root, tree, false);
      } else {
        tree.Add(e.root, e.size);
      }
    }
  }
  tree.Add(id, got.value.data.size());
}

int RemoveTree(Session& session, const BlockId& root, bool yes) {
  Tree tree;
  try {
    Collect(session, root, tree, true);
  } catch (const CommandError&) {
    throw;
  } catch (const std::exception& e) {
    throw CommandError(kExitFailure, std::string(e.what()) + "\n  nothing was deleted");
  }
  session.err() << "This deletes " << Grouped(tree.ids.size()) << " chunks ("
                << BytesText(static_cast<double>(tree.bytes))
                << ") for good. Pieces that other files share with it go too.\n";
  if (!yes && !session.Confirm("Delete them?")) {
    session.err() << "nothing was changed\n";
    return kExitFailure;
  }
  std::size_t at = 0;
  std::vector<client::Future<client::Done>> under_way;
  const auto drain = [&] {
    for (auto& f : under_way) {
      const auto r = f.Get();
      // Gone already is what we want.
      if (!r.ok() && r.status.code != client::Code::kNotFound) Fail("can't delete a chunk of the tree", r.status);
    }
    under_way.clear();
  };
  for (; at + 1 < tree.ids.size(); ++at) {
    under_way.push_back(session.client().Delete(tree.ids[at]));
    if (under_way.size() == 64) drain();
  }
  drain();
  Need(session.client().Delete(tree.ids.back()).Get(), "can't delete " + Hex(tree.ids.back().view()));
  if (session.json()) {
    session.out() << nlohmann::json{{"id", Hex(root.view())}, {"chunks_deleted", tree.ids.size()}}.dump() << "\n";
  } else {
    session.out() << "deleted " << tree.ids.size() << " chunks\n";
  }
  return kExitOk;
}

// By its beginning. That it can't be read is no reason not to delete it.
bool IsManifest(Session& session, const BlockId& id) {
  auto got = session.client().Get(id, {}, 0, 64).Take();
  for (const client::Code none : {client::Code::kNotFound, client::Code::kOutOfRange, client::Code::kDataLoss}) {
    if (got.status.code == none) return false;  // the second: it is empty
  }
  if (!got.ok()) Fail("can't see whether " + Hex(id.view()) + " has pieces", got.status);
  return LooksLikeManifest(got.value.data);
}

struct RemoveArguments {
  std::string id;
  bool recursive = false;
  bool raw = false;
  bool yes = false;
};

int Remove(Session& session, const RemoveArguments& a) {
  const std::string& text = a.id;
  const BlockId id = ParseId(text);
  if (a.recursive && a.raw) throw UsageError("--recursive deletes the pieces too, --raw leaves them: one of the two");
  if (a.recursive) return RemoveTree(session, id, a.yes);
  if (!a.raw && IsManifest(session, id)) {
    throw UsageError("this id is a folder, or a file of several pieces: --recursive deletes all of it;\n"
                     "  --raw only the list of the pieces, without which nobody finds them. Nothing was deleted");
  }
  Need(session.client().Delete(id).Get(), "can't delete " + text);
  if (session.json()) {
    session.out() << nlohmann::json{{"id", Hex(id.view())}, {"chunks_deleted", 1}}.dump() << "\n";
  } else {
    session.out() << "deleted " << Hex(id.view()) << "\n";
  }
  return kExitOk;
}

}  // namespace

void AddHas(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("has", "Whether chunks exist; exits 3 if one does not");
  cmd->footer("  coffer has ID\n  coffer has ID1 ID2 ID3 -o json");
  auto ids = std::make_shared<std::vector<std::string>>();
  cmd->add_option("id", *ids, "Ids of 64 hexadecimal digits")->required();
  cmd->callback([&session, ids] { session.action = [&session, ids] { return Has(session, *ids); }; });
}

void AddRemove(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("rm", "Delete a chunk, or a file or folder with all its pieces, for good");
  cmd->footer(
      "  coffer rm ID\n"
      "  coffer rm --recursive ID     what `coffer put` stored; says what goes and asks first\n"
      "  coffer rm --raw ID           the chunk itself, even if it is a list of pieces, which stay\n"
      "An id that was deleted stays deleted: the same content can't be put under it again.");
  auto a = std::make_shared<RemoveArguments>();
  cmd->add_option("id", a->id, "64 hexadecimal digits")->required();
  cmd->add_flag("-r,--recursive", a->recursive, "The pieces too");
  cmd->add_flag("--raw", a->raw, "Do not look for pieces");
  cmd->add_flag("--yes", a->yes, "Do not ask");
  cmd->callback([&session, a] { session.action = [&session, a] { return Remove(session, *a); }; });
}

}  // namespace coffer::command
