// The checks of `coffer doctor` as functions of what was found.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace coffer::v1 {
class Status;
}

namespace coffer::command {

struct Finding {
  enum class Grade { kOk, kWarn, kBad };
  Grade grade = Grade::kOk;
  std::string check;  // what was looked at
  std::string found;
  std::string next;  // what to do; empty when all is well
};

// A router's clock against ours: it was read some time between `began` and `ended`, all in milliseconds since 1970.
Finding CheckClock(const std::string& router, std::int64_t router_ms, std::int64_t began_ms, std::int64_t ended_ms);
// Readable, a key nobody else can read, not expired, certificate and key fit each other. Nothing is named: no finding.
void CheckTlsFiles(const std::string& certificate, const std::string& key, const std::string& ca,
                   std::chrono::system_clock::time_point now, std::vector<Finding>& out);
// Verdict, members, versions, epochs, votes, disks, copies, resync, bad blocks, invariants.
void CheckStatus(const v1::Status& status, std::vector<Finding>& out);

}  // namespace coffer::command
