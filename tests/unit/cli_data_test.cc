// put, get, has, rm, zone.
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "client/command/format.h"
#include "client/command/manifest.h"
#include "client/command/progress.h"
#include "cluster/sha256.h"
#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

namespace fs = std::filesystem;
using test::Fault;
using test::Ran;
using test::ReadFile;
using test::RpcError;
using test::ScratchFolder;
using test::Shell;
using test::WriteFile;

std::string HexOf(const std::string& content) {
  return Hex(Sha256({content}).view());
}
std::string Trimmed(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text;
}
// Bytes that do not repeat, so that no two pieces are alike.
std::string Noise(std::size_t size, std::uint64_t seed = 1) {
  Random random(seed);
  std::string out;
  while (out.size() < size) out.push_back(static_cast<char>(random.Next()));
  return out;
}
mode_t ModeOf(const std::string& path) {
  struct stat st {};
  REQUIRE(lstat(path.c_str(), &st) == 0);
  return st.st_mode & 07777;
}
// A cluster whose chunks hold 64 KiB, so that pieces come cheap.
struct SmallChunks : Shell {
  SmallChunks() {
    cluster->chunk_limit = 64 << 10;
    cluster->status.set_chunk_limit_bytes(64 << 10);
  }
};

TEST_CASE("a small file is one chunk under the SHA-256 of its content") {
  Shell shell;
  ScratchFolder folder;
  WriteFile(folder / "a.txt", "hello");
  const Ran put = shell.Run({"put", folder / "a.txt"});
  CHECK(put.code == kExitOk);
  CHECK(put.out == HexOf("hello") + "\n");
  CHECK(put.err.empty());
  Ran get = shell.Run({"get", HexOf("hello")});
  CHECK(get.code == kExitOk);
  CHECK(get.out == "hello");
  CHECK(shell.Run({"get", HexOf("hello"), "-O", folder / "b.txt"}).code == kExitOk);
  CHECK(ReadFile(folder / "b.txt") == "hello");
  // Repeating is success.
  const Ran again = shell.Run({"put", folder / "a.txt", "-o", "json"});
  CHECK(nlohmann::json::parse(again.out)["chunks_already_there"] == 1);
  WriteFile(folder / "empty", "");
  CHECK(shell.Run({"put", folder / "empty"}).out == HexOf("") + "\n");
  CHECK(shell.Run({"get", HexOf("")}).out.empty());
}

TEST_CASE("an id of one's own") {
  Shell shell;
  ScratchFolder folder;
  WriteFile(folder / "a", "one");
  WriteFile(folder / "b", "two");
  const std::string id(64, '7');
  CHECK(shell.Run({"put", "--id", id, folder / "a"}).out == id + "\n");
  const Ran get = shell.Run({"get", id});
  CHECK(get.out == "one");
  CHECK(get.err.find("not verified") != std::string::npos);
  const Ran other = shell.Run({"put", "--id", id, folder / "b"});
  CHECK(other.code == kExitFailure);
  CHECK(other.err.find("coffer explain CHUNK_EXISTS") != std::string::npos);
  // The same for what has a list of pieces: that the id is there does not mean that these are its bytes.
  WriteFile(folder / "folder/c", "three");
  const Ran list = shell.Run({"put", "--id", id, folder / "folder"});
  CHECK(list.code == kExitFailure);
  CHECK(list.out.empty());
  CHECK(list.err.find("coffer explain CHUNK_EXISTS") != std::string::npos);
  const std::string free(64, '8');
  CHECK(shell.Run({"put", "--id", free, folder / "folder"}).out == free + "\n");
  CHECK(shell.Run({"put", "--id", free, folder / "folder"}).out == free + "\n");
  for (const std::string& bad :
       {std::string("12"), std::string(63, '1'), std::string(65, '1'), std::string(64, 'g'), std::string()}) {
    if (bad.empty()) continue;
    CHECK(shell.Run({"put", "--id", bad, folder / "a"}).code == kExitUsage);
    CHECK(shell.Run({"get", bad}).code == kExitUsage);
    CHECK(shell.Run({"has", bad}).code == kExitUsage);
    CHECK(shell.Run({"rm", bad}).code == kExitUsage);
  }
}

