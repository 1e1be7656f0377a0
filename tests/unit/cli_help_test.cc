// What the command says of itself: explain, help, version, completions; and its answers to mistakes at the keyboard.
#include <cstdlib>

#include "client/command/explain_texts.h"
#include "client/command/suggest.h"
#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

using test::Ran;
using test::ReadFile;
using test::ScratchFolder;
using test::Shell;
using test::WriteFile;

TEST_CASE("explain") {
  Shell shell;
  const Ran one = shell.Run({"explain", "node-down"});
  CHECK(one.code == kExitOk);
  CHECK(one.out.rfind("NODE_DOWN\n  what  ", 0) == 0);
  const Ran wrong = shell.Run({"explain", "NODE_DWN"});
  CHECK(wrong.code == kExitNotFound);
  CHECK(wrong.err.find("did you mean \"NODE_DOWN\"?") != std::string::npos);
  const std::string all = shell.Run({"explain"}).out;
  for (const Explanation& e : Explanations()) CHECK(all.find(e.meaning) != std::string::npos);
  shell.out_is_tty = true;
  const std::string shown = shell.Run({"explain"}).out;
  CHECK(shown.find("UNREACHABLE") != std::string::npos);
  CHECK(shown.size() < all.size());
  const std::string docs = ReadFile(std::string(COFFER_SOURCE_DIR) + "/docs/codes.md");
  for (const Explanation& e : Explanations()) {
    INFO(e.code);
    CHECK(docs.find("| `" + e.code + "` | " + e.meaning + " | " + e.action + " |") != std::string::npos);
    CHECK_FALSE(e.meaning.empty());
    CHECK_FALSE(e.action.empty());
    CHECK(shell.Run({"explain", e.code}).code == kExitOk);
  }
  // What the client itself can say as a reason.
  for (const char* code :
       {"UNREACHABLE", "CONNECTION_LOST", "CLIENT_QUEUE_FULL", "CLIENT_CLOSED", "BAD_ANSWER", "CANCELLED"}) {
    CHECK(shell.Run({"explain", code}).code == kExitOk);
  }
}

TEST_CASE("mistakes at the keyboard") {
  Shell shell;
  const auto says = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const Ran r = shell.Run(arguments);
    CHECK(r.code == kExitUsage);
    CHECK(r.out.empty());
    INFO(r.err);
    CHECK(r.err.find(part) != std::string::npos);
  };
  says({"stauts"}, "unknown command \"stauts\"; did you mean \"status\"?");
  says({"chain", "apend", "x"}, "unknown command \"apend\" for \"coffer chain\"; did you mean \"append\"?");
  says({"status", "--wacth"}, "did you mean \"--watch\"?");
  says({"status", "--tiemout=3s"}, "did you mean \"--timeout\"?");
  says({"status", "-o", "xml"}, "xml");
  says({"xyzzyplugh"}, "unknown command \"xyzzyplugh\"");
  says({"put"}, "source is required");
  says({"put", "a", "--id"}, "--id needs a value");
  says({"status", "--router", "nonsense"}, "host:port");
  says({"status", "--router", ","}, "no router");
  says({"status", "--timeout", "soon"}, "\"soon\" is not a time");
  says({"status", "--tls-cert", "x.pem"}, "belong together");
  // Numbers: no sign, nothing that would be cut, nothing but digits.
  const std::string id(64, '7');
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"get", id, "--raw", "--offset"},
           {"get", id, "--raw", "--length"},
           {"chain", "read", "x", "--first"},
           {"chain", "read", "x", "--last"},
           {"chain", "read", "x", "--from"},
           {"chain", "read", "x", "--to"},
           {"chain", "tail", "x", "--lines"},
           {"chain", "tail", "x", "--count"},
           {"chain", "append", "x", "y", "--position"},
           {"bench", "--key-count"},
           {"bench", "--chains"},
           {"bench", "--last"},
           {"bench", "--in-flight"},
           {"bench", "--clients"},
           {"bench", "--seed"},
           {"status", "--watch", "--count"},
       }) {
    const auto with = [&](const std::string& number) {
      std::vector<std::string> all = arguments;
      all.push_back(number);
      return all;
    };
    says(with("-1"), arguments.back() + ": \"-1\" is not a whole number of ");
    says(with("-99999999999999999999"), "is not a whole number of ");
    says(with("1x"), "\"1x\" is not a whole number of ");
    says(with("99999999999999999999"), "\"99999999999999999999\" is too large");
  }
  says({"chain", "read", "x", "--first", "0"}, "--first: \"0\" is not a whole number of 1 or more");
  says({}, "Examples:");
  CHECK(Closest("sattus", {"status", "nodes"}) == "status");
  CHECK(Closest("q", {"status", "nodes"}).empty());
}

