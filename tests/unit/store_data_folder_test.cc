// Whose a data folder is, and when it becomes someone else's.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "node/data_folder.h"
#include "node/disk_env.h"
#include "test_support.h"
#include "unit/store_samples.h"
#include "unit/temporary_folder.h"

namespace coffer::node {
namespace {

using Error = DataFolder::Error;

struct Fixture {
  TemporaryFolder parent;
  std::string path = parent.path() + "/data";
  std::uint64_t keep_free = 0;

  DataFolder::Opened TryOpen() {
    DataFolderOptions options;
    options.path = path;
    options.name = "node-1";
    options.keep_free_bytes = keep_free;
    return DataFolder::Open(options);
  }
  std::unique_ptr<DataFolder> Open() {
    auto opened = TryOpen();
    INFO(opened.message);
    REQUIRE(opened.folder);
    return std::move(opened.folder);
  }
  void Flip(const std::string& name, std::streamoff at) {
    std::fstream file(path + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const char c = static_cast<char>(file.get() ^ 4);
    file.seekp(at);
    file.put(c);
  }
  std::string Text(const std::string& name) {
    std::ifstream in(path + "/" + name);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  // Something a retired identity leaves behind.
  void MakeStore() {
    std::filesystem::create_directory(path + "/store");
    std::ofstream(path + "/store/000001.log") << "records";
  }
};

TEST_CASE("data folder: an identity is made once, its boot counter rises with every start", "[data_folder]") {
  Fixture f;
  NodeId id;
  for (std::uint64_t boot = 1; boot <= 5; ++boot) {
    const auto folder = f.Open();
    if (boot == 1) id = folder->id();
    CHECK_FALSE(folder->id().IsZero());
    CHECK(folder->id() == id);
    CHECK(folder->boot() == Boot(boot));
    CHECK(folder->recovered().boot() == Boot(boot));
    CHECK(folder->notices().empty());
    CHECK(folder->identity().name == "node-1");
  }
  Fixture other;
  CHECK(other.Open()->id() != id);
}

TEST_CASE("data folder: what is noted is found again", "[data_folder]") {
  Fixture f;
  const ClusterId cluster = ClusterId::Must("a cluster's id..");
  NodeDurable state;
  {
    const auto folder = f.Open();
    std::string error;
    CHECK_FALSE(folder->identity().has_store);
    REQUIRE(folder->SetCluster(cluster, &error));
    REQUIRE(folder->NoteStore(&error));
    state = folder->recovered();
    state.agreement.ballot_counter = 77;
    REQUIRE(folder->agreement().Save(state).ok);
    wire::MemberFacts peer;
    peer.set_address("node-2:7701");
    CHECK(folder->ReadPeers().empty());
    REQUIRE(folder->WritePeers({peer, peer}));
  }
  const auto folder = f.Open();
  CHECK(folder->identity().cluster == cluster);
  CHECK(folder->identity().has_store);
  CHECK(folder->recovered().agreement == state.agreement);
  REQUIRE(folder->ReadPeers().size() == 2);
  CHECK(folder->ReadPeers()[1].address() == "node-2:7701");
  f.Flip("members", 12);
  CHECK(folder->ReadPeers().empty());
}

TEST_CASE("data folder: one process at a time, and the other is told who", "[data_folder]") {
  Fixture f;
  auto first = f.Open();
  const auto second = f.TryOpen();
  CHECK_FALSE(second.folder);
  CHECK(second.error == Error::kInUse);
  CHECK(second.message.find(std::to_string(::getpid())) != std::string::npos);
  first.reset();
  CHECK(f.Open()->boot() == Boot(2));  // the refused one changed nothing
}

TEST_CASE("data folder: a changed identity file retires the identity", "[data_folder]") {
  Fixture f;
  const NodeId id = f.Open()->id();
  f.MakeStore();
  const auto size = std::filesystem::file_size(f.path + "/identity");
  NodeId last = id;
  for (std::uintmax_t at = 0; at < size; at += 7) {
    f.Flip("identity", static_cast<std::streamoff>(at));
    const auto folder = f.Open();
    CHECK(folder->id() != last);
    CHECK(folder->boot() == Boot(1));
    CHECK(folder->notices().size() == 1);
    last = folder->id();
  }
  CHECK(std::filesystem::exists(f.path + "/retired-1/store/000001.log") == false);  // only the newest store is kept
  CHECK_FALSE(std::filesystem::exists(f.path + "/store"));
}

TEST_CASE("data folder: lost votes retire the identity, and what it left is moved aside", "[data_folder]") {
  Fixture f;
  const NodeId id = f.Open()->id();
  f.MakeStore();
  SECTION("both changed") {
    f.Flip("agreement-a", 30);
    f.Flip("agreement-b", 30);
  }
  SECTION("both gone") {
    std::filesystem::remove(f.path + "/agreement-a");
    std::filesystem::remove(f.path + "/agreement-b");
  }
  SECTION("another node's") {
    Fixture other;
    other.Open();
    for (const char* name : {"/agreement-a", "/agreement-b"}) {
      std::filesystem::copy_file(other.path + name, f.path + name, std::filesystem::copy_options::overwrite_existing);
    }
  }
  SECTION("the identity is gone") {
    std::filesystem::remove(f.path + "/identity");
  }
  NodeId next;
  {
    const auto folder = f.Open();
    next = folder->id();
    CHECK(next != id);
    CHECK(folder->boot() == Boot(1));
    CHECK_FALSE(folder->identity().has_store);
    REQUIRE(folder->notices().size() == 1);
    CHECK(folder->notices()[0].find("new id") != std::string::npos);
    CHECK(f.Text("retired-1/store/000001.log") == "records");
    CHECK_FALSE(std::filesystem::exists(f.path + "/store"));
    CHECK_FALSE(f.Text("retired-ids").empty());
  }
  const auto again = f.Open();
  CHECK(again->id() == next);
  CHECK(again->boot() == Boot(2));
  CHECK(again->notices().empty());
}

TEST_CASE("data folder: one bad vote file is repaired and said", "[data_folder]") {
  Fixture f;
  const NodeId id = f.Open()->id();
  f.Flip("agreement-a", 30);
  const auto folder = f.Open();
  CHECK(folder->id() == id);
  CHECK(folder->boot() == Boot(2));
  REQUIRE(folder->notices().size() == 1);
  CHECK(folder->notices()[0].find("repaired") != std::string::npos);
}

TEST_CASE("data folder: a failure in an earlier run retires the identity once", "[data_folder]") {
  Fixture f;
  NodeId id;
  const ClusterId cluster = ClusterId::Must("a cluster's id..");
  {
    const auto folder = f.Open();
    id = folder->id();
    std::string error;
    REQUIRE(folder->SetCluster(cluster, &error));
    folder->MarkFailed("syncing /x failed: Input/output error");
  }
  NodeId next;
  {
    const auto folder = f.Open();
    next = folder->id();
    CHECK(next != id);
    CHECK(folder->identity().cluster == cluster);
    CHECK(folder->notices()[0].find("Input/output error") != std::string::npos);
    CHECK(f.Text("retired-ids").find(Hex(id.view())) == 0);
  }
  CHECK(f.Open()->id() == next);
}

TEST_CASE("data folder: an identity is retired while it runs", "[data_folder]") {
  Fixture f;
  auto folder = f.Open();
  const NodeId id = folder->id();
  f.MakeStore();
  auto retired = std::move(*folder).Retire("peers saw it run with boot 9");
  REQUIRE(retired.folder);
  folder.reset();
  CHECK(retired.folder->id() != id);
  CHECK(retired.folder->boot() == Boot(1));
  CHECK(f.TryOpen().error == Error::kInUse);  // it was locked all the time
  CHECK(f.Text("retired-1/store/000001.log") == "records");
}

TEST_CASE("data folder: a retired store that leaves no room is deleted", "[data_folder]") {
  Fixture f;
  f.Open()->MarkFailed("x");
  f.MakeStore();
  f.keep_free = 1ull << 60;
  const auto folder = f.Open();
  CHECK(std::filesystem::exists(f.path + "/retired-1/identity"));
  CHECK_FALSE(std::filesystem::exists(f.path + "/retired-1/store"));
  CHECK(folder->notices()[0].find("no room") != std::string::npos);
}

TEST_CASE("data folder: a retirement that was cut short at any step is completed, never undone", "[data_folder]") {
  const std::vector<std::string> moved = {"agreement-a", "agreement-b", "store", "identity"};
  for (std::size_t steps = 0; steps <= moved.size(); ++steps) {
    Fixture f;
    NodeId id;
    {
      const auto folder = f.Open();
      id = folder->id();
      folder->MarkFailed("x");
    }
    f.MakeStore();
    std::filesystem::create_directory(f.path + "/retired-1");
    for (std::size_t i = 0; i < steps; ++i) {
      std::filesystem::rename(f.path + "/" + moved[i], f.path + "/retired-1/" + moved[i]);
    }
    NodeId next;
    {
      const auto folder = f.Open();
      next = folder->id();
      CHECK(next != id);
      CHECK(folder->boot() == Boot(1));
      CHECK_FALSE(std::filesystem::exists(f.path + "/store"));
    }
    CHECK(f.Open()->id() == next);
  }
}

TEST_CASE("data folder: an emptied disk is a new node", "[data_folder]") {
  Fixture f;
  const NodeId id = f.Open()->id();
  std::filesystem::remove_all(f.path);
  const auto folder = f.Open();
  CHECK(folder->id() != id);
  CHECK(folder->notices().empty());
}

TEST_CASE("data folder: somebody's files and a newer version's are left alone", "[data_folder]") {
  Fixture f;
  SECTION("somebody's") {
    std::filesystem::create_directory(f.path);
    std::ofstream(f.path + "/thesis.tex") << "chapter 1";
    const auto opened = f.TryOpen();
    CHECK(opened.error == Error::kNotOurs);
    CHECK(opened.message.find("thesis.tex") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(f.path + "/identity"));
  }
  SECTION("the root of a file system") {
    std::filesystem::create_directories(f.path + "/lost+found");
    CHECK(f.TryOpen().folder);
  }
  SECTION("a file, and what would be in one or in a folder that is not there") {
    std::ofstream(f.path) << "chapter 1";
    for (const char* below : {"", "/data", "-of-another/data"}) {
      Fixture at;
      at.path = f.path + below;
      INFO(at.path);
      const auto opened = at.TryOpen();
      CHECK(opened.error == Error::kNoFolder);
      CHECK(opened.message.find("Nothing was changed. Make the folder") != std::string::npos);
    }
    CHECK(std::filesystem::file_size(f.path) == 9);
  }
  SECTION("a link to nowhere, as to a disk that is not mounted") {
    std::filesystem::create_symlink(f.path + "-unmounted", f.path);
    CHECK(f.TryOpen().error == Error::kNoFolder);
  }
  SECTION("a newer version's") {
    f.Open();
    std::ofstream(f.path + "/format") << "coffer data folder 2\n";
    CHECK(f.TryOpen().error == Error::kNewer);
  }
}

// Fails every sync from a chosen one on.
struct FailFrom : DiskFaults {
  int syncs_left = 0;
  int BeforeSync(const std::string&) override { return --syncs_left < 0 ? EIO : 0; }
};

TEST_CASE("data folder: a sync that fails while opening stops the start and reuses no boot counter", "[data_folder]") {
  for (int good_syncs = 0; good_syncs < 20; ++good_syncs) {
    Fixture f;
    FailFrom faults;
    faults.syncs_left = good_syncs;
    DataFolderOptions options;
    options.path = f.path;
    options.name = "node-1";
    options.faults = &faults;
    auto opened = DataFolder::Open(options);
    if (opened.folder) {
      CHECK(good_syncs >= 8);
      continue;
    }
    CHECK(opened.error == Error::kDisk);
    CHECK(opened.message.find("Input/output error") != std::string::npos);
    // The disk is well again: a new start works, under whatever identity can be trusted.
    const auto folder = f.Open();
    CHECK(folder->boot() >= Boot(1));
  }
}

}  // namespace
}  // namespace coffer::node