TEST_CASE("a large file goes in pieces and comes back with its permissions") {
  SmallChunks shell;
  ScratchFolder folder;
  const std::string content = Noise(1000000);
  WriteFile(folder / "large", content);
  chmod((folder / "large").c_str(), 0750);
  const Ran put = shell.Run({"put", folder / "large", "-o", "json"});
  REQUIRE(put.code == kExitOk);
  const auto said = nlohmann::json::parse(put.out);
  const std::string id = said["id"];
  CHECK(said["bytes"] == 1000000);
  CHECK(said["chunks_sent"] == 17);  // 16 pieces and the list of them
  REQUIRE(shell.Run({"get", id, "-O", folder / "back"}).code == kExitOk);
  CHECK(ReadFile(folder / "back") == content);
  CHECK(ModeOf(folder / "back") == 0750);
  CHECK(shell.Run({"get", id}).out == content);
  CHECK(shell.Run({"get", id, "--raw"}).out.rfind("coffer.manifest.v1\n", 0) == 0);
  // Only what is missing is sent again.
  {
    std::lock_guard<std::mutex> guard(shell.cluster->lock);
    shell.cluster->chunks["default"].erase(Sha256({std::string_view(content).substr(0, 64 << 10)}).str());
    shell.cluster->calls.clear();
  }
  CHECK(nlohmann::json::parse(shell.Run({"put", folder / "large", "-o", "json"}).out)["chunks_sent"] == 1);
  CHECK(shell.cluster->calls["coffer.v1.Chunks/Put"] <= 2);
}

TEST_CASE("standard input") {
  SmallChunks shell;
  shell.input = Noise(200000);
  const Ran put = shell.Run({"put", "-"});
  REQUIRE(put.code == kExitOk);
  CHECK(shell.Run({"get", Trimmed(put.out)}).out == shell.input);
}

TEST_CASE("content that looks like a list of pieces is not taken for one") {
  Shell shell;
  ScratchFolder folder;
  Manifest m;
  m.kind = Manifest::Kind::kDirectory;
  WriteFile(folder / "trick", EncodeManifest(m));
  const Ran put = shell.Run({"put", folder / "trick"});
  CHECK(shell.Run({"get", Trimmed(put.out)}).out == EncodeManifest(m));
}

TEST_CASE("a folder comes back as it was") {
  SmallChunks shell;
  ScratchFolder folder;
  WriteFile(folder / "in/a.txt", "a");
  WriteFile(folder / "in/empty", "");
  WriteFile(folder / "in/deep/er/large", Noise(150000));
  WriteFile(folder / "in/run.sh", "#!/bin/sh\n");
  WriteFile(folder / "in/odd \xff\n name", "odd");
  fs::create_directories(folder / "in/nothing");
  chmod((folder / "in/run.sh").c_str(), 0755);
  chmod((folder / "in/deep").c_str(), 0700);
  fs::create_symlink("/etc/passwd", folder / "in/link");
  const Ran put = shell.Run({"put", folder / "in"});
  REQUIRE(put.code == kExitOk);
  CHECK(put.err.find("skipped") != std::string::npos);
  const std::string id = Trimmed(put.out);
  CHECK(shell.Run({"get", id}).code == kExitUsage);
  REQUIRE(shell.Run({"get", id, "-O", folder / "out"}).code == kExitOk);
  CHECK(ReadFile(folder / "out/a.txt") == "a");
  CHECK(ReadFile(folder / "out/deep/er/large") == Noise(150000));
  CHECK(ReadFile(folder / "out/odd \xff\n name") == "odd");
  CHECK(fs::is_directory(folder / "out/nothing"));
  CHECK(fs::exists(folder / "out/empty"));
  CHECK_FALSE(fs::exists(fs::symlink_status(folder / "out/link")));
  CHECK(ModeOf(folder / "out/run.sh") == 0755);
  CHECK(ModeOf(folder / "out/deep") == 0700);
  // Never into something that is there.
  CHECK(shell.Run({"get", id, "-O", folder / "out"}).code == kExitFailure);
  fs::create_symlink(folder / "in", folder / "pointer");
  CHECK(shell.Run({"get", id, "-O", folder / "pointer"}).code == kExitFailure);
  // Its list alone is deleted only by who says so.
  const Ran list = shell.Run({"rm", id});
  CHECK(list.code == kExitUsage);
  CHECK(list.err.find("--recursive") != std::string::npos);
  CHECK(shell.Run({"has", id}).code == kExitOk);
  CHECK(shell.Run({"rm", "-r", "--raw", id}).code == kExitUsage);
  // Deleting it all.
  shell.in_is_tty = true;
  shell.input = "n\n";
  CHECK(shell.Run({"rm", "-r", id}).code == kExitFailure);
  CHECK(shell.Run({"has", id}).code == kExitOk);
  const Ran removed = shell.Run({"rm", "-r", id, "--yes"});
  CHECK(removed.code == kExitOk);
  CHECK(removed.err.find("This deletes ") == 0);
  CHECK(shell.cluster->chunks["default"].empty());
  CHECK(shell.Run({"put", folder / "in"}).err.find("coffer explain CHUNK_DELETED") != std::string::npos);
}

