// What prepares a machine for a cluster: certs, what doctor finds of certificates and clocks, and join.
#include <sys/stat.h>

#include <chrono>
#include <filesystem>

#include "client/command/doctor_checks.h"
#include "proto/link/link.h"
#include "tests/test_support.h"
#include "unit/cli_run.h"

namespace coffer::command {
namespace {

namespace fs = std::filesystem;
using test::Ran;
using test::ReadFile;
using test::ScratchFolder;
using test::Shell;
using test::WriteFile;

TEST_CASE("certs makes what doctor finds good") {
  Shell shell;
  ScratchFolder folder;
  const std::string tls = folder / "tls";
  CHECK(shell.Run({"certs", tls, "--member", "../node"}).code == kExitUsage);
  CHECK(shell.Run({"certs", tls, "--member", "ca"}).code == kExitUsage);
  CHECK_FALSE(fs::exists(tls));
  REQUIRE(shell.Run({"certs", tls, "--member", "node-1=localhost,127.0.0.1", "--client", "ops"}).code == kExitOk);
  CHECK(shell.Run({"certs", tls, "--client", "ops"}).code == kExitFailure);  // never written over
  CHECK(shell.Run({"certs", tls, "--client", "more", "--days", "5"}).code == kExitOk);
  const auto grades = [](const std::vector<Finding>& findings) {
    std::string out;
    for (const Finding& f : findings)
      out += f.grade == Finding::Grade::kOk ? 'o' : f.grade == Finding::Grade::kWarn ? 'w' : 'b';
    return out;
  };
  const auto now = std::chrono::system_clock::now();
  std::vector<Finding> found;
  CheckTlsFiles(tls + "/ops.pem", tls + "/ops.key", tls + "/ca.pem", now, found);
  CHECK(grades(found) == "ooo");
  found.clear();
  CheckTlsFiles(tls + "/more.pem", tls + "/ops.key", "", now, found);
  CHECK(grades(found) == "wb");  // expires soon; the key of another
  found.clear();
  CheckTlsFiles(tls + "/ops.pem", tls + "/ops.key", tls + "/ca.pem", now + std::chrono::hours(24 * 1000), found);
  CHECK(grades(found) == "obo");
  chmod((tls + "/ops.key").c_str(), 0644);
  found.clear();
  CheckTlsFiles(tls + "/missing.pem", tls + "/ops.key", tls + "/ops.key", now, found);
  CHECK(grades(found) == "bbwo");
}

TEST_CASE("clocks are compared with some patience") {
  using Grade = Finding::Grade;
  CHECK(CheckClock("r", 1000000, 999000, 1001000).grade == Grade::kOk);
  CHECK(CheckClock("r", 1002900, 999000, 1001000).grade == Grade::kOk);
  CHECK(CheckClock("r", 1005000, 999000, 1001000).found == "is 4 s ahead of ours");
  CHECK(CheckClock("r", 900000, 999000, 1001000).found == "is 99 s behind ours");
}

// A member's peer port.
class Member : public link::Handler {
 public:
  explicit Member(const std::string& secret) {
    link::HubOptions options;
    options.listen = "127.0.0.1:0";
    options.keyring = secret;
    link::Identity self;
    self.id = NodeId::Must(std::string(16, 'm'));
    self.cluster = ClusterId::Must(std::string(16, 'c'));
    self.name = "node-1";
    self.address = "127.0.0.1:7701";
    self.boot = Boot(1);
    hub_ = link::Hub::Start(options, self, this);
  }
  ~Member() override { hub_->Stop(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(hub_->port()); }
  link::RefusalInfo Admit(const link::Identity&, const std::string&) override { return {}; }
  void OnUp(const link::Identity&) override {}
  void OnDown(const NodeId&, const std::string&) override {}
  void OnDialFailed(const std::string&, const link::RefusalInfo&) override {}
  void OnMessages(const NodeId&, std::vector<PeerMessage>) override {}

 private:
  std::unique_ptr<link::Hub> hub_;
};

TEST_CASE("join tries before it writes") {
  Shell shell;
  ScratchFolder folder;
  Member member("the secret of the cluster");
  WriteFile(folder / "secret", "the secret of the cluster\n");
  WriteFile(folder / "wrong", "another secret of a cluster\n");
  WriteFile(folder / "empty", "\n");
  const std::string data = folder / "data dir";
  const auto join = [&](const std::string& seed, const std::string& secret) {
    return shell.Run(
        {"join", seed, "--secret-file", folder / secret, "--data", data, "--name", "node-4", "--timeout", "2s"});
  };
  const Ran wrong = join(member.address(), "wrong");
  CHECK(wrong.code == kExitFailure);
  CHECK(wrong.err.find("coffer explain WRONG_SECRET") != std::string::npos);
  CHECK(join(member.address(), "missing").code == kExitFailure);
  CHECK(join(member.address(), "empty").code == kExitFailure);
  CHECK(join("127.0.0.1:1", "secret").code == kExitUnavailable);
  CHECK_FALSE(fs::exists(data));
  const Ran r = join(member.address(), "secret");
  REQUIRE(r.code == kExitOk);
  CHECK(r.out == "cofferd --config '" + data + "/cofferd.toml'\n");
  const std::string config = ReadFile(data + "/cofferd.toml");
  CHECK(config.find("join = [\"" + member.address() + "\"]\n") != std::string::npos);
  CHECK(config.find("name = \"node-4\"\n") != std::string::npos);
  CHECK(config.find("data = \"" + data + "\"\n") != std::string::npos);
  CHECK(config.find("the secret of the cluster") == std::string::npos);
  // A folder that is somebody's is left alone.
  CHECK(join(member.address(), "secret").code == kExitFailure);
  fs::remove(data + "/cofferd.toml");
  WriteFile(data + "/identity", "x");
  CHECK(join(member.address(), "secret").err.find("belongs to a node already") != std::string::npos);
  fs::remove(data + "/identity");
  WriteFile(data + "/thesis.doc", "x");
  CHECK(join(member.address(), "secret").err.find("holds thesis.doc") != std::string::npos);
}

TEST_CASE("who reaches the wrong port is told which it is and which is meant") {
  Member member("the secret of the cluster");
  Shell shell;
  const auto start = std::chrono::steady_clock::now();
  const std::string id(64, '7');
  const Ran peer_port = shell.Run({"--router", member.address(), "--timeout", "50s", "has", id});
  CHECK(peer_port.code == kExitUnavailable);
  CHECK(peer_port.err.find(member.address() + " (what answers there is no router") != std::string::npos);
  CHECK(peer_port.err.find("not a member's peer port (listen, 7701)") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
  // A router beside it is found.
  CHECK(shell.Run({"--router", member.address() + "," + shell.router->address(), "has", id}).code == kExitNotFound);
  ScratchFolder folder;
  WriteFile(folder / "secret", "the secret of the cluster\n");
  const Ran public_port = shell.Run({"join", shell.router->address(), "--secret-file", folder / "secret", "--data", folder / "data"});
  CHECK(public_port.code == kExitUnavailable);
  CHECK(public_port.err.find("what answers there is no member's peer port; the port of `listen` is meant (7701)") != std::string::npos);
}

}  // namespace
}  // namespace coffer::command
