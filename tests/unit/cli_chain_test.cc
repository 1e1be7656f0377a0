// chain append, read, tail, head, rm.
#include <nlohmann/json.hpp>

#include "cluster/sha256.h"
#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

using test::Fault;
using test::Ran;
using test::Shell;

TEST_CASE("chains") {
  Shell shell;
  CHECK(shell.Run({"chain", "append", "log", "one", "two"}).out == "position 1  length 2\n");
  shell.input = "three\nfour\n\nsix";
  CHECK(shell.Run({"chain", "append", "log"}).out == "position 5  length 6\n");
  CHECK(shell.Run({"chain", "read", "log"}).out == "0  one\n1  two\n2  three\n3  four\n4  \n5  six\n");
  CHECK(shell.Run({"chain", "read", "log", "--first", "1"}).out == "0  one\n");
  CHECK(shell.Run({"chain", "read", "log", "--last", "2", "--backwards"}).out == "5  six\n4  \n");
  CHECK(shell.Run({"chain", "read", "log", "--from", "1", "--to", "3", "--raw"}).out == "two\nthree\n");
  CHECK(shell.Run({"chain", "tail", "log", "-n", "2"}).out == "4  \n5  six\n");
  CHECK(shell.Run({"chain", "read", "log", "--local", "--first", "1"}).err.find("1200 ms old") != std::string::npos);
  const auto j = nlohmann::json::parse(shell.Run({"chain", "read", "log", "--first", "1", "-o", "json"}).out);
  CHECK(j["body"] == "one");
  CHECK(j["predecessor"] == std::string(64, '0'));
  // A name is its SHA-256, an id is itself.
  CHECK(shell.Run({"chain", "read", Hex(Sha256({"log"}).view()), "--first", "1"}).out == "0  one\n");
  CHECK(shell.Run({"chain", "head", "log"}).out.rfind("length 6  hash ", 0) == 0);
  const Ran heads = shell.Run({"chain", "head", "log", "none"});
  CHECK(heads.code == kExitNotFound);
  CHECK(heads.out.rfind("log  length 6  hash ", 0) == 0);
  CHECK(heads.out.find("\nnone  length 0  hash ") != std::string::npos);
  CHECK(shell.Run({"chain", "read", "none"}).code == kExitNotFound);
  CHECK(shell.Run({"chain", "tail", "none"}).code == kExitNotFound);
  shell.input = "";
  CHECK(shell.Run({"chain", "append", "log"}).code == kExitUsage);
  CHECK(shell.Run({"chain", "read", "log", "--first", "1", "--last", "1"}).code == kExitUsage);
  CHECK(shell.Run({"chain", "read", "log", "--first", "-1"}).code == kExitUsage);
  CHECK(shell.Run({"chain", "append", "log", std::string("\x01\xff", 2)}).code == kExitOk);
  CHECK(shell.Run({"chain", "read", "log", "--last", "1"}).out == "6  hex:01ff\n");
  CHECK(shell.Run({"chain", "rm", "log"}).code == kExitUsage);  // nobody to ask
  CHECK(shell.Run({"chain", "rm", "log", "--yes"}).code == kExitOk);
  CHECK(shell.Run({"chain", "rm", "log", "--yes"}).code == kExitNotFound);
}

TEST_CASE("a body that is a command's name is a body") {
  Shell shell;
  CHECK(shell.Run({"chain", "append", "log", "status", "read", "rm"}).out == "position 2  length 3\n");
  CHECK(shell.Run({"chain", "read", "log", "--raw"}).out == "status\nread\nrm\n");
}

TEST_CASE("many lines and long chains") {
  Shell shell;
  for (int i = 0; i < 2500; ++i) shell.input += std::to_string(i) + "\n";
  CHECK(shell.Run({"chain", "append", "long"}).out == "position 2499  length 2500\n");
  CHECK(shell.Run({"chain", "read", "long", "--raw"}).out == shell.input);
  const Ran back = shell.Run({"chain", "read", "long", "--raw", "--backwards", "--last", "600"});
  CHECK(back.out.rfind("2499\n2498\n", 0) == 0);
  CHECK(back.out.find("\n1900\n") != std::string::npos);
  CHECK(back.out.find("\n1899\n") == std::string::npos);
}

TEST_CASE("appending at a position") {
  Shell shell;
  CHECK(shell.Run({"chain", "append", "log", "--position", "0", "a"}).code == kExitOk);
  CHECK(shell.Run({"chain", "append", "log", "--position", "0", "a"}).out ==
        "position 0  length 1  (was there already)\n");
  const Ran taken = shell.Run({"chain", "append", "log", "--position", "0", "b"});
  CHECK(taken.code == kExitFailure);
  CHECK(taken.err.find("the chain has 1 entries now; nothing was appended") != std::string::npos);
  CHECK(shell.Run({"chain", "append", "log", "--position", "1", "b"}).code == kExitOk);
  CHECK(shell.Run({"chain", "append", "log", "--position", "9", "z"}).code == kExitFailure);
  // An outcome in doubt is only safe to repeat at its position, and the command says so.
  shell.router->InjectAlways("coffer.v1.Chains/Append", {Fault::Kind::kSwallow, {}});
  const Ran unknown = shell.Run({"chain", "append", "log", "c", "--timeout", "300ms"});
  CHECK(unknown.code == kExitTimeout);
  CHECK(unknown.err.find("safe to repeat as: coffer chain append log --position 2") != std::string::npos);
  CHECK(unknown.err.find("running the same command again is safe") == std::string::npos);
}

TEST_CASE("an entry that does not match its hash is not shown") {
  Shell shell;
  shell.Run({"chain", "append", "log", "true"});
  {
    std::lock_guard<std::mutex> guard(shell.cluster->lock);
    shell.cluster->chains["default"][Sha256({"log"}).str()].entries[0].set_body("lie");
  }
  const Ran r = shell.Run({"chain", "read", "log"});
  CHECK(r.code == kExitFailure);
  CHECK(r.out.empty());
}

TEST_CASE("following a chain") {
  Shell shell;
  shell.Run({"chain", "append", "log", "a", "b", "c"});
  const Ran r = shell.Run({"chain", "tail", "-f", "log", "-n", "2", "--count", "2", "-o", "json"});
  CHECK(r.code == kExitOk);
  CHECK(nlohmann::json::parse(r.out.substr(0, r.out.find('\n')))["body"] == "b");
  CHECK(shell.Run({"chain", "tail", "-f", "log", "--timeout", "100ms"}).code == kExitTimeout);
}

}  // namespace
}  // namespace coffer::command
