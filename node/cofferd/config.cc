#include "node/cofferd/config.h"

#include <unistd.h>

#include <sstream>

#include "node/cofferd/config_keys.h"
#include "node/cofferd/config_sources.h"
#include "node/cofferd/config_values.h"

extern char** environ;

namespace coffer::server {
namespace {

// Later sources are stronger.
void Apply(const RawValues& values, LoadedConfig* loaded) {
  for (const ConfigKey& key : ConfigKeys()) {
    const auto found = values.find(key.name);
    if (found == values.end()) continue;
    const auto& [value, origin] = found->second;
    if (key.set(value, &loaded->config)) {
      loaded->origins[key.name] = origin;
    } else {
      loaded->errors.push_back(std::string(key.name) + " = \"" + value + "\" (from " + origin + ") is not allowed: it must be " +
                               key.allowed);
    }
  }
}

std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }
std::string PortOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }

bool IsWildcard(const std::string& address) {
  const std::string host = HostOf(address);
  return host == "0.0.0.0" || host == "[::]" || host == "*";
}

// Defaults that depend on other keys.
void Complete(const std::string& host_name, LoadedConfig* loaded) {
  Config& c = loaded->config;
  const auto given = [&](const char* key) { return loaded->origins.count(key) > 0; };
  if (!given("name")) c.name = IsName(host_name) ? host_name : "node-1";
  if (!given("form")) c.form = c.join.empty();
  // A process that nobody was told of is reached by nobody but its own machine.
  const bool has_company = !c.join.empty() || given("secret_file") || given("advertise");
  if (!given("listen")) c.listen = has_company ? "0.0.0.0:7701" : "127.0.0.1:7701";
  // A router dials the members; it needs no port of its own.
  if (!c.StoresOrVotes() && !given("listen") && !given("advertise")) c.listen.clear();
  if (c.listen.empty()) return;
  if (!given("advertise")) c.advertise = IsWildcard(c.listen) ? c.name + ":" + PortOf(c.listen) : c.listen;
}

void CheckTls(const char* prefix, const link::TlsFiles& files, bool authority_needed, LoadedConfig* loaded) {
  const bool any = !files.certificate.empty() || !files.key.empty() || !files.ca.empty();
  const bool all = !files.certificate.empty() && !files.key.empty() && !(authority_needed && files.ca.empty());
  if (!any || all) return;
  loaded->errors.push_back(std::string(prefix) + "cert" + (authority_needed ? ", " : " and ") + prefix + "key" +
                           (authority_needed ? std::string(" and ") + prefix + "ca" : "") +
                           " go together: some of them are not given");
}

// Rules between keys.
void Check(LoadedConfig* loaded) {
  const Config& c = loaded->config;
  const auto fail = [&](std::string what) { loaded->errors.push_back(std::move(what)); };
  CheckTls("tls_", c.tls, true, loaded);
  CheckTls("public_tls_", c.public_tls, false, loaded);
  if (c.public_tls_required && c.public_tls.ca.empty()) fail("public_tls_required needs public_tls_ca");
  if (!c.StoresOrVotes() && c.join.empty()) {
    fail("role = \"router\" needs join: the address of at least one node, such as --join node-1:7701");
  }
  if (!c.StoresOrVotes() && c.secret_file.empty()) {
    fail("role = \"router\" needs secret_file: a copy of the secret of a node (DATA/secret there), or where to keep "
         "what join_token_file fetches");
  }
  if (!c.join_token_file.empty() && c.join.empty()) {
    fail("join_token_file needs join: the address of at least one node, such as --join node-1:7701");
  }
  if (c.witness && (c.join.empty() || c.form)) {
    fail("role = \"witness\" joins a cluster and never forms one: it needs join, and form = false");
  }
  if (c.router && c.public_listen.empty()) fail("a router needs public_listen: \"none\" is for role = \"node\"");
  if (!c.cache_disk_path.empty() && c.cache_bytes == 0) fail("cache_disk_path takes what leaves memory: it needs cache_bytes above 0");
  if (c.probe_timeout > c.probe_interval) fail("probe_timeout must be at most probe_interval");
  if (c.suspicion_min > c.suspicion_max) fail("suspicion_min must be at most suspicion_max");
}

}  // namespace

