#include "node/cofferd/log.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace coffer::server {
namespace {

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// A value that can't be mistaken for two, nor begin a line of its own.
std::string Quoted(std::string_view value) {
  if (!value.empty() && value.find_first_of(" =\"\\") == value.npos &&
      value.find_first_of(std::string_view("\n\r\t\0", 4)) == value.npos) {
    return std::string(value);
  }
  std::string quoted = "\"";
  for (char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') quoted += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20) quoted += ' ';
    else quoted += c;
  }
  return quoted + '"';
}

std::string JsonText(std::string_view value) {
  return nlohmann::json(std::string(value)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

struct Log::Impl {
  LogFormat format;
  std::shared_ptr<spdlog::logger> logger;
};

Log::Log(LogLevel least, LogFormat format, std::ostream* out) : impl_(std::make_unique<Impl>()) {
  spdlog::sink_ptr sink;
  if (out) {
    sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(*out, true);
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  }
  impl_->format = format;
  impl_->logger = std::make_shared<spdlog::logger>("coffer", std::move(sink));
  impl_->logger->set_level(LevelOf(least));
  impl_->logger->flush_on(spdlog::level::trace);
  const char* pattern = format == LogFormat::kJson ? "{\"ts\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",%v}"
                                                   : "ts=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v";
  impl_->logger->set_pattern(pattern, spdlog::pattern_time_type::utc);
}

Log::~Log() = default;

void Log::Write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!impl_->logger->should_log(LevelOf(level))) return;
  const std::string line =
      impl_->format == LogFormat::kJson ? FormatJson(message, fields) : FormatLogfmt(message, fields);
  impl_->logger->log(LevelOf(level), spdlog::string_view_t(line.data(), line.size()));
}

std::string FormatLogfmt(std::string_view message, std::initializer_list<LogField> fields) {
  std::string line = "msg=" + Quoted(message);
  for (const LogField& field : fields) line += " " + std::string(field.key) + "=" + Quoted(field.value);
  return line;
}

std::string FormatJson(std::string_view message, std::initializer_list<LogField> fields) {
  std::string line = "\"msg\":" + JsonText(message);
  for (const LogField& field : fields) line += "," + JsonText(field.key) + ":" + JsonText(field.value);
  return line;
}

}  // namespace coffer::server
