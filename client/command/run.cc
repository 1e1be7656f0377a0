// The parser: global options, help with examples first, suggestions for mistyped words.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <ostream>

#include "client/command/command.h"
#include "client/command/registry.h"
#include "client/command/suggest.h"
#include "proto/link/tls_check.h"

#ifndef COFFER_VERSION
#error "the build says which version this is"
#endif

namespace coffer::command {
namespace {

// A command's footer holds its examples.
class ExamplesFirst : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    if (mode == CLI::AppFormatMode::Sub) return make_expanded(app);
    std::string out = make_description(app);
    if (!app->get_footer().empty()) out += "\nExamples:\n" + app->get_footer() + "\n";
    out += "\n" + make_usage(app, std::move(name)) + make_positionals(app) + make_groups(app, mode) +
           make_subcommands(app, mode);
    if (app->get_parent() != nullptr)
      out += "\nGlobal options (--router, --zone, --timeout, -o, --tls-*): coffer --help\n";
    return out;
  }
};

constexpr const char* kRootExamples =
    "  coffer status --watch                 how the cluster is, live\n"
    "  coffer put photo.jpg                  store a file, print its id\n"
    "  coffer get ID -O photo.jpg            get it back\n"
    "  coffer chain append log \"hello\"       append to a chain\n"
    "  coffer drain node-3                   empty a node; returns when it is safe to stop\n"
    "  coffer explain NODE_DOWN              what a code means and what to do";

// The environment is weaker than a flag. COFFER_ROUTER is taken too when it is an address: cofferd knows a switch of
// that name.
void ReadEnvironment(Session& s, const Terminal& terminal) {
  const auto take = [&](const char* name, std::string& value) {
    const std::string said = terminal.env(name);
    if (!said.empty()) value = said;
  };
  if (terminal.env("COFFER_ROUTER").find(':') != std::string::npos) take("COFFER_ROUTER", s.routers);
  take("COFFER_ROUTERS", s.routers);
  take("COFFER_ZONE", s.zone);
  take("COFFER_TIMEOUT", s.timeout_text);
  take("COFFER_OUTPUT", s.output);
  take("COFFER_TLS_CERT", s.tls_certificate);
  take("COFFER_TLS_KEY", s.tls_key);
  take("COFFER_TLS_CA", s.tls_ca);
}

void AddGlobals(CLI::App& app, Session& s) {
  app.add_option("--router", s.routers, "Routers, HOST:PORT[,HOST:PORT...] (env COFFER_ROUTERS)")
      ->capture_default_str();
  app.add_option("--zone", s.zone, "Zone to work in (env COFFER_ZONE)")->capture_default_str();
  app.add_option("--timeout", s.timeout_text, "Give up after 500ms, 10s, 2m; most commands: 10s (env COFFER_TIMEOUT)");
  app.add_option("-o,--output", s.output, "table or json; when watching one object per line (env COFFER_OUTPUT)")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.add_option("--tls-cert", s.tls_certificate, "Our certificate, PEM file (env COFFER_TLS_CERT)");
  app.add_option("--tls-key", s.tls_key, "Its key, PEM file (env COFFER_TLS_KEY)");
  app.add_option("--tls-ca", s.tls_ca, "Authority of the routers' certificates, PEM file (env COFFER_TLS_CA)");
  app.set_version_flag("--version", std::string("coffer ") + COFFER_VERSION, "Print the version");
}

void AddCommands(CLI::App& app, Session& s) {
  AddStatus(app, s);
  AddNodes(app, s);
  AddWhere(app, s);
  AddDoctor(app, s);
  AddExplain(app, s);
  AddWait(app, s);
  AddPut(app, s);
  AddGet(app, s);
  AddHas(app, s);
  AddRemove(app, s);
  AddChain(app, s);
  AddZone(app, s);
  AddBench(app, s);
  AddPlan(app, s);
  AddApply(app, s);
  AddLayout(app, s);
  AddDrain(app, s);
  AddForget(app, s);
  AddResync(app, s);
  AddScrub(app, s);
  AddCache(app, s);
  AddJoin(app, s);
  AddJoinToken(app, s);
  AddCerts(app, s);
  AddCompletion(app, s);
}

// Global options may stand anywhere; a word after a command is never taken for another command.
void SetUp(CLI::App& app) {
  app.require_subcommand(0, 1);
  for (CLI::App* sub : app.get_subcommands([](CLI::App*) { return true; })) {
    sub->fallthrough();
    SetUp(*sub);
  }
}

