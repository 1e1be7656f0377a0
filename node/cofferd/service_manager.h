// What systemd is told (sd_notify(3), by hand: one datagram), and how often it wants to hear that we live.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace coffer::server {

// Silent when there is no service manager. Thread-safe.
class ServiceManager {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  ServiceManager();
  ServiceManager(std::string socket, std::chrono::microseconds watchdog) : socket_(std::move(socket)), watchdog_(watchdog) {}

  void Ready() const { Send("READY=1"); }
  void Stopping() const { Send("STOPPING=1"); }
  void Alive() const { Send("WATCHDOG=1"); }
  // One line for `systemctl status`.
  void Status(std::string_view line) const { Send("STATUS=" + std::string(line)); }
  // Alive must be said at least this often; zero: never.
  std::chrono::microseconds watchdog() const { return watchdog_; }

 private:
  void Send(const std::string& message) const;

  std::string socket_;  // a path, or @ and an abstract name; empty: none
  std::chrono::microseconds watchdog_{0};
};

}  // namespace coffer::server