TEST_CASE("a list of pieces is deleted alone with --raw") {
  SmallChunks shell;
  ScratchFolder folder;
  WriteFile(folder / "in/a.txt", "a");
  const std::string id = Trimmed(shell.Run({"put", folder / "in"}).out);
  REQUIRE(shell.Run({"rm", "--raw", id}).code == kExitOk);
  CHECK(shell.Run({"has", id}).code == kExitNotFound);
  CHECK(shell.Run({"has", HexOf("a")}).code == kExitOk);
  CHECK(shell.Run({"rm", HexOf("a")}).code == kExitOk);
}

TEST_CASE("a folder appears only when all of it is there") {
  SmallChunks shell;
  ScratchFolder folder;
  WriteFile(folder / "in/a.txt", "a");
  WriteFile(folder / "in/b.txt", "bb");
  const std::string id = Trimmed(shell.Run({"put", folder / "in"}).out);
  // What an attempt that was killed left behind.
  WriteFile(folder / "out.coffer-part/a.txt", "half");
  REQUIRE(shell.Run({"get", id, "-O", folder / "out/"}).code == kExitOk);
  CHECK(ReadFile(folder / "out/a.txt") == "a");
  CHECK_FALSE(fs::exists(folder / "out.coffer-part"));
  {
    std::lock_guard<std::mutex> guard(shell.cluster->lock);
    shell.cluster->chunks["default"].erase(Sha256({"bb"}).str());
  }
  CHECK(shell.Run({"get", id, "-O", folder / "other"}).code == kExitNotFound);
  CHECK_FALSE(fs::exists(folder / "other"));
  CHECK_FALSE(fs::exists(folder / "other.coffer-part"));
}

TEST_CASE("a folder with more names than a chunk holds") {
  SmallChunks shell;
  ScratchFolder folder;
  for (int i = 0; i < 500; ++i)
    WriteFile(folder / ("in/" + std::to_string(i) + std::string(100, 'n')), std::to_string(i));
  const Ran put = shell.Run({"put", folder / "in"});
  REQUIRE(put.code == kExitOk);
  REQUIRE(shell.Run({"get", Trimmed(put.out), "-O", folder / "out"}).code == kExitOk);
  CHECK(ReadFile(folder / ("out/499" + std::string(100, 'n'))) == "499");
  CHECK(shell.Run({"rm", "-r", "--yes", Trimmed(put.out)}).code == kExitOk);
  CHECK(shell.cluster->chunks["default"].empty());
}

TEST_CASE("manifests that would lead astray are refused") {
  Shell shell;
  ScratchFolder folder;
  const auto hold = [&](const std::string& text) {
    std::lock_guard<std::mutex> guard(shell.cluster->lock);
    shell.cluster->chunks["default"][Sha256({text}).str()] = text;
    return HexOf(text);
  };
  const std::string inner = hold("evil");
  for (const char* name : {"../evil", "..", ".", "", "a/b", "/etc/evil", "a\\u0000b"}) {
    const std::string text = std::string("coffer.manifest.v1\n") +
                             R"({"kind":"directory","mode":493,"members":[{"name":")" + name +
                             R"(","kind":"file","mode":420,"size":4,"manifest":false,"root":")" + inner + R"("}]})";
    const Ran r = shell.Run({"get", hold(text), "-O", folder / "out"});
    INFO(name);
    CHECK(r.code == kExitFailure);
    CHECK(r.err.find("would leave its folder") != std::string::npos);
    CHECK_FALSE(fs::exists(folder / "out"));
    CHECK_FALSE(fs::exists(folder / "evil"));
  }
  for (const char* text :
       {"coffer.manifest.v1\n", "coffer.manifest.v1\n{}", "coffer.manifest.v1\n[1,2]",
        "coffer.manifest.v1\n{\"kind\":\"door\"}",
        "coffer.manifest.v1\n{\"kind\":\"file\",\"mode\":420,\"size\":5,\"sha256\":\"00\",\"pieces\":[]}"}) {
    INFO(text);
    CHECK(shell.Run({"get", hold(text), "-O", folder / "out"}).code == kExitFailure);
    CHECK(shell.Run({"rm", "-r", "--yes", hold(text)}).code == kExitFailure);
  }
  // Set-user-id and the like are not restored.
  const std::string setuid =
      std::string("coffer.manifest.v1\n") +
      R"({"kind":"directory","mode":2541,"members":[{"name":"s","kind":"file","mode":2541,"size":4,"manifest":false,"root":")" +
      inner + R"("}]})";
  REQUIRE(shell.Run({"get", hold(setuid), "-O", folder / "out"}).code == kExitOk);
  CHECK(ModeOf(folder / "out/s") == (2541 & 0777));
}

