// One line per event, to stderr: logfmt or JSON, UTC.
#pragma once

#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

#include "node/cofferd/config.h"

namespace coffer::server {

struct LogField {
  std::string_view key;  // [a-z_]+
  std::string value;
};

// Thread-safe. There is no way to log a Secret: it does not turn into a string.
class Log {
 public:
  // Lines go to `out`, or to stderr when it is null; `out` must outlive the log.
  Log(LogLevel least, LogFormat format, std::ostream* out = nullptr);
  ~Log();

  void Write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
  void Debug(std::string_view message, std::initializer_list<LogField> fields = {}) { Write(LogLevel::kDebug, message, fields); }
  void Info(std::string_view message, std::initializer_list<LogField> fields = {}) { Write(LogLevel::kInfo, message, fields); }
  void Warning(std::string_view message, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kWarning, message, fields);
  }
  void Error(std::string_view message, std::initializer_list<LogField> fields = {}) { Write(LogLevel::kError, message, fields); }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What follows the time and level of a line.
std::string FormatLogfmt(std::string_view message, std::initializer_list<LogField> fields);
std::string FormatJson(std::string_view message, std::initializer_list<LogField> fields);

}  // namespace coffer::server
