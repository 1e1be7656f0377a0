#include "node/cofferd/metrics_process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

namespace coffer::server {
namespace {

double Seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; }

const double kStart = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

}  // namespace

void WriteProcessMetrics(const std::string& version, MetricsWriter* writer) {
  writer->Gauge("coffer_build_info", "1, with the version of the program.", 1, {{"version", version}});
  writer->Gauge("process_start_time_seconds", "Start, seconds since 1970 UTC.", kStart);
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    writer->Counter("process_cpu_seconds_total", "User and system time.", Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  }
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  if (std::ifstream("/proc/self/statm") >> size >> resident) {
    writer->Gauge("process_resident_memory_bytes", "Resident memory.",
                  static_cast<double>(resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE))));
  }
  std::error_code error;
  std::filesystem::directory_iterator fds("/proc/self/fd", error);
  if (!error) writer->Gauge("process_open_fds", "Open descriptors.", static_cast<double>(std::distance(fds, {})));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    writer->Gauge("process_max_fds", "Descriptors allowed.", static_cast<double>(limit.rlim_cur));
  }
}

}  // namespace coffer::server
