// The cluster's secret in the hands of an operator, for the commands that speak to a member's peer port.
#pragma once

#include <string>

#include "proto/link/keyring.h"

namespace coffer::command {

// The secrets of a file, as cofferd reads them. CommandError that never quotes them.
link::Keyring ReadKeyring(const std::string& path);

}  // namespace coffer::command