TEST_CASE("bytes that are not what was stored never reach a file") {
  SmallChunks shell;
  ScratchFolder folder;
  const std::string content = Noise(200000);
  WriteFile(folder / "in", content);
  const std::string id = Trimmed(shell.Run({"put", folder / "in"}).out);
  {
    std::lock_guard<std::mutex> guard(shell.cluster->lock);
    shell.cluster->chunks["default"][Sha256({std::string_view(content).substr(64 << 10, 64 << 10)}).str()][5] ^= 1;
  }
  WriteFile(folder / "out", "as it was");
  const Ran r = shell.Run({"get", id, "-O", folder / "out"});
  CHECK(r.code == kExitFailure);
  CHECK(r.err.find("does not hold what its id says") != std::string::npos);
  CHECK(ReadFile(folder / "out") == "as it was");
  CHECK_FALSE(fs::exists(folder / "out.coffer-part"));
}

TEST_CASE("what can't be done is said with its code") {
  Shell shell;
  ScratchFolder folder;
  WriteFile(folder / "a", "a");
  CHECK(shell.Run({"get", std::string(64, '0')}).code == kExitNotFound);
  CHECK(shell.Run({"rm", std::string(64, '0')}).code == kExitNotFound);
  CHECK(shell.Run({"put", folder / "missing"}).code == kExitNotFound);
  CHECK(shell.Run({"has", HexOf("a")}).code == kExitNotFound);
  const Ran zone = shell.Run({"put", folder / "a", "--zone", "nowhere"});
  CHECK(zone.code == kExitNotFound);
  CHECK(zone.err.find("coffer zone list") != std::string::npos);
  const Ran gone = shell.Run({"put", folder / "a", "--router", "127.0.0.1:1", "--timeout", "300ms"});
  CHECK(gone.code == kExitUnavailable);
  CHECK(gone.err.find("nothing was changed") != std::string::npos);
  CHECK(gone.err.find("127.0.0.1:1") != std::string::npos);
  shell.router->InjectAlways("coffer.v1.Chunks/Put", {Fault::Kind::kApplySwallow, {}});
  const Ran unknown = shell.Run({"put", folder / "a", "--timeout", "300ms"});
  CHECK(unknown.code == kExitTimeout);
  CHECK(unknown.err.find(
            "outcome unknown: the write may or may not have happened; running the same command again is safe") !=
        std::string::npos);
  CHECK(unknown.out.empty());
}

TEST_CASE("a device or a pipe is not replaced by a file") {
  Shell shell;
  ScratchFolder folder;
  WriteFile(folder / "a", "one");
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  REQUIRE(shell.Run({"put", folder / "a"}).code == kExitOk);
  const Ran get = shell.Run({"get", HexOf("one"), "-O", folder / "pipe"});
  CHECK(get.code == kExitFailure);
  CHECK(get.err.find("is no file; without -O the content goes to standard output") != std::string::npos);
  CHECK(fs::is_fifo(folder / "pipe"));
  CHECK_FALSE(fs::exists(folder / "pipe.coffer-part"));
}

TEST_CASE("what a link leads to is replaced, and the link stays") {
  Shell shell;
  ScratchFolder folder;
  WriteFile(folder / "a", "one");
  WriteFile(folder / "b", "before");
  fs::create_symlink(folder / "b", folder / "link");
  REQUIRE(shell.Run({"put", folder / "a"}).code == kExitOk);
  CHECK(shell.Run({"get", HexOf("one"), "-O", folder / "link"}).code == kExitOk);
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(ReadFile(folder / "b") == "one");
}

TEST_CASE("a chunk over the limit names the limit") {
  Shell shell;
  ScratchFolder folder;
  // The cluster takes less than its status says: the refusal comes through as it is.
  shell.cluster->chunk_limit = 1000;
  WriteFile(folder / "a", std::string(2000, 'x'));
  const Ran r = shell.Run({"put", folder / "a"});
  CHECK(r.code == kExitFailure);
  CHECK(r.err.find("the limit is 1000") != std::string::npos);
}

