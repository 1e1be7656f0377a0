// Settings: who wins, what is refused and in which words.
#include "node/cofferd/config.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>

#include "node/cofferd/config_keys.h"
#include "tests/test_support.h"

namespace coffer::server {
namespace {

using Catch::Contains;
using std::chrono::milliseconds;
using Environment = std::map<std::string, std::string>;

LoadedConfig Load(std::vector<std::string> arguments, Environment environment = {}) {
  return LoadConfig(arguments, environment, "host-7");
}

// All errors in one text.
std::string ErrorsOf(const LoadedConfig& loaded) {
  std::string all;
  for (const std::string& error : loaded.errors) all += error + "\n";
  return all;
}

class File {
 public:
  explicit File(const std::string& text) {
    char name[] = "/tmp/coffer-config-XXXXXX";
    const int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    close(fd);
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~File() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST_CASE("without a word: a node and router for this machine alone") {
  const LoadedConfig loaded = Load({});
  REQUIRE(loaded.ok());
  CHECK(loaded.action == Action::kRun);
  const Config& c = loaded.config;
  CHECK(c.name == "host-7");
  CHECK(c.node);
  CHECK(c.router);
  CHECK_FALSE(c.witness);
  CHECK(c.form);
  CHECK(c.listen == "127.0.0.1:7701");
  CHECK(c.advertise == "127.0.0.1:7701");
  CHECK(c.public_listen == "127.0.0.1:7700");
  CHECK(c.metrics_listen == "127.0.0.1:7702");
  CHECK(c.SecretPath() == "coffer-data/secret");
}

TEST_CASE("with company the peer port opens, the public one does not") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--join", "node-1:7701"}, {"--secret-file", "/s"}, {"--advertise", "me:7701"}}) {
    const LoadedConfig loaded = Load(arguments);
    REQUIRE(loaded.ok());
    CHECK(loaded.config.listen == "0.0.0.0:7701");
    CHECK(loaded.config.public_listen == "127.0.0.1:7700");
  }
  CHECK(Load({"--join", "node-1:7701"}).config.advertise == "host-7:7701");
  CHECK(Load({"--listen", "10.0.0.5:9"}).config.advertise == "10.0.0.5:9");
  CHECK(Load({"--listen", "0.0.0.0:9", "--name", "a"}).config.advertise == "a:9");
}

TEST_CASE("who joins does not form unless told to") {
  CHECK_FALSE(Load({"--join", "node-1:7701"}).config.form);
  CHECK(Load({"--join", "node-1:7701", "--form", "true"}).config.form);
}

TEST_CASE("flag over environment over file over default") {
  const File file("weight = 7\nname = \"of-file\"\nfailure_domain = \"rack-1\"\n");
  const Environment environment = {{"COFFER_CONFIG", file.path()}, {"COFFER_WEIGHT", "8"}, {"COFFER_NAME", "of-env"}};
  const LoadedConfig loaded = Load({"--weight", "9"}, environment);
  REQUIRE(loaded.ok());
  CHECK(loaded.config.weight == 9);
  CHECK(loaded.origins.at("weight") == "--weight");
  CHECK(loaded.config.name == "of-env");
  CHECK(loaded.origins.at("name") == "COFFER_NAME");
  CHECK(loaded.config.failure_domain == "rack-1");
  CHECK(loaded.origins.at("failure_domain") == file.path() + ":3");
  CHECK(loaded.origins.count("data") == 0);
}

TEST_CASE("--config is stronger than COFFER_CONFIG") {
  const File mine("weight = 7\n");
  const LoadedConfig loaded = Load({"--config", mine.path()}, {{"COFFER_CONFIG", "/nowhere"}});
  REQUIRE(loaded.ok());
  CHECK(loaded.config.weight == 7);
}

TEST_CASE("the file may use the types that read naturally") {
  const File file(
      "join = [\"a:1\", \"b:2\"]\nform = true\nweight = 200\nresync_delay = \"1m\"\nchunk_limit = 65536\n"
      "public_listen = \"0.0.0.0:7700\"\n");
  const LoadedConfig loaded = Load({"--config", file.path()});
  CHECK(ErrorsOf(loaded) == "");
  CHECK(loaded.config.join == std::vector<std::string>{"a:1", "b:2"});
  CHECK(loaded.config.form);
  CHECK(loaded.config.weight == 200);
  CHECK(loaded.config.resync_delay == milliseconds(60'000));
  CHECK(loaded.config.chunk_limit == 65536);
}

TEST_CASE("every value that is not allowed is named with its key, origin and what is allowed") {
  struct Case {
    const char* key;
    const char* value;
  };
  for (const Case& c : {Case{"name", "a b"}, {"role", "king"}, {"role", "witness,router"}, {"weight", "0"},
                        {"weight", "1001"}, {"failure_domain", "a/b"}, {"listen", "7701"}, {"advertise", "x"},
                        {"public_listen", "off"}, {"metrics_listen", "x:y"}, {"join", "node-1"}, {"form", "maybe"},
                        {"form_timeout", "30"}, {"form_timeout", "2h"}, {"min_copies", "3"}, {"chunk_limit", "9MiB"},
                        {"chunk_limit", "1"}, {"partitions", "0"}, {"partitions", "65537"}, {"resync_delay", "25h"}, {"layout_gather", "11s"},
                        {"cut_off_after", "0s"}, {"cut_off_after", "11m"},
                        {"resync_limit", "1KiB"}, {"disk_reserve", "some"}, {"cache_bytes", "-1"}, {"cache_policy", "random"}, {"cache_age", "0s"}, {"cache_disk_bytes", "1MiB"},
                        {"probe_interval", "1ms"}, {"probe_timeout", "0s"}, {"suspicion_min", "1"},
                        {"suspicion_max", "2h"}, {"log_level", "loud"}, {"log_format", "xml"}, {"drain_timeout", "2h"},
                        {"public_tls_required", "?"}, {"read_threads", "0"}, {"read_threads", "257"}}) {
    CAPTURE(c.key, c.value);
    const ConfigKey* key = FindConfigKey(c.key);
    REQUIRE(key);
    const LoadedConfig loaded = Load({FlagOf(*key) + "=" + c.value});
    REQUIRE(loaded.errors.size() == 1);
    CHECK_THAT(loaded.errors[0], Contains(c.key) && Contains("\"" + std::string(c.value) + "\"") &&
                                     Contains("from " + FlagOf(*key)) && Contains(key->allowed));
  }
  CHECK_THAT(ErrorsOf(Load({}, {{"COFFER_WEIGHT", "many"}})), Contains("(from COFFER_WEIGHT)"));
  const File file("\n\nweight = -5\n");
  CHECK_THAT(ErrorsOf(Load({"--config", file.path()})), Contains("\"-5\" (from " + file.path() + ":3)"));
}

TEST_CASE("a wrong key is answered with the nearest right one") {
  CHECK_THAT(ErrorsOf(Load({"--wieght", "7"})), Contains("--wieght; did you mean --weight?"));
  CHECK_THAT(ErrorsOf(Load({"--public-lisen=0.0.0.0:1"})), Contains("did you mean --public-listen?"));
  CHECK_THAT(ErrorsOf(Load({"--xyzzyxyzzy"})), Contains("no flag --xyzzyxyzzy") && !Contains("did you mean"));
  CHECK_THAT(ErrorsOf(Load({"start"})), Contains("\"start\" is not understood"));
  CHECK_THAT(ErrorsOf(Load({}, {{"COFFER_JION", "a:1"}})), Contains("COFFER_JION; did you mean COFFER_JOIN?"));
  const File file("name = \"a\"\nfailure_domian = \"b\"\n");
  CHECK_THAT(ErrorsOf(Load({"--config", file.path()})),
             Contains(file.path() + ":2") && Contains("did you mean \"failure_domain\"?"));
}

TEST_CASE("variables that service managers set are left alone, with a word") {
  const LoadedConfig loaded = Load({}, {{"COFFER_PORT", "tcp://10.0.0.1:7700"}, {"COFFER_PORT_7700_TCP_ADDR", "10.0.0.1"},
                                        {"COFFER_ZONE", "demo"}, {"PATH", "/bin"}});
  CHECK(ErrorsOf(loaded) == "");
  REQUIRE(loaded.notices.size() == 2);
  CHECK_THAT(loaded.notices[0], Contains("COFFER_PORT "));
  CHECK_THAT(loaded.notices[1], Contains("COFFER_PORT_7700_TCP_ADDR"));
}

TEST_CASE("an empty variable is an unset one") {
  const LoadedConfig loaded = Load({}, {{"COFFER_JOIN", ""}, {"COFFER_WEIGHT", ""}});
  CHECK(loaded.ok());
  CHECK(loaded.config.weight == 100);
}

TEST_CASE("a secret is taken from a file only") {
  CHECK_THAT(ErrorsOf(Load({"--secret", "s3cret"})), Contains("--secret-file"));
  const std::string of_environment = ErrorsOf(Load({}, {{"COFFER_SECRET", "s3cret"}}));
  CHECK_THAT(of_environment, Contains("COFFER_SECRET_FILE") && !Contains("s3cret"));
  const File file("secret = \"s3cret\"\n");
  CHECK_THAT(ErrorsOf(Load({"--config", file.path()})), Contains("secret_file") && !Contains("s3cret"));
}

TEST_CASE("files that are none say where") {
  CHECK_THAT(ErrorsOf(Load({"--config", "/nowhere/cofferd.toml"})), Contains("/nowhere/cofferd.toml"));
  const File broken("name = \"a\"\nweight = = 3\n");
  CHECK_THAT(ErrorsOf(Load({"--config", broken.path()})), Contains(broken.path() + ":2"));
  // The parser takes this for a mistake of its own.
  const File odd("[:]\n");
  CHECK_THAT(ErrorsOf(Load({"--config", odd.path()})), Contains(odd.path() + ": this is not TOML"));
  // It has no answer for such a letter outside of quotes; within them, and in comments, it is a letter like any other.
  const File letter("name = \"\xD0\x9B\" # \xD0\x9B '\n\xD0\x9B = 3\n");
  CHECK_THAT(ErrorsOf(Load({"--config", letter.path()})), Contains(letter.path() + ":2: this is not TOML"));
  const File quoted("\xEF\xBB\xBFname = \"a\" # \xD0\x9B\nadvertise = '\xD0\x9B:\\'\n");
  CHECK_THAT(ErrorsOf(Load({"--config", quoted.path()})), !Contains("not TOML"));
  const File table("[node]\nname = \"a\"\n");
  CHECK_FALSE(Load({"--config", table.path()}).ok());
  const File typed("weight = 1.5\n");
  CHECK_THAT(ErrorsOf(Load({"--config", typed.path()})), Contains("weight must be"));
}

TEST_CASE("rules between keys") {
  CHECK_THAT(ErrorsOf(Load({"--role", "router"})), Contains("needs join") && Contains("needs secret_file"));
  CHECK(Load({"--role", "router", "--join", "a:1", "--secret-file", "/s"}).ok());
  CHECK(Load({"--role", "router", "--join", "a:1", "--secret-file", "/s"}).config.listen.empty());
  CHECK_THAT(ErrorsOf(Load({"--role", "witness"})), Contains("join"));
  CHECK_THAT(ErrorsOf(Load({"--role", "witness", "--join", "a:1", "--form", "true"})), Contains("never forms"));
  CHECK(Load({"--role", "witness", "--join", "a:1"}).ok());
  CHECK_THAT(ErrorsOf(Load({"--tls-cert", "c"})), Contains("tls_cert, tls_key and tls_ca go together"));
  CHECK(Load({"--tls-cert", "c", "--tls-key", "k", "--tls-ca", "a"}).ok());
  CHECK_THAT(ErrorsOf(Load({"--public-tls-key", "k"})), Contains("public_tls_cert and public_tls_key go together"));
  CHECK(Load({"--public-tls-cert", "c", "--public-tls-key", "k"}).ok());
  CHECK_THAT(ErrorsOf(Load({"--public-tls-required", "true"})), Contains("needs public_tls_ca"));
  CHECK_THAT(ErrorsOf(Load({"--public-listen", "none"})), Contains("public_listen"));
  CHECK(Load({"--public-listen", "none", "--role", "node"}).ok());
  CHECK(Load({"--metrics-listen", "none"}).config.metrics_listen.empty());
  CHECK_THAT(ErrorsOf(Load({"--probe-timeout", "1s"})), Contains("probe_timeout"));
  CHECK_THAT(ErrorsOf(Load({"--suspicion-min", "5s"})), Contains("suspicion_min"));
}

TEST_CASE("roles") {
  const Config node = Load({"--role", "node"}).config;
  CHECK(node.node);
  CHECK_FALSE(node.router);
  const Config both = Load({"--role", "router, node"}).config;
  CHECK(both.node);
  CHECK(both.router);
}

TEST_CASE("all errors are told at once") {
  CHECK(Load({"--weight", "x", "--form", "y", "--nmae", "z"}).errors.size() >= 3);
}

TEST_CASE("help and version need no valid settings") {
  CHECK(Load({"--help", "--weight", "x"}).action == Action::kHelp);
  CHECK(Load({"--version"}, {{"COFFER_WEIGHT", "x"}}).action == Action::kVersion);
  CHECK(Load({"--help", "--weight", "x"}).ok());
  CHECK(Load({"--print-config"}).action == Action::kPrintConfig);
}

TEST_CASE("help shows examples first and every key") {
  const std::string help = HelpText();
  CHECK(help.find("Examples") < help.find("--name"));
  for (const ConfigKey& key : ConfigKeys()) {
    CAPTURE(key.name);
    CHECK_THAT(help, Contains("  " + FlagOf(key) + "\n"));
  }
}

TEST_CASE("what is printed can be read back and gives the same") {
  const LoadedConfig first = Load({"--join", "a:1,b:2", "--form", "true", "--disk-reserve", "5GiB", "--role", "node",
                                   "--public-listen", "none", "--resync-delay", "90s", "--data", "/d \"q\" \\x"});
  REQUIRE(first.ok());
  const File file(PrintConfig(first));
  const LoadedConfig second = Load({"--config", file.path()});
  CHECK(ErrorsOf(second) == "");
  for (const ConfigKey& key : ConfigKeys()) {
    CAPTURE(key.name);
    CHECK(key.get(second.config) == key.get(first.config));
  }
  CHECK_THAT(PrintConfig(first), Contains("# --resync-delay") && Contains("# default"));
}

TEST_CASE("every key takes its own default back") {
  const Config defaults = Load({}).config;
  for (const ConfigKey& key : ConfigKeys()) {
    const std::string value = key.get(defaults);
    if (value.empty()) continue;
    CAPTURE(key.name, value);
    Config config = defaults;
    CHECK(key.set(value, &config));
    CHECK(key.get(config) == value);
  }
}

}  // namespace
}  // namespace coffer::server