// The innermost command that was chosen.
CLI::App* Chosen(CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

std::string FullName(const CLI::App* app) {
  std::string name = app->get_name();
  for (const CLI::App* p = app->get_parent(); p != nullptr; p = p->get_parent()) name = p->get_name() + " " + name;
  return name;
}

std::vector<std::string> Candidates(CLI::App* app, bool options) {
  std::vector<std::string> out;
  if (!options) {
    for (const CLI::App* sub : app->get_subcommands([](CLI::App*) { return true; })) out.push_back(sub->get_name());
    return out;
  }
  for (CLI::App* a = app; a != nullptr; a = a->get_parent()) {
    for (const CLI::Option* option : a->get_options()) {
      for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
    }
  }
  return out;
}

int Unexpected(CLI::App& root, const std::string& word, std::ostream& err) {
  CLI::App* app = Chosen(&root);
  const bool option = word.rfind("-", 0) == 0;
  const std::vector<std::string> names = Candidates(app, option);
  const std::string kind = option ? "option" : names.empty() ? "argument" : "command";
  err << "coffer: unknown " << kind << " \"" << word << "\"";
  if (app != &root) err << " for \"" << FullName(app) << "\"";
  const std::string best = Closest(word.substr(0, word.find('=')), names);
  if (!best.empty()) err << "; did you mean \"" << best << "\"?";
  err << "\n  next: " << FullName(app) << " --help\n";
  return kExitUsage;
}

// Of the innermost command that was named.
std::string Help(CLI::App* root) {
  CLI::App* app = Chosen(root);
  return app->help(app->get_parent() != nullptr ? FullName(app->get_parent()) : "");
}

// CLI11 says "--data: 1 required TEXT missing".
std::string MismatchText(const std::string& said) {
  const std::size_t colon = said.find(": ");
  const bool missing = said.find(" required ") != std::string::npos && said.ends_with(" missing");
  return missing && colon != std::string::npos ? said.substr(0, colon) + " needs a value" : said;
}

int Parse(CLI::App& app, Session& session, std::vector<std::string> arguments, Terminal& terminal) {
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extra = app.remaining(true);
    return Unexpected(app, extra.empty() ? "" : extra.front(), terminal.err);
  } catch (const CLI::CallForHelp&) {
    terminal.out << Help(&app);
    return kExitOk;
  } catch (const CLI::CallForVersion& e) {
    terminal.out << e.what() << "\n";
    return kExitOk;
  } catch (const CLI::ArgumentMismatch& e) {
    terminal.err << "coffer: " << MismatchText(e.what()) << "\n  next: " << FullName(Chosen(&app)) << " --help\n";
    return kExitUsage;
  } catch (const CLI::ParseError& e) {
    terminal.err << "coffer: " << e.what() << "\n  next: " << FullName(Chosen(&app)) << " --help\n";
    return kExitUsage;
  }
  if (!session.action) {
    terminal.err << Help(&app);
    return kExitUsage;
  }
  return -1;
}

// gRPC does not say what is wrong with a certificate; a second look does.
void ExplainTls(Session& session, std::ostream& err) {
  if (session.tls_ca.empty()) return;
  const client::ClientOptions options = session.client_options();
  for (const std::string& address : options.routers) {
    const std::string why = link::ExplainTlsFailure(
        address, {options.tls_certificate, options.tls_key, options.tls_ca}, std::chrono::seconds(2));
    if (!why.empty()) err << "  TLS with " << address << ": " << why << "\n";
  }
}

}  // namespace

int Run(const std::vector<std::string>& arguments, Terminal& terminal) {
  Session session(terminal);
  CLI::App app("Coffer: keeps what you encrypt, on a cluster that survives the loss of a server.", "coffer");
  app.formatter(std::make_shared<ExamplesFirst>());
  app.footer(kRootExamples);
  ReadEnvironment(session, terminal);
  AddGlobals(app, session);
  AddCommands(app, session);
  SetUp(app);
  try {
    if (session.output != "table" && session.output != "json") throw UsageError("COFFER_OUTPUT is table or json");
    const int parsed = Parse(app, session, arguments, terminal);
    const int code = parsed >= 0 ? parsed : session.action();
    terminal.out.flush();
    session.CheckOutput();
    return code;
  } catch (const CommandError& e) {
    std::string text = e.what();
    if (!text.empty() && text.back() == '\n') text.pop_back();
    terminal.err << "coffer: " << text << "\n";
    if (e.exit_code == kExitUnavailable) ExplainTls(session, terminal.err);
    return e.exit_code;
  } catch (const std::exception& e) {
    terminal.err << "coffer: " << e.what() << "\n";
    return kExitFailure;
  }
}

}  // namespace coffer::command
