// coffer doctor: looks at everything an operator would look at, and says what to do about what is not well.
#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "client/command/cluster_calls.h"
#include "client/command/doctor_checks.h"
#include "client/command/format.h"
#include "client/command/registry.h"
#include "client/messages.h"
#include "proto/link/tls_check.h"

namespace coffer::command {
namespace {

const char* Word(Finding::Grade grade) {
  switch (grade) {
    case Finding::Grade::kOk:
      return "ok  ";
    case Finding::Grade::kWarn:
      return "warn";
    default:
      return "bad ";
  }
}

const char* Colour(Finding::Grade grade) {
  switch (grade) {
    case Finding::Grade::kOk:
      return "\033[32m";
    case Finding::Grade::kWarn:
      return "\033[33m";
    default:
      return "\033[31m";
  }
}

// One router by itself: does it answer, and is its clock ours?
void CheckRouter(Session& session, const std::string& address, std::vector<Finding>& out,
                 std::optional<v1::Status>& status) {
  client::ClientOptions o = session.client_options();
  o.routers = {address};
  const auto began = std::chrono::system_clock::now();
  client::Result<v1::GetStatusResponse> r;
  try {
    const auto one = client::Client::Connect(o);
    r = client::CallAndWait<v1::GetStatusResponse>(*one, "coffer.v1.Cluster/GetStatus", v1::GetStatusRequest(),
                                                   client::Effect::kRead);
  } catch (const std::exception& e) {
    out.push_back({Finding::Grade::kBad, "router " + address, e.what(), "correct --router or the TLS files"});
    return;
  }
  const auto ended = std::chrono::system_clock::now();
  if (!r.ok()) {
    // gRPC does not say what is wrong with TLS; a second look does.
    const link::TlsFiles tls{o.tls_certificate, o.tls_key, o.tls_ca};
    std::string why;
    if (r.status.reason == "UNREACHABLE" && !tls.ca.empty()) {
      why = link::ExplainTlsFailure(address, tls, std::chrono::seconds(3));
    }
    out.push_back({Finding::Grade::kBad, "router " + address, why.empty() ? r.status.message : why,
                   "see that it runs, that this machine may reach it, and that both or neither speak TLS"});
    return;
  }
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(ended - began).count();
  out.push_back({Finding::Grade::kOk, "router " + address, "answers in " + std::to_string(ms) + " ms", ""});
  const auto since_1970 = [](auto t) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
  };
  out.push_back(
      CheckClock(address, static_cast<std::int64_t>(r->status().time_ms()), since_1970(began), since_1970(ended)));
  // The router that knows the newest layout speaks for the cluster.
  if (!status || r->status().epoch() > status->epoch()) status = r->status();
}

int Doctor(Session& session) {
  std::vector<Finding> findings;
  std::optional<v1::Status> status;
  CheckTlsFiles(session.tls_certificate, session.tls_key, session.tls_ca, std::chrono::system_clock::now(), findings);
  for (const std::string& address : session.client_options().routers) CheckRouter(session, address, findings, status);
  if (status) CheckStatus(*status, findings);
  bool warn = false;
  bool bad = false;
  for (const Finding& f : findings) {
    warn = warn || f.grade == Finding::Grade::kWarn;
    bad = bad || f.grade == Finding::Grade::kBad;
    if (session.json()) {
      std::string word = Word(f.grade);
      word.erase(word.find_last_not_of(' ') + 1);
      session.out() << nlohmann::json{{"grade", word}, {"check", f.check}, {"found", f.found}, {"do", f.next}}.dump()
                    << "\n";
      continue;
    }
    session.out() << (session.colour() ? Colour(f.grade) : "") << Word(f.grade) << (session.colour() ? "\033[0m" : "")
                  << "  " << f.check << ": " << f.found << "\n";
    if (!f.next.empty()) session.out() << "      do: " << f.next << "\n";
  }
  if (!status) return kExitUnavailable;
  return bad ? kExitFailure : warn ? kExitDegraded : kExitOk;
}

}  // namespace

void AddDoctor(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("doctor", "Check routers, clocks, TLS, disks, layout, copies; says what to do");
  cmd->footer(
      "  coffer doctor                exits 0 if all is well, 4 on warnings, 1 on faults, 5 if no router answers\n"
      "  coffer doctor -o json        one JSON object per check");
  cmd->callback([&session] { session.action = [&session] { return Doctor(session); }; });
}

}  // namespace coffer::command
