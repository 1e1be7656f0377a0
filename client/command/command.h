// What the commands of `coffer` share: where they print, how they reach the cluster, how they end. One file per
// command; registry.h lists them.
#pragma once

#include <chrono>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "client/client.h"

namespace CLI {
class App;
}

namespace coffer::command {

// Exit codes of the command line; part of its interface.
enum Exit {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitDegraded = 4,
  kExitUnavailable = 5,
  kExitTimeout = 124,
};

// The world around a command; tests put their own in its place.
struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_is_tty = false;
  bool out_is_tty = false;
  bool err_is_tty = false;
  int width = 80;
  int height = 24;
  // A variable of the environment; empty when unset.
  std::function<std::string(const std::string&)> env;
};

// Ends the command with a code after saying why on stderr.
struct CommandError : std::runtime_error {
  CommandError(int code, const std::string& what) : std::runtime_error(what), exit_code(code) {}
  int exit_code;
};
// A mistake in how the command was called.
struct UsageError : CommandError {
  explicit UsageError(const std::string& what) : CommandError(kExitUsage, what) {}
};

// One run of the program.
class Session {
 public:
  explicit Session(Terminal& terminal) : terminal_(terminal) {}

  // Set by the parser.
  std::string routers = "127.0.0.1:7700";
  std::string zone = "default";
  std::string timeout_text;
  std::string output = "table";
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_ca;
  // The command that was chosen.
  std::function<int()> action;

  std::ostream& out() { return terminal_.out; }
  // Throws if something that was printed could not be written, to a full disk for instance.
  void CheckOutput();
  std::ostream& err() { return terminal_.err; }
  std::istream& in() { return terminal_.in; }
  const Terminal& terminal() const { return terminal_; }
  bool json() const { return output == "json"; }
  bool colour() const;

  // The client, connected at the first use. Throws UsageError when the options can't work. `patient`: keeps trying to
  // reach a router until the deadline; otherwise gives up after a few seconds.
  client::Client& client(bool patient = false);
  // Ends it until it is used again. A second client, idle as it may be, takes part in waiting for the network: gRPC 1.51 has one set of
  // sockets for all of a process, and whichever thread waits for it hands events on to the others, a change of threads each.
  void Disconnect() { client_.reset(); }
  client::ClientOptions client_options() const;
  // --timeout, if it was given.
  std::optional<std::chrono::milliseconds> timeout() const;

  // Asks on stderr and reads a line: true for "y" or "yes". Without a terminal to ask: UsageError that names --yes.
  bool Confirm(const std::string& question);
  // As Confirm, but the answer must be `statement` word for word.
  bool ConfirmStatement(const std::string& statement);

 private:
  Terminal& terminal_;
  std::unique_ptr<client::Client> client_;
};

// The exit code a failure leads to.
int ExitFor(const client::Status& status);
// What happened, what is safe, what to do next; several lines, ends with a line break.
std::string Explain(const std::string& what_failed, const client::Status& status);
// Throws the CommandError of a failed operation: `what_failed` is like "can't put photo.jpg".
[[noreturn]] void Fail(const std::string& what_failed, const client::Status& status);
template <class T>
T Need(client::Result<T> result, const std::string& what_failed) {
  if (!result.ok()) Fail(what_failed, result.status);
  return std::move(result.value);
}

// 64 hexadecimal digits, or UsageError that says what is wrong with them.
BlockId ParseId(const std::string& hex);
// A chain's name: 64 hexadecimal digits are its id, any other text stands for its SHA-256.
BlockId ChainIdOf(const std::string& name);
// "500ms", "10s", "2m", "1h", or a plain number of seconds; UsageError otherwise.
std::chrono::milliseconds ParseDuration(const std::string& text);
// "64MiB", "10MB", "512K", "1000": bytes; UsageError otherwise.
std::uint64_t ParseBytes(const std::string& text);

// Runs the program. Never throws; returns the exit code.
int Run(const std::vector<std::string>& arguments, Terminal& terminal);

}  // namespace coffer::command
