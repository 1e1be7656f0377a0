// The cluster's secret: who knows it may link. Kept in a type that can't be printed and wipes itself.
#pragma once

#include <string>

namespace coffer::server {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string bytes) : bytes_(std::move(bytes)) {}
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // For handing it to what proves or checks it; never for a log.
  const std::string& Reveal() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }

 private:
  std::string bytes_;
};

// White space around it is cut off. Throws std::runtime_error, which never quotes the content: not readable, or too short.
Secret ReadSecret(const std::string& path);
// 256 random bits in hexadecimal. Throws std::runtime_error.
Secret NewSecret();
// Into a new file of mode 0600, durably; never over an existing one. Throws std::runtime_error.
void WriteSecret(const Secret& secret, const std::string& path);
// Whether others than the owner may read the file.
bool SecretIsExposed(const std::string& path);

}  // namespace coffer::server
