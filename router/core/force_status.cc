// What `layout force` did and could not find, as the layout keeps it.
#include <algorithm>
#include <set>
#include <string>

#include "router/core/status.h"
#include "router/core/status_parts.h"

namespace coffer::router {

std::optional<v1::ForceStatus> BuildForce(const StatusInputs& inputs) {
  const auto& layout = *inputs.layout;
  if (layout.forced_epoch == Epoch{}) return std::nullopt;
  v1::ForceStatus force;
  force.set_epoch(layout.forced_epoch.value);
  for (const auto& gone : layout.retired) force.add_given_up(gone.name);
  std::set<std::string> silent;
  for (PartitionId p = 0; p < layout.partition_count(); ++p) {
    const cluster::Group& group = layout.group(p);
    if (!group.survivors.empty()) {
      force.set_merging(force.merging() + 1);
      for (const auto m : group.survivors) {
        if (!IsUp(inputs, layout.members[m].id)) silent.insert(layout.members[m].name);
      }
      continue;
    }
    if (!group.loss) continue;
    const bool lacks = group.loss->from != Seq{};
    force.set_merged(force.merged() + 1);
    force.set_empty(force.empty() + (group.loss->nothing ? 1 : 0));
    force.set_lacking(force.lacking() + (lacks ? 1 : 0));
    force.set_set_aside(force.set_aside() + group.loss->set_aside);
    auto* loss = force.add_losses();
    loss->set_partition(p);
    loss->set_epoch(group.loss->epoch.value);
    loss->set_nothing(group.loss->nothing);
    loss->set_missing_from(group.loss->from.value);
    loss->set_missing_to(group.loss->to.value);
    loss->set_last_write(group.loss->last.value);
    loss->set_set_aside(group.loss->set_aside);
  }
  for (const auto& name : silent) force.add_waits_for(name);
  return force;
}

}  // namespace coffer::router
