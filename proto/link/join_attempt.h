// What a joiner draws before it shows a join token for the first time: by it the cluster knows that the same joiner asks again, because
// the answer was lost on its way. Kept in a file until the secret is here; whoever else holds the token does not know it.
#pragma once

#include <string>

namespace coffer::link {

// The bytes of the file, which is made, durably and for its owner only, if there is none. Throws std::runtime_error, which names the
// file and says what to do.
std::string JoinAttempt(const std::string& path);

// The secret is here: the file is of no use any more.
void ForgetJoinAttempt(const std::string& path);

// As the cluster notes it: nobody can tell the bytes by it.
std::string NotedAttempt(const std::string& attempt);

}  // namespace coffer::link