LoadedConfig LoadConfig(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment,
                        const std::string& host_name) {
  LoadedConfig loaded;
  Flags flags = ReadFlags(arguments, &loaded.errors);
  loaded.action = flags.action;
  if (loaded.action == Action::kHelp || loaded.action == Action::kVersion) return loaded;
  const auto file_variable = environment.find("COFFER_CONFIG");
  if (flags.config_file.empty() && file_variable != environment.end()) flags.config_file = file_variable->second;
  if (!flags.config_file.empty()) Apply(ReadConfigFile(flags.config_file, &loaded.errors), &loaded);
  Apply(ReadEnvironment(environment, &loaded.errors, &loaded.notices), &loaded);
  Apply(flags.values, &loaded);
  Complete(host_name, &loaded);
  if (loaded.ok()) Check(&loaded);
  return loaded;
}

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return variables;
}

std::string PrintConfig(const LoadedConfig& loaded) {
  std::ostringstream out;
  for (const ConfigKey& key : ConfigKeys()) {
    const auto origin = loaded.origins.find(key.name);
    std::string value = key.get(loaded.config);
    for (std::size_t at = 0; (at = value.find_first_of("\\\"", at)) != std::string::npos; at += 2) value.insert(at, "\\");
    // An empty value is no value to most keys, so it stays a comment.
    out << (value.empty() ? "# " : "") << key.name << " = \"" << value << "\"  # "
        << (origin == loaded.origins.end() ? "default" : origin->second) << "\n";
  }
  return out.str();
}

std::string HelpText() {
  std::ostringstream out;
  out << "cofferd: a storage node, a router, or both, of a Coffer cluster.\n\n"
         "Examples\n"
         "  cofferd                                      one node and router; data in ./coffer-data, API on 127.0.0.1:7700\n"
         "  cofferd --data /var/lib/coffer --listen 0.0.0.0:7701 --advertise node-1:7701\n"
         "                                               the first node of a cluster; its secret is in /var/lib/coffer/secret\n"
         "  cofferd --data /var/lib/coffer --join node-1:7701 --secret-file /etc/coffer/secret\n"
         "                                               one more node\n"
         "  cofferd --data /var/lib/coffer --join node-1:7701 --join-token-file token\n"
         "                                               the same with a join token (coffer join-token create) instead of the secret\n"
         "  cofferd --role router --join node-1:7701,node-2:7701 --secret-file /etc/coffer/secret --public-listen 0.0.0.0:7700\n"
         "                                               a router without storage\n"
         "  cofferd --config /etc/coffer/cofferd.toml    settings from a file\n"
         "  cofferd --print-config                       what would be used, where it came from; starts nothing\n\n"
         "Every setting is a flag (--public-listen), a variable (COFFER_PUBLIC_LISTEN) and a key of the file (public_listen).\n"
         "A flag is stronger than a variable, a variable than the file, the file than the default.\n"
         "Sizes: 4MiB, 1GB. Durations: 200ms, 10s, 5m.\n";
  const Config defaults;
  std::string group;
  for (const ConfigKey& key : ConfigKeys()) {
    if (group != key.group) out << "\n" << (group = key.group) << "\n";
    const std::string fallback = key.get(defaults);
    out << "  " << FlagOf(key) << "\n      " << key.help << "\n      " << key.allowed;
    if (!fallback.empty()) out << " (default " << fallback << ")";
    out << "\n";
  }
  out << "\nother\n  --config FILE    read settings from a TOML file (also COFFER_CONFIG)\n  --print-config   print the "
         "settings and stop\n  --version        print the version and stop\n  --help           this text\n\n"
         "SIGTERM finishes the calls under way, says goodbye to the cluster and exits 0. A failure exits 1 and says what to do.\n";
  return out.str();
}

}  // namespace coffer::server
