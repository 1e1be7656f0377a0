// Secrets, log lines, and what the service manager is told.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "node/cofferd/log.h"
#include "node/cofferd/secret.h"
#include "node/cofferd/service_manager.h"
#include "node/cofferd/tls_notice.h"
#include "tests/test_support.h"

namespace coffer::server {
namespace {

using Catch::Contains;

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/coffer-service-XXXXXX";
    REQUIRE(mkdtemp(name));
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST_CASE("what gRPC says of a failed TLS handshake is said in words, and its other lines are not") {
  const std::string failed = "Handshake failed with fatal error SSL_ERROR_SSL: error:0A0000";
  CHECK_THAT(std::string(TlsNotice(failed + "C7:SSL routines::peer did not return a certificate", false)), Contains("showed no certificate"));
  CHECK_THAT(std::string(TlsNotice(failed + "86:SSL routines::certificate verify failed", true)), Contains("not signed by our authority"));
  CHECK_THAT(std::string(TlsNotice(failed + "18:SSL routines::tlsv1 alert unknown ca", false)), Contains("does not accept our certificate"));
  const std::string cleartext = failed + "10B:SSL routines::wrong version number";
  CHECK_THAT(std::string(TlsNotice(cleartext, false)), Contains("without TLS"));
  CHECK(TlsNotice(cleartext, true).empty());
  CHECK(TlsNotice("Handshake failed with fatal error SSL_ERROR_SYSCALL: unexpected eof", false).empty());
  CHECK(TlsNotice("certificate verify failed", false).empty());
}

TEST_CASE("a secret that is made can be read, by its owner only") {
  const Folder folder;
  const std::string path = folder / "secret";
  const link::Keyring made = NewSecret();
  NewSecretFile(path).Keep(made);
  CHECK(made.first().size() == 64);
  CHECK(ReadSecrets(path) == made);
  struct stat status;
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK_FALSE(IsExposed(path));
  // Never over an existing one.
  CHECK_THROWS_WITH(NewSecretFile(path).Keep(NewSecret()), Contains(path));
  CHECK(ReadSecrets(path) == made);
  CHECK_THROWS_WITH(NewSecretFile(folder / "none/secret").Keep(made), Contains("none/secret"));
  CHECK(NewSecret() != made);
  REQUIRE(chmod(path.c_str(), 0644) == 0);
  CHECK(IsExposed(path));
}

TEST_CASE("white space around a secret is not part of it, and a short one is refused without quoting it") {
  const Folder folder;
  std::ofstream(folder / "a") << "  0123456789abcdef\n\n";
  CHECK(ReadSecrets(folder / "a").first() == "0123456789abcdef");
  for (const std::string& bad : {std::string("hunter2\n"), std::string(), std::string(" \n"), std::string(5000, 'x')}) {
    std::ofstream(folder / "b", std::ios::trunc) << bad;
    CHECK_THROWS_WITH(ReadSecrets(folder / "b"), Contains("16 to 4096") && !Contains("hunter2"));
  }
  CHECK_THROWS_WITH(ReadSecrets(folder / "none"), Contains(folder / "none") && Contains("--secret-file"));
}

TEST_CASE("a file may hold several secrets, the first of which is used") {
  const Folder folder;
  std::ofstream(folder / "two") << "\n 0123456789abcdef \n\n fedcba9876543210\n";
  const link::Keyring two = ReadSecrets(folder / "two");
  CHECK(two.first() == "0123456789abcdef");
  CHECK(two.all().size() == 2);
  CHECK(two.Has("fedcba9876543210"));
  CHECK_FALSE(two.Has("fedcba987654321"));
  NewSecretFile(folder / "copy").Keep(two);
  CHECK(ReadSecrets(folder / "copy") == two);
  std::ofstream(folder / "bad") << "0123456789abcdef\nhunter2\n";
  CHECK_THROWS_WITH(ReadSecrets(folder / "bad"), Contains("16 to 4096") && !Contains("hunter2"));
  std::ofstream(folder / "bad", std::ios::trunc) << "0123456789abcdef\n0123456789abcdef\n";
  CHECK_THROWS_WITH(ReadSecrets(folder / "bad"), Contains("twice") && !Contains("0123456789abcdef"));
}

TEST_CASE("a file for a secret that never came is gone") {
  const Folder folder;
  { const NewSecretFile file(folder / "secret"); }
  CHECK_FALSE(std::filesystem::exists(folder / "secret"));
  CHECK_FALSE(std::filesystem::exists(folder / "secret.next"));
}

std::string Line(LogFormat format, LogLevel least, LogLevel level) {
  std::ostringstream out;
  Log log(least, format, &out);
  log.Write(level, "node-3 is \"down\"", {{"member", "node-3"}, {"empty", ""}, {"two", "a b\nc"}});
  return out.str();
}

TEST_CASE("lines in logfmt") {
  const std::string line = Line(LogFormat::kLogfmt, LogLevel::kInfo, LogLevel::kWarning);
  CHECK(std::regex_match(line, std::regex("ts=\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z level=warning "
                                          "msg=\"node-3 is \\\\\"down\\\\\"\" member=node-3 empty=\"\" two=\"a b\\\\nc\"\n")));
}

TEST_CASE("lines in JSON") {
  const std::string line = Line(LogFormat::kJson, LogLevel::kInfo, LogLevel::kError);
  CHECK(std::regex_match(line, std::regex("\\{\"ts\":\"[^\"]*Z\",\"level\":\"error\",\"msg\":\"node-3 is \\\\\"down\\\\\"\","
                                          "\"member\":\"node-3\",\"empty\":\"\",\"two\":\"a b\\\\nc\"\\}\n")));
  CHECK(FormatJson("\xff", {}) == "\"msg\":\"\xef\xbf\xbd\"");
}

TEST_CASE("times are UTC whatever the zone of the machine") {
  const char* before = getenv("TZ");
  const std::string kept = before ? before : "";
  setenv("TZ", "Asia/Kathmandu", 1);
  tzset();
  const std::time_t now = std::time(nullptr);
  const std::string line = Line(LogFormat::kLogfmt, LogLevel::kInfo, LogLevel::kInfo);
  before ? setenv("TZ", kept.c_str(), 1) : unsetenv("TZ");
  tzset();
  char hour[20];
  char hour_after[20];
  const std::time_t later = now + 60;
  std::strftime(hour, sizeof hour, "ts=%Y-%m-%dT%H", std::gmtime(&now));
  std::strftime(hour_after, sizeof hour_after, "ts=%Y-%m-%dT%H", std::gmtime(&later));
  CHECK((line.rfind(hour, 0) == 0 || line.rfind(hour_after, 0) == 0));
}

TEST_CASE("what is below the level is not written") {
  CHECK(Line(LogFormat::kLogfmt, LogLevel::kWarning, LogLevel::kInfo).empty());
  CHECK_FALSE(Line(LogFormat::kLogfmt, LogLevel::kDebug, LogLevel::kDebug).empty());
  CHECK_FALSE(Line(LogFormat::kLogfmt, LogLevel::kError, LogLevel::kError).empty());
}

TEST_CASE("the service manager is told in datagrams") {
  const Folder folder;
  const std::string path = folder / "notify";
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const auto next = [fd] {
    char bytes[256];
    const ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return n < 0 ? std::string() : std::string(bytes, static_cast<std::size_t>(n));
  };
  const ServiceManager manager(path, std::chrono::seconds(10));
  manager.Ready();
  CHECK(next() == "READY=1");
  manager.Status("serving");
  CHECK(next() == "STATUS=serving");
  manager.Alive();
  CHECK(next() == "WATCHDOG=1");
  manager.Stopping();
  CHECK(next() == "STOPPING=1");
  close(fd);

  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  CHECK(ServiceManager().watchdog() == std::chrono::seconds(30));
  setenv("WATCHDOG_PID", "1", 1);
  CHECK(ServiceManager().watchdog() == std::chrono::seconds(0));
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  ServiceManager().Ready();  // nobody listens: silently nothing
}

}  // namespace
}  // namespace coffer::server
