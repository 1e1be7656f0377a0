// The way into a cluster with a join token instead of the secret: the token is shown to a member, which has it used up and hands the
// secrets over.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "proto/link/join_token.h"
#include "proto/link/link.h"

namespace coffer::server {

struct JoinByToken {
  std::vector<std::string> addresses;  // peer ports of members, tried in this order
  link::Identity self;                 // name and address are told
  link::TlsFiles tls;
  std::chrono::milliseconds patience{30'000};      // for members that do not answer yet
  std::function<void(const std::string&)> waits;   // told once why nothing came of it yet
};

// The cluster's secrets and who gave them. Throws std::runtime_error that says what happened and whether the token can still be used.
link::GrantResult UseJoinToken(const link::JoinToken& token, const JoinByToken& how);

}  // namespace coffer::server
