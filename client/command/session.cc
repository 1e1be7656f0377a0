#include <charconv>
#include <istream>
#include <ostream>

#include "client/command/command.h"
#include "cluster/sha256.h"

namespace coffer::command {
namespace {

std::vector<std::string> Split(const std::string& list) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (at <= list.size()) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    std::string item = list.substr(at, comma - at);
    item.erase(0, item.find_first_not_of(' '));
    item.erase(item.find_last_not_of(' ') + 1);
    if (!item.empty()) out.push_back(item);
    at = comma + 1;
  }
  return out;
}

}  // namespace

bool Session::colour() const {
  return terminal_.out_is_tty && terminal_.env("NO_COLOR").empty();
}

std::optional<std::chrono::milliseconds> Session::timeout() const {
  if (timeout_text.empty()) return {};
  return ParseDuration(timeout_text);
}

client::ClientOptions Session::client_options() const {
  client::ClientOptions o;
  o.routers = Split(routers);
  o.zone = zone;
  o.tls_certificate = tls_certificate;
  o.tls_key = tls_key;
  o.tls_ca = tls_ca;
  if (timeout()) o.timeout = *timeout();
  // A command line that hangs ten seconds on a typing error in --router helps nobody.
  o.connect_patience = std::chrono::seconds(3);
  return o;
}

client::Client& Session::client(bool patient) {
  if (!client_) {
    try {
      client::ClientOptions o = client_options();
      if (patient) o.connect_patience = std::chrono::milliseconds(0);
      client_ = client::Client::Connect(o);
    } catch (const CommandError&) {
      throw;
    } catch (const std::exception& e) {
      throw UsageError(e.what());
    }
  }
  return *client_;
}

void Session::CheckOutput() {
  if (out()) return;
  throw CommandError(kExitFailure, "can't write to standard output: what was printed is not whole. What the command wrote to the cluster is "
                                   "written; do not repeat it because of this");
}

bool Session::Confirm(const std::string& question) {
  if (!terminal_.in_is_tty) throw UsageError("there is no terminal to ask at: add --yes if you are sure");
  err() << question << " [y/N] " << std::flush;
  std::string answer;
  std::getline(in(), answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

bool Session::ConfirmStatement(const std::string& statement) {
  if (!terminal_.in_is_tty) {
    throw UsageError("there is no terminal to ask at: give the statement itself with --statement, word for word:\n  " +
                     statement);
  }
  err() << "To go on, type this sentence:\n  " << statement << "\n> " << std::flush;
  std::string answer;
  std::getline(in(), answer);
  return answer == statement;
}

int ExitFor(const client::Status& s) {
  using client::Code;
  switch (s.code) {
    case Code::kOk:
      return kExitOk;
    case Code::kNotFound:
      // Of a write in doubt, "not found" is not the answer.
      return s.retry_class == client::RetryClass::kOutcomeUnknown ? kExitFailure : kExitNotFound;
    case Code::kUnavailable:
      return kExitUnavailable;
    case Code::kDeadlineExceeded:
      return kExitTimeout;
    default:
      return kExitFailure;
  }
}

std::string Explain(const std::string& what_failed, const client::Status& s) {
  std::string out = what_failed + ": " + (s.message.empty() ? client::CodeName(s.code) : s.message) + "\n";
  switch (s.retry_class) {
    case client::RetryClass::kOutcomeUnknown:
      out += "  outcome unknown: the write may or may not have happened; running the same command again is safe\n";
      break;
    case client::RetryClass::kRetryLater:
      out += "  nothing was changed; the same command may succeed later\n";
      break;
    default:
      break;
  }
  if (s.reason == "UNREACHABLE") {
    out +=
        "  next: see that a router runs there, or name another with --router HOST:PORT (or COFFER_ROUTERS);\n"
        "        if one of the two speaks TLS, so must the other (--tls-ca). Look closer: coffer doctor\n";
  } else if (s.reason == "ZONE_UNKNOWN") {
    out += "  next: coffer zone list; coffer zone create NAME\n";
  } else if (!s.reason.empty() && s.reason != "CANCELLED") {
    out += "  why: coffer explain " + s.reason + "\n";
  } else if (s.code == client::Code::kDeadlineExceeded) {
    out += "  next: coffer status; --timeout gives it more time\n";
  }
  return out;
}

void Fail(const std::string& what_failed, const client::Status& status) {
  throw CommandError(ExitFor(status), Explain(what_failed, status));
}

BlockId ParseId(const std::string& hex) {
  const auto raw = FromHex(hex);
  const auto id = raw ? BlockId::From(*raw) : std::nullopt;
  if (id) return *id;
  throw UsageError("\"" + hex + "\" is not an id: 64 hexadecimal digits are needed" +
                   (raw || hex.size() != 64 ? ", these are " + std::to_string(hex.size()) + " characters" : ""));
}

BlockId ChainIdOf(const std::string& name) {
  if (name.empty()) throw UsageError("a chain's name can't be empty");
  const auto raw = FromHex(name);
  const auto id = raw ? BlockId::From(*raw) : std::nullopt;
  return id ? *id : BlockId::Must(Sha256({name}).view());
}

std::chrono::milliseconds ParseDuration(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  double factor = 0;
  if (unit.empty() || unit == "s") factor = 1000;
  if (unit == "ms") factor = 1;
  if (unit == "m" || unit == "min") factor = 60000;
  if (unit == "h") factor = 3600000;
  const double ms = number * factor;
  if (error != std::errc() || !(ms >= 1) || ms > 1e12) {
    throw UsageError("\"" + text + "\" is not a time: write 500ms, 10s, 2m or 1h");
  }
  return std::chrono::milliseconds(static_cast<std::int64_t>(ms));
}

std::uint64_t ParseBytes(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(end, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' '));
  static constexpr const char* kPrefixes = "KMGT";
  double factor = unit.empty() || unit == "B" ? 1 : 0;
  for (int i = 0; i < 4; ++i) {
    const std::string p(1, kPrefixes[i]);
    double binary = 1;
    double decimal = 1;
    for (int k = 0; k <= i; ++k) {
      binary *= 1024;
      decimal *= 1000;
    }
    if (unit == p || unit == p + "iB") factor = binary;
    if (unit == p + "B") factor = decimal;
  }
  if (error != std::errc() || factor == 0 || number < 0 || number * factor > 9e18) {
    throw UsageError("\"" + text + "\" is not a size: write 1000, 512K, 64MiB or 10MB");
  }
  return static_cast<std::uint64_t>(number * factor);
}

}  // namespace coffer::command
