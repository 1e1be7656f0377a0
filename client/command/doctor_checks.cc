#include "client/command/doctor_checks.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>

#include "client/command/format.h"
#include "client/command/status_screen.h"
#include "coffer/v1/cluster.pb.h"

namespace coffer::command {
namespace {

using Grade = Finding::Grade;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using FilePtr = std::unique_ptr<FILE, int (*)(FILE*)>;

// A clock further off than this confuses people who compare logs; nothing rests on it.
constexpr std::int64_t kClockWarnMs = 2000;
constexpr int kExpiryWarnDays = 30;
constexpr double kDiskWarn = 0.80;
constexpr double kDiskBad = 0.95;

FilePtr Open(const std::string& path) {
  return {std::fopen(path.c_str(), "r"), &std::fclose};
}

X509Ptr CheckCertificate(const std::string& what, const std::string& path, std::time_t now, std::vector<Finding>& out) {
  const FilePtr file = Open(path);
  if (!file) {
    out.push_back({Grade::kBad, what + " " + path, std::strerror(errno), "name a file that can be read"});
    return {nullptr, &X509_free};
  }
  X509Ptr certificate(PEM_read_X509(file.get(), nullptr, nullptr, nullptr), &X509_free);
  if (!certificate) {
    out.push_back({Grade::kBad, what + " " + path, "is no PEM certificate", "make one with: coffer certs"});
    return certificate;
  }
  int days = 0;
  int seconds = 0;
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> at(ASN1_TIME_set(nullptr, now), &ASN1_TIME_free);
  ASN1_TIME_diff(&days, &seconds, at.get(), X509_get0_notAfter(certificate.get()));
  if (days < 0 || seconds < 0) {
    out.push_back({Grade::kBad, what + " " + path, "has expired", "make a new one: coffer certs"});
  } else if (X509_cmp_time(X509_get0_notBefore(certificate.get()), &now) > 0) {
    out.push_back({Grade::kBad, what + " " + path, "is not valid yet", "look at this machine's clock"});
  } else if (days < kExpiryWarnDays) {
    out.push_back({Grade::kWarn, what + " " + path, "expires in " + std::to_string(days) + " days",
                   "make a new one: coffer certs"});
  } else {
    out.push_back({Grade::kOk, what + " " + path, "valid for " + std::to_string(days) + " days", ""});
  }
  return certificate;
}

void CheckKey(const std::string& path, X509* certificate, std::vector<Finding>& out) {
  struct stat st {};
  const FilePtr file = Open(path);
  if (!file || stat(path.c_str(), &st) != 0) {
    out.push_back({Grade::kBad, "key " + path, std::strerror(errno), "name a file that can be read"});
    return;
  }
  if ((st.st_mode & 077) != 0) {
    out.push_back({Grade::kWarn, "key " + path, "others may read it", "chmod 600 " + path});
  }
  const KeyPtr key(PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (!key) {
    out.push_back({Grade::kBad, "key " + path, "is no PEM key without a password", "make one with: coffer certs"});
  } else if (certificate != nullptr && X509_check_private_key(certificate, key.get()) != 1) {
    out.push_back(
        {Grade::kBad, "key " + path, "does not belong to the certificate", "name the key that was made with it"});
  } else {
    out.push_back({Grade::kOk, "key " + path, "fits", ""});
  }
}

void CheckMembers(const v1::Status& s, std::vector<Finding>& out) {
  std::map<std::string, std::string> versions;
  bool all_up = true;
  for (const v1::MemberStatus& m : s.members()) {
    if (m.state() != v1::MEMBER_STATE_DOWN && !m.version().empty()) versions[m.version()] += " " + m.name();
    if (m.state() == v1::MEMBER_STATE_DOWN || m.state() == v1::MEMBER_STATE_SUSPECT) {
      all_up = false;
      const bool router = m.role() == v1::MEMBER_ROLE_ROUTER;
      out.push_back({router ? Grade::kWarn : Grade::kBad, "member " + m.name(), StateWord(m),
                     router ? "start it again" : "start it again, or take it out for good: coffer forget " + m.name()});
    }
    const std::uint64_t wrong = m.scrub().unreadable_partitions() + m.scrub().copies_differing();
    if (wrong > 0) {
      out.push_back({Grade::kBad, "scrub of " + m.name(),
                     Grouped(m.scrub().unreadable_partitions()) + " partitions can't be read to their end, " +
                         Grouped(m.scrub().copies_differing()) + " copies differ",
                     "look at its log; replace a disk that can't be read"});
    }
    if (!m.last_error().empty())
      out.push_back({Grade::kWarn, "member " + m.name(), "last error: " + m.last_error(), "look at its log"});
    if (m.state() != v1::MEMBER_STATE_DOWN && m.epoch() != 0 && m.epoch() != s.epoch()) {
      out.push_back({Grade::kWarn, "layout of " + m.name(),
                     "epoch " + std::to_string(m.epoch()) + ", the cluster's is " + std::to_string(s.epoch()),
                     "wait a few seconds; if it stays so, that member can't reach the others"});
    }
  }
  if (all_up) out.push_back({Grade::kOk, "members", "all " + std::to_string(s.members_size()) + " answer", ""});
  if (versions.size() > 1) {
    std::string found;
    for (const auto& [version, names] : versions) found += (found.empty() ? "" : "; ") + version + ":" + names;
    out.push_back({Grade::kWarn, "versions", "differ: " + found, "finish the upgrade"});
  } else if (!versions.empty()) {
    out.push_back({Grade::kOk, "versions", "all members run " + versions.begin()->first, ""});
  }
}

void CheckVotes(const v1::Status& s, std::vector<Finding>& out) {
  int up = 0;
  for (const v1::MemberStatus& m : s.members()) {
    const bool votes = std::find(s.voters().begin(), s.voters().end(), m.name()) != s.voters().end();
    up += votes && m.state() != v1::MEMBER_STATE_DOWN;
  }
  if (s.voters_size() == 0) return;
  const std::string found = std::to_string(up) + " of " + std::to_string(s.voters_size()) + " voters answer";
  const int majority = s.voters_size() / 2 + 1;
  if (up < majority) {
    out.push_back(
        {Grade::kBad, "votes", found + ": the layout can't change", "bring voters back: coffer explain NO_MAJORITY"});
  } else if (up == majority && s.voters_size() > 1) {
    out.push_back({Grade::kWarn, "votes", found + ": one more loss and the layout can't change",
                   "bring voters back or add nodes"});
  } else {
    out.push_back({Grade::kOk, "votes", found, ""});
  }
}

void CheckDisks(const v1::Status& s, std::vector<Finding>& out) {
  double fullest = 0;
  for (const v1::MemberStatus& m : s.members()) {
    if (m.role() != v1::MEMBER_ROLE_STORAGE || m.state() == v1::MEMBER_STATE_DOWN) continue;
    fullest = std::max(fullest, m.disk_used());
    const std::string percent = std::to_string(static_cast<int>(m.disk_used() * 100 + 0.5)) + "% full";
    if (m.read_only()) {
      const bool failed = m.read_only_reason() == v1::READ_ONLY_REASON_DISK_FAILED;
      out.push_back({Grade::kBad, "disk of " + m.name(), (failed ? "failed" : percent) + "; it refuses writes",
                     failed ? "coffer explain DISK_FAILED" : "coffer explain DISK_FULL"});
    } else if (m.disk_used() >= kDiskBad) {
      out.push_back({Grade::kBad, "disk of " + m.name(), percent, "free or add room now, or add a node"});
    } else if (m.disk_used() >= kDiskWarn) {
      out.push_back({Grade::kWarn, "disk of " + m.name(), percent, "enlarge it or add a node"});
    }
    if (m.disk_slow()) {
      out.push_back({Grade::kWarn, "disk of " + m.name(), "takes long to sync; others lead its partitions", "coffer explain DISK_SLOW"});
    }
    if (m.bad_blocks() > 0) {
      const bool repaired = m.repaired_blocks() >= m.bad_blocks();
      out.push_back(
          {repaired ? Grade::kWarn : Grade::kBad, "disk of " + m.name(),
           std::to_string(m.bad_blocks()) + " bad blocks, " + std::to_string(m.repaired_blocks()) + " repaired",
           "replace the disk if the number grows: coffer drain " + m.name()});
    }
    if (m.lost_blocks() > 0) {
      out.push_back({Grade::kBad, "node " + m.name(), std::to_string(m.lost_blocks()) + " blocks are damaged on every copy; its log names them",
                     "put the same bytes again from a backup, or delete them"});
    }
    if (m.quarantined_writes() > 0) {
      out.push_back({Grade::kWarn, "node " + m.name(),
                     std::to_string(m.quarantined_writes()) + " uncommitted writes were set aside",
                     "nothing acknowledged is among them; its quarantine file can be deleted once looked at"});
    }
  }
  if (fullest < kDiskWarn) {
    out.push_back(
        {Grade::kOk, "disks", "the fullest is at " + std::to_string(static_cast<int>(fullest * 100 + 0.5)) + "%", ""});
  }
}

void CheckCopies(const v1::Status& s, std::vector<Finding>& out) {
  const v1::CopyCounts& c = s.copies();
  const auto storage = std::count_if(s.members().begin(), s.members().end(),
                                     [](const auto& m) { return m.role() == v1::MEMBER_ROLE_STORAGE; });
  if (storage == 1 && c.none() == 0) {
    out.push_back({Grade::kWarn, "copies", "one storage node: every block has one copy",
                   "add a storage node: coffer join --help"});
    return;
  }
  if (c.none() > 0) {
    out.push_back(
        {Grade::kBad, "copies", Grouped(c.none()) + " blocks can't be reached", "bring the nodes back that are down"});
  }
  if (c.one() > 0) {
    const bool moving = s.has_resync() && s.resync().state() == v1::RESYNC_STATE_RUNNING;
    out.push_back({Grade::kWarn, "copies", Grouped(c.one()) + " blocks have one copy",
                   moving ? "nothing: resync is running" : "coffer resync status"});
  }
  if (c.none() == 0 && c.one() == 0) {
    out.push_back(
        {Grade::kOk, "copies",
         s.min_copies() < 2 ? "every block has the one copy that is promised" : "every block has two copies or more",
         ""});
  }
  if (s.min_copies() == 1) {
    out.push_back({Grade::kWarn, "copies", "one copy is enough for an acknowledgement",
                   "with two nodes or more: coffer apply min-copies 2"});
  }
  if (s.has_resync() && s.resync().state() == v1::RESYNC_STATE_BLOCKED) {
    out.push_back({Grade::kBad, "resync", "blocked: " + s.resync().last_error(), "coffer explain RESYNC_BLOCKED"});
  }
  if (s.has_resync() && s.resync().state() == v1::RESYNC_STATE_PAUSED) {
    out.push_back({Grade::kWarn, "resync", "paused by an operator", "coffer resync resume"});
  }
}

}  // namespace

Finding CheckClock(const std::string& router, std::int64_t router_ms, std::int64_t began_ms, std::int64_t ended_ms) {
  std::int64_t off = 0;
  if (router_ms < began_ms) off = began_ms - router_ms;
  if (router_ms > ended_ms) off = router_ms - ended_ms;
  const std::string check = "clock of " + router;
  if (router_ms == 0) return {Grade::kWarn, check, "it did not say its time", ""};
  if (off <= kClockWarnMs) return {Grade::kOk, check, "agrees with ours", ""};
  return {Grade::kWarn, check,
          "is " + std::to_string(off / 1000) + " s " + (router_ms < began_ms ? "behind" : "ahead of") + " ours",
          "run a time service on both; no data depends on it, but logs are hard to compare"};
}

void CheckTlsFiles(const std::string& certificate, const std::string& key, const std::string& ca,
                   std::chrono::system_clock::time_point now, std::vector<Finding>& out) {
  const std::time_t at = std::chrono::system_clock::to_time_t(now);
  if (!ca.empty()) CheckCertificate("authority", ca, at, out);
  X509Ptr ours(nullptr, &X509_free);
  if (!certificate.empty()) ours = CheckCertificate("certificate", certificate, at, out);
  if (!key.empty()) CheckKey(key, ours.get(), out);
}

void CheckStatus(const v1::Status& s, std::vector<Finding>& out) {
  const Grade grade = s.verdict() == v1::VERDICT_HEALTHY    ? Grade::kOk
                      : s.verdict() == v1::VERDICT_DEGRADED ? Grade::kWarn
                                                            : Grade::kBad;
  out.push_back({grade, "verdict", std::string(VerdictWord(s)) + (s.reason().empty() ? "" : ", " + s.reason()),
                 grade == Grade::kOk ? "" : s.next_action()});
  CheckMembers(s, out);
  CheckVotes(s, out);
  CheckDisks(s, out);
  CheckCopies(s, out);
  for (const v1::Invariant& i : s.invariants()) {
    out.push_back({i.holds() ? Grade::kOk : Grade::kBad, "invariant", (i.holds() ? "" : "not true: ") + i.sentence(),
                   i.holds() ? "" : "coffer status"});
  }
}

}  // namespace coffer::command
