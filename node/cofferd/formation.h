// Whether a node without a cluster may form one, given what its `join` addresses answered. Pure.
//
// The danger is two clusters where one was meant. So nobody forms while an address answers that belongs to a cluster, or that
// refuses to say; of nodes that see each other without a cluster only the one with the lowest id among those that may form does, and
// the others wait for it. A silent address is waited for until form_timeout.
#pragma once

#include <string>
#include <vector>

#include "proto/link/link.h"

namespace coffer::server {

struct Sighting {
  std::string address;
  link::ProbeResult answer;
};

enum class FormationStep {
  kForm,  // form now
  kJoin,  // somebody has a cluster: the links to it do the rest
  kWait,  // ask again
};

struct FormationVerdict {
  FormationStep step = FormationStep::kWait;
  std::string why;  // a sentence for the log; the same as long as nothing changes
};

// `patience_over`: form_timeout has passed since the first question.
FormationVerdict JudgeFormation(const NodeId& self, const std::vector<Sighting>& sightings, bool patience_over);

}  // namespace coffer::server
