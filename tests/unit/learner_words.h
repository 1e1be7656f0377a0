// What a learner alone is configured with, and told by its primary, where the test speaks for everybody else.
#pragma once

#include <string>

#include "node/core/learner.h"

namespace coffer::node {

inline NodeCoreConfig LearnerConfig() {
  NodeCoreConfig config;
  config.boot = Boot(1);
  config.self.set_id(std::string(16, 'L'));
  config.resync_bytes_per_second = 0;
  return config;
}

// It is chosen, and may ask for the history; term and boot are 1.
inline wire::LearnerRole ChosenRole(PartitionId partition, std::uint64_t choice = 1) {
  wire::LearnerRole role;
  role.set_partition(partition);
  role.set_term(1);
  role.set_boot(1);
  role.set_choice(choice);
  role.set_chosen(true);
  role.set_history(true);
  return role;
}

}  // namespace coffer::node
