// The `coffer` command.
#include <absl/synchronization/mutex.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "client/command/command.h"
#include "proto/allocator.h"

int main(int argc, char** argv) {
  coffer::TuneAllocator();
  // gRPC's own lines on stderr are for its developers; whoever wants them sets the variable.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  // Debian's Abseil looks for deadlocks at every lock gRPC takes, under one lock for all threads.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  coffer::command::Terminal terminal{std::cin, std::cout, std::cerr};
  terminal.in_is_tty = isatty(STDIN_FILENO) != 0;
  terminal.out_is_tty = isatty(STDOUT_FILENO) != 0;
  terminal.err_is_tty = isatty(STDERR_FILENO) != 0;
  winsize size{};
  if (terminal.out_is_tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.width = size.ws_col;
    terminal.height = size.ws_row;
  }
  terminal.env = [](const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return std::string(value != nullptr ? value : "");
  };
  return coffer::command::Run(std::vector<std::string>(argv + 1, argv + argc), terminal);
}
