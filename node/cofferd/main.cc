// The server program: settings, signals, the service manager, and one Server.
#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <future>
#include <iostream>

#include "node/cofferd/config.h"
#include "node/cofferd/log.h"
#include "node/cofferd/process_limits.h"
#include "node/cofferd/quiet_watch.h"
#include "node/cofferd/server.h"
#include "node/cofferd/service_manager.h"
#include "node/cofferd/tls_notice.h"
#include "proto/allocator.h"
#include "proto/link/refusal_notices.h"
#include "proto/mutex.h"

namespace coffer::server {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr std::chrono::milliseconds kQuietInterval{2000};  // how often we look whether there is memory to give back

// What ends the process, from any thread.
class Doom {
 public:
  Doom() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void Say(const std::string& message) {
    MutexLock lock(mutex_);
    if (message_.empty()) message_ = message;
    const std::uint64_t one = 1;
    (void)!write(event_, &one, sizeof one);
  }
  int event() const { return event_; }
  std::string message() const {
    MutexLock lock(mutex_);
    return message_;
  }

 private:
  const int event_;
  mutable Mutex mutex_;
  std::string message_ ABSL_GUARDED_BY(mutex_);
};

// SIGTERM, SIGINT and SIGHUP as a descriptor. Before any thread is started, so that none of them takes the signals.
int TakeSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

enum class Wake { kTimer, kReload, kStop, kDoom };

// What the signals that have come ask for: SIGHUP that the files be read again, the others that the process end.
Wake Asked(int signals) {
  Wake asked = Wake::kTimer;
  signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGHUP) return Wake::kStop;
    asked = Wake::kReload;
  }
  return asked;
}

Wake WaitFor(int signals, const Doom& doom, std::chrono::milliseconds at_most) {
  pollfd polled[] = {{signals, POLLIN, 0}, {doom.event(), POLLIN, 0}};
  poll(polled, 2, static_cast<int>(at_most.count()));
  if (polled[1].revents != 0) return Wake::kDoom;
  return polled[0].revents != 0 ? Asked(signals) : Wake::kTimer;
}

// Fail-stop: nothing may be acknowledged any more, so nothing is finished and nobody is told goodbye.
[[noreturn]] void EndAtOnce(const std::string& message, const ServiceManager& manager, Log* log) {
  manager.Status("failed: " + message);
  log->Error(message);
  std::_Exit(kExitFailure);
}

int RunUntilTold(Server* server, const ServiceManager& manager, const Doom& doom, int signals, Log* log) {
  using std::chrono::milliseconds;
  const auto half = std::chrono::duration_cast<milliseconds>(manager.watchdog()) / 2;
  const milliseconds tick = half.count() > 0 ? std::min(half, kQuietInterval) : kQuietInterval;
  QuietWatch quiet;
  std::chrono::steady_clock::time_point checked{};
  for (Wake wake = Wake::kTimer; wake != Wake::kStop; wake = WaitFor(signals, doom, tick)) {
    if (wake == Wake::kDoom) EndAtOnce(doom.message(), manager, log);
    if (wake == Wake::kReload) server->Reload();
    const auto now = std::chrono::steady_clock::now();
    if (quiet.BecameQuiet(now, ProcessorTime())) ReturnFreeMemory();
    // Not a tick too late: the manager kills whom it does not hear.
    if (half.count() == 0 || now - checked + tick / 2 < half) continue;
    checked = now;
    server->CheckAlive();
    manager.Alive();
  }
  manager.Stopping();
  log->Info("stopping: finishing the calls under way; a second signal ends at once");
  const auto told = std::chrono::steady_clock::now();
  auto stopped = std::async(std::launch::async, [server] { server->Stop(); });
  while (stopped.wait_for(milliseconds(0)) != std::future_status::ready) {
    manager.Alive();
    const Wake wake = WaitFor(signals, doom, milliseconds(50));
    if (wake == Wake::kDoom) EndAtOnce(doom.message(), manager, log);
    // Whoever stops a whole group of processes tells us twice in one breath.
    const bool again = wake == Wake::kStop && std::chrono::steady_clock::now() - told > std::chrono::seconds(1);
    if (again) EndAtOnce("a second signal: ended at once", manager, log);
  }
  stopped.get();
  log->Info("stopped");
  return 0;
}

Log* grpc_log = nullptr;
bool probes_tls_port = false;  // the public port speaks TLS, and is probed

// Whether this notice is due: gRPC does not tell who called.
bool TlsNoticeDue(std::string_view notice) {
  static Mutex mutex;
  static link::RefusalNotices notices;
  if (notice.empty()) return false;
  MutexLock lock(mutex);
  return notices.Tell("", std::string(notice), std::chrono::steady_clock::now());
}

// gRPC's own lines, in our form. Of a port in use we speak ourselves, and shorter, and gRPC complains of the queue that is left without
// the server which did not come to be; of a handshake that fails, in our own words.
void LogForGrpc(gpr_log_func_args* line) {
  const std::string_view file = line->file;
  const auto of = [file](std::string_view name) { return file.size() >= name.size() && file.substr(file.size() - name.size()) == name; };
  const bool noise = of("chttp2_server.cc") || of("completion_queue_cc.cc") || of("ssl_transport_security.cc");
  const LogLevel level = line->severity == GPR_LOG_SEVERITY_ERROR && !noise ? LogLevel::kWarning : LogLevel::kDebug;
  grpc_log->Write(level, line->message, {{"part", "grpc"}});
  const std::string_view notice = of("ssl_transport_security.cc") ? TlsNotice(line->message, probes_tls_port) : std::string_view();
  if (TlsNoticeDue(notice)) grpc_log->Warning(notice);
}

int Run(const LoadedConfig& loaded) {
  HardenProcess();
  TuneAllocator();
  // Debian's Abseil looks for deadlocks at every lock gRPC takes, under one lock for all threads.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const int signals = TakeSignals();
  Log log(loaded.config.log_level, loaded.config.log_format);
  grpc_log = &log;
  probes_tls_port = loaded.config.public_tls.enabled();
  gpr_set_log_function(LogForGrpc);
  const ServiceManager manager;
  Doom doom;
  log.Info("cofferd starts", {{"version", Version()}, {"name", loaded.config.name},
                              {"descriptors", std::to_string(RaiseDescriptorLimit())}});
  for (const std::string& notice : loaded.notices) log.Warning(notice);
  Server server(loaded.config, &log, [&doom](const std::string& message) { doom.Say(message); });
  try {
    server.Start();
  } catch (const std::exception& error) {
    EndAtOnce(error.what(), manager, &log);
  }
  manager.Ready();
  manager.Status("serving");
  return RunUntilTold(&server, manager, doom, signals, &log);
}

}  // namespace

int Main(int argc, char** argv) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const LoadedConfig loaded = LoadConfig({argv + 1, argv + argc}, ProcessEnvironment(), host);
  for (const std::string& error : loaded.errors) std::cerr << "cofferd: " << error << "\n";
  if (!loaded.ok()) return kExitUsage;
  switch (loaded.action) {
    case Action::kHelp:
      std::cout << HelpText();
      return 0;
    case Action::kVersion:
      std::cout << "cofferd " << Version() << "\n";
      return 0;
    case Action::kPrintConfig:
      std::cout << PrintConfig(loaded);
      return 0;
    case Action::kRun:
      break;
  }
  return Run(loaded);
}

}  // namespace coffer::server

int main(int argc, char** argv) { return coffer::server::Main(argc, argv); }
