// coffer cache: the chunk cache of one router.
#include <CLI/CLI.hpp>
#include <ostream>
#include <string>

#include "client/command/cluster_calls.h"
#include "client/command/format.h"
#include "client/command/json.h"
#include "client/command/registry.h"
#include "client/messages.h"

namespace coffer::command {
namespace {

constexpr std::pair<const char*, v1::CachePolicy> kPolicies[] = {{"adaptive", v1::CACHE_POLICY_ADAPTIVE},
                                                                 {"s3-fifo", v1::CACHE_POLICY_S3_FIFO},
                                                                 {"lru", v1::CACHE_POLICY_LRU},
                                                                 {"w-tinylfu", v1::CACHE_POLICY_W_TINYLFU}};

std::string PolicyText(v1::CachePolicy policy) {
  for (const auto& [name, value] : kPolicies) {
    if (value == policy) return name;
  }
  return "unknown";
}

std::string Ratio(std::uint64_t hits, std::uint64_t misses) {
  if (hits + misses == 0) return "-";
  return std::to_string(hits * 100 / (hits + misses)) + "%";
}

v1::ControlCacheResponse Ask(Session& session, const v1::ControlCacheRequest& request) {
  return Need(client::CallAndWait<v1::ControlCacheResponse>(session.client(), "coffer.v1.Cluster/ControlCache", request,
                                                            client::Effect::kRepeatSafe),
              "can't reach the router's cache");
}

std::string DiskText(const v1::DiskCache& disk) {
  std::string text = "disk      ";
  if (!disk.off_because().empty()) return text + "off until the router's next start: " + disk.off_because() + "\n";
  text += BytesText(static_cast<double>(disk.bytes())) + " of " + BytesText(static_cast<double>(disk.bound_bytes())) + " in " +
          disk.path() + ", " + Grouped(disk.chunks()) + " chunks\n          " + Ratio(disk.hits(), disk.misses()) + " of " +
          Grouped(disk.hits() + disk.misses()) + " looked for; " + Grouped(disk.writes()) + " written, " +
          Grouped(disk.evictions()) + " put out to make room; " + BytesText(static_cast<double>(disk.index_bytes())) +
          " of memory beside\n";
  if (disk.bad_records() > 0) text += "          " + Grouped(disk.bad_records()) + " bad records: look at the disk\n";
  return text;
}

int Show(Session& session) {
  const auto r = Ask(session, {});
  if (session.json()) {
    session.out() << Json(r) << "\n";
    return kExitOk;
  }
  if (r.bound_bytes() == 0) {
    session.out() << r.router() << " has no cache (cache_bytes is 0)\n";
    return kExitOk;
  }
  session.out() << "router    " << r.router() << "\n"
                << "policy    " << PolicyText(r.policy());
  if (r.deciding() != r.policy()) session.out() << ", " << PolicyText(r.deciding()) << " decides now";
  session.out() << "\nmemory    " << BytesText(static_cast<double>(r.bytes())) << " of "
                << BytesText(static_cast<double>(r.bound_bytes())) << ", " << Grouped(r.chunks()) << " chunks\n"
                << "found     " << Ratio(r.hits(), r.misses()) << " of " << Grouped(r.hits() + r.misses())
                << " looked for; " << Grouped(r.evictions()) << " put out to make room\n";
  if (r.has_disk()) session.out() << DiskText(r.disk());
  std::vector<std::string> head = {"ZONE", "FOUND", "NOT FOUND", "RATIO"};
  if (r.has_disk()) head.insert(head.end(), {"ON DISK", "NOT THERE", "RATIO"});
  Table table(head);
  for (const v1::CacheZone& zone : r.zones()) {
    std::vector<std::string> row = {zone.name().empty() ? "(others)" : zone.name(), Grouped(zone.hits()), Grouped(zone.misses()),
                                    Ratio(zone.hits(), zone.misses())};
    if (r.has_disk()) {
      row.insert(row.end(), {Grouped(zone.disk_hits()), Grouped(zone.disk_misses()), Ratio(zone.disk_hits(), zone.disk_misses())});
    }
    table.Add(row);
  }
  if (r.zones_size() > 0) session.out() << table.Text();
  return kExitOk;
}

int Change(Session& session, const v1::ControlCacheRequest& request) {
  const auto r = Ask(session, request);
  if (session.json()) {
    session.out() << Json(r) << "\n";
  } else if (request.clear()) {
    session.out() << "the cache of " << r.router() << " is empty\n";
  } else {
    session.out() << r.router() << " chooses by " << PolicyText(r.policy())
                  << " until it is started again; for good: cache_policy in its configuration\n";
  }
  return kExitOk;
}

}  // namespace

void AddCache(CLI::App& app, Session& session) {
  CLI::App* cmd = app.add_subcommand("cache", "Show, empty or tune the chunk cache of the router that answers");
  cmd->footer(
      "  coffer cache status           how full it is, and how much is found in it, by zone\n"
      "  coffer cache policy lru       adaptive, s3-fifo, lru or w-tinylfu; nothing cached is lost\n"
      "  coffer cache clear            forget every cached chunk");
  cmd->add_subcommand("status", "How full it is, and how much is found in it")->callback([&session] {
    session.action = [&session] { return Show(session); };
  });
  auto policy = std::make_shared<std::string>();
  CLI::App* choose = cmd->add_subcommand("policy", "What it gives up first from now on, until the router's restart");
  choose->add_option("policy", *policy, "adaptive, s3-fifo, lru or w-tinylfu")
      ->required()
      ->check(CLI::IsMember({"adaptive", "s3-fifo", "lru", "w-tinylfu"}));
  choose->callback([&session, policy] {
    session.action = [&session, policy] {
      v1::ControlCacheRequest request;
      for (const auto& [name, value] : kPolicies) {
        if (*policy == name) request.set_policy(value);
      }
      return Change(session, request);
    };
  });
  cmd->add_subcommand("clear", "Forget every cached chunk")->callback([&session] {
    session.action = [&session] {
      v1::ControlCacheRequest request;
      request.set_clear(true);
      return Change(session, request);
    };
  });
}

}  // namespace coffer::command