TEST_CASE("zones") {
  Shell shell;
  CHECK(shell.Run({"zone", "create", "photos"}).code == kExitOk);
  CHECK(shell.Run({"zone", "create", "photos"}).code == kExitFailure);
  CHECK(shell.Run({"zone", "create", "Not Allowed"}).code == kExitFailure);
  for (const char* name : {"a", "b", "c"}) shell.Run({"zone", "create", name});
  const Ran list = shell.Run({"zone", "list"});
  for (const char* name : {"a ", "b ", "c ", "default ", "photos "}) CHECK(list.out.find(name) != std::string::npos);
  CHECK(shell.Run({"zone", "rm", "photos"}).code == kExitUsage);
  shell.in_is_tty = true;
  shell.input = "no\n";
  CHECK(shell.Run({"zone", "rm", "photos"}).code == kExitFailure);
  shell.input = "y\n";
  CHECK(shell.Run({"zone", "rm", "photos"}).code == kExitOk);
  CHECK(shell.Run({"zone", "rm", "photos", "--yes"}).code == kExitNotFound);
  shell.environment["COFFER_ZONE"] = "a";
  shell.Run({"chain", "append", "log", "x"});
  CHECK(shell.cluster->chains["a"].size() == 1);
}

TEST_CASE("progress is for terminals only") {
  SmallChunks shell;
  ScratchFolder folder;
  WriteFile(folder / "large", Noise(300000));
  CHECK(shell.Run({"put", folder / "large"}).err.empty());
  shell.err_is_tty = true;
  WriteFile(folder / "large", Noise(300000, 2));
  const Ran r = shell.Run({"put", folder / "large"});
  CHECK(r.err.find("#") != std::string::npos);
  CHECK(r.err.find(" of 293 KiB") != std::string::npos);
  CHECK(r.out.size() == 65);
  // The line itself.
  CHECK(ProgressLine("put x", 50 << 20, 200 << 20, 10, 80) ==
        "put x  #####............... 25%  50.0 MiB of 200 MiB  5.0 MiB/s  ETA 0:30");
  CHECK(ProgressLine("put -", 1 << 20, 0, 0.1, 80) == "put -  1.0 MiB");
  CHECK(Columns(ProgressLine(std::string(100, 'x'), 1, 2, 1, 60)) <= 60);
}

TEST_CASE("figures") {
  CHECK(BytesText(0) == "0 B");
  CHECK(BytesText(999) == "999 B");
  CHECK(BytesText(1000) == "1.0 KiB");
  CHECK(BytesText(13314398618.0) == "12.4 GiB");
  CHECK(BytesShort(13314398618.0) == "12.4G");
  CHECK(Percent(999, 1000) == "99.9%");
  CHECK(Percent(99999, 100000) == "99.9%");
  CHECK(Percent(0, 0) == "100%");
  CHECK(AgeShort(59) == "59s");
  CHECK(AgeShort(86400) == "1d");
  CHECK(Clock(29) == "0:29");
  CHECK(Clock(10931) == "3:02:11");
  CHECK(Grouped(41210) == "41 210");
  CHECK(Grouped(999) == "999");
  CHECK(RateShort(402) == "402");
  CHECK(RateShort(0.5) == "0.5");
  CHECK(RateShort(123456) == "123k");
  CHECK(Cut("größer", 4) == "grö…");
  CHECK(Wrap("aa bb cc", 5) == std::vector<std::string>{"aa bb", "cc"});
  CHECK(Printable("grün"));
  CHECK_FALSE(Printable("a\nb"));
  CHECK_FALSE(Printable("\xc2\x9b"));
  CHECK_FALSE(Printable("\xc3"));
  CHECK(ParseBytes("64MiB") == 64u << 20);
  CHECK(ParseBytes("10MB") == 10000000);
  CHECK(ParseBytes("0") == 0);
  CHECK_THROWS_AS(ParseBytes("64XB"), UsageError);
  CHECK_THROWS_AS(ParseBytes("-1"), UsageError);
  CHECK(ParseDuration("500ms").count() == 500);
  CHECK(ParseDuration("2m").count() == 120000);
  for (const char* bad : {"", "x", "-1s", "0", "1d", "nan", "inf", "1e99h"})
    CHECK_THROWS_AS(ParseDuration(bad), UsageError);
}

}  // namespace
}  // namespace coffer::command