TEST_CASE("help, version, options after the command") {
  Shell shell;
  const Ran help = shell.Run({"--help"});
  CHECK(help.code == kExitOk);
  CHECK(help.out.find("Examples:") < help.out.find("Usage:"));
  for (const char* command :
       {"status", "nodes", "where", "doctor", "explain", "wait",   "put",    "get",  "has",   "rm",
        "chain",  "zone",  "plan",  "apply",  "drain",   "forget", "resync", "scrub", "join", "certs", "completion"}) {
    const Ran r = shell.Run({command, "--help"});
    INFO(command);
    CHECK(r.code == kExitOk);
    CHECK(r.out.find("Examples:") < r.out.find("Usage: coffer "));
  }
  CHECK(shell.Run({"--version"}).out.rfind("coffer ", 0) == 0);
  shell.cluster->status.set_verdict(v1::VERDICT_HEALTHY);
  CHECK(shell.Run({"status", "--output", "json"}).out[0] == '{');
  shell.environment["COFFER_OUTPUT"] = "json";
  CHECK(shell.Run({"status"}).out[0] == '{');
  shell.environment["COFFER_OUTPUT"] = "xml";
  CHECK(shell.Run({"status"}).code == kExitUsage);
}

TEST_CASE("what can't be printed fails the command") {
  Shell shell;
  shell.cluster->status.set_verdict(v1::VERDICT_HEALTHY);
  shell.out_is_full = true;
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{{"status"}, {"explain"}, {"--help"}}) {
    const Ran r = shell.Run(arguments);
    CHECK(r.code == kExitFailure);
    CHECK(r.err == "coffer: can't write to standard output: what was printed is not whole. What the command wrote to the cluster is written; "
                   "do not repeat it because of this\n");
  }
}

TEST_CASE("the other name of the routers' variable, unless it is cofferd's switch") {
  Shell shell;
  shell.cluster->status.set_verdict(v1::VERDICT_HEALTHY);
  shell.environment["COFFER_ROUTER"] = shell.environment["COFFER_ROUTERS"];
  shell.environment.erase("COFFER_ROUTERS");
  CHECK(shell.Run({"status"}).code == kExitOk);
  shell.environment["COFFER_ROUTER"] = "true";
  CHECK(shell.Run({"status", "--router", shell.router->address()}).code == kExitOk);
}

TEST_CASE("completions know every command") {
  Shell shell;
  const Ran r = shell.Run({"completion", "bash"});
  CHECK(r.code == kExitOk);
  for (const char* part : {"|chain append|", "|resync limit|", "--watch", "complete -o default -F _coffer coffer"}) {
    CHECK(r.out.find(part) != std::string::npos);
  }
  ScratchFolder folder;
  WriteFile(folder / "c.bash",
            r.out + "COMP_WORDS=(coffer -o json chain ap); COMP_CWORD=4; _coffer; echo \"${COMPREPLY[@]}\" >" +
                (folder / "said"));
  REQUIRE(std::system(("bash " + (folder / "c.bash")).c_str()) == 0);
  CHECK(ReadFile(folder / "said") == "append\n");
  CHECK(shell.Run({"completion", "tcsh"}).code == kExitUsage);
}

}  // namespace
}  // namespace coffer::command
