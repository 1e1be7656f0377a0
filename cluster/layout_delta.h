// What of a layout travels to one who has an earlier one: all but the partitions that are as they were.
//
// A change of a setting, or of one partition, would otherwise carry the table of all partitions (some 90 KB with 5 040) to every
// member. A layout's bytes are what is agreed; a digest makes sure that they come out the same.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/message.h"

namespace coffer::cluster {

// The partitions that are not the same in both; those that only one of them has are not looked at.
std::vector<PartitionId> ChangedPartitions(const Layout& before, const Layout& after);

// The way to `next`, whose bytes are `bytes`, from a layout of `base_epoch` that differs from it in these partitions at most. Nothing
// when it is not shorter than the bytes, or `next` lacks one of them.
std::optional<wire::LayoutDelta> MakeLayoutDelta(Epoch base_epoch, const std::vector<PartitionId>& changed, const Layout& next,
                                                 std::string_view bytes);

// A layout and its bytes.
struct EncodedLayout {
  Layout layout;
  std::string bytes;
};

// The layout to which `delta` leads from `base`. Nothing if it is malformed or starts from another layout.
std::optional<EncodedLayout> ApplyLayoutDelta(const Layout& base, const wire::LayoutDelta& delta);

// The layouts that were the present one not long ago, and the ways from them to the present one. Single-threaded.
class LayoutHistory {
 public:
  static constexpr std::size_t kKept = 4;

  // `before` is no longer the present layout, `after` is.
  void Superseded(const Layout& before, const Layout& after);
  // From the layout of `epoch` to the present one; null when it is not known or the way is too long. Valid until Superseded.
  const wire::LayoutDelta* From(Epoch epoch, const Layout& present, std::string_view bytes);

 private:
  struct Earlier {
    Epoch epoch;
    std::vector<PartitionId> changed;  // since then, ascending
  };
  std::deque<Earlier> earlier_;                               // oldest first
  std::map<Epoch, std::optional<wire::LayoutDelta>> deltas_;  // made when first asked for
};

}  // namespace coffer::cluster
