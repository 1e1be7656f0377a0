// A join token: what an operator hands to a node that is to join, instead of the cluster's secret.
//
// It has three parts. `random` is the token itself; the cluster keeps only its hash. `key` is made of the cluster's secret and the
// hash, so that every member can tell by it that it speaks to the holder of a token of this cluster, and the holder that it speaks to
// a member: neither `random` nor the secret is sent before that is certain. `cluster` and `authority` pin what is joined.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cluster/ids.h"

namespace coffer::link {

struct JoinToken {
  static constexpr std::size_t kRandomBytes = 32;
  static constexpr std::size_t kKeyBytes = 32;
  static constexpr std::size_t kAuthorityBytes = 32;
  static constexpr std::size_t kAttemptBytes = 16;

  std::string random;
  std::string key;
  ClusterId cluster;
  std::string authority;  // SHA-256 of the certificate (DER) that signs those of all members; empty: a cluster without TLS
  // Who shows it, no part of its text: what the joiner drew once (join_attempt.h), so that it may ask again when the answer was lost.
  // Empty: nobody may.
  std::string attempt;

  JoinToken() = default;
  JoinToken(const JoinToken&) = default;
  JoinToken& operator=(const JoinToken&) = default;
  ~JoinToken();

  // SHA-256 of `random`, and the part of it by which a joiner names its token.
  std::string Hash() const;
  std::string Id() const { return Hash().substr(0, 16); }
};

// A token as it was shown to a member.
struct ShownToken {
  std::string hash;
  std::string attempt;  // of the joiner, as NotedAttempt; empty: it named none
};

// Random bytes from the system's generator and nothing else yet. Throws std::runtime_error.
JoinToken NewJoinToken();
// The key of the token with this id under a secret.
std::string JoinTokenKey(std::string_view secret, std::string_view id);
std::string JoinTokenHash(std::string_view random);

// The text of a token: "coffer-join-1-" and hexadecimal digits.
std::string FormatJoinToken(const JoinToken& token);
// White space around it is cut off. Nothing if it is no token.
std::optional<JoinToken> ParseJoinToken(std::string_view text);

// From a file that holds a token and nothing else. Throws std::runtime_error, which names the file and never quotes it.
JoinToken ReadJoinToken(const std::string& path);

// Why the token is not for a process with this authority file (empty: no TLS); empty: it is. Throws std::runtime_error when the file
// can't be read.
std::string WhyOtherAuthority(const JoinToken& token, const std::string& ca_file);

// SHA-256 of the first certificate (DER) of a PEM file. Throws std::runtime_error, which names the file.
std::string AuthorityFingerprint(const std::string& ca_file);

}  // namespace coffer::link
