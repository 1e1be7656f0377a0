// What of a layout travels to one who has an earlier one: all but the partitions that are as they were.
//
// A change of a setting, or of one partition, would otherwise carry the table of all partitions (some 90 KB with 5 040) to every
// member. Both ends are bytes, because a layout's bytes are what is agreed; a digest makes sure that they come out the same.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "cluster/ids.h"
#include "cluster/message.h"

namespace coffer::cluster {

// The way from the layout with bytes `base`, of epoch `base_epoch`, to the one with bytes `next`. Nothing when it is not shorter than
// `next`, or when either can't be read.
std::optional<wire::LayoutDelta> MakeLayoutDelta(Epoch base_epoch, std::string_view base, std::string_view next);

// The bytes of the layout to which `delta` leads from `base`. Nothing if it is malformed or starts from another layout.
std::optional<std::string> ApplyLayoutDelta(std::string_view base, const wire::LayoutDelta& delta);

// The layouts that were the present one not long ago, and the ways from them to the present one. Single-threaded.
class LayoutHistory {
 public:
  static constexpr std::size_t kKept = 4;

  // `bytes`, of `epoch`, is no longer the present layout.
  void Superseded(Epoch epoch, std::string bytes);
  // From the layout of `epoch` to the present one; null when it is not known or the way is too long. Valid until Superseded.
  const wire::LayoutDelta* From(Epoch epoch, std::string_view present);

 private:
  struct Earlier {
    Epoch epoch;
    std::string bytes;
  };
  std::deque<Earlier> earlier_;                                  // oldest first
  std::map<Epoch, std::optional<wire::LayoutDelta>> deltas_;     // made when first asked for
};

}  // namespace coffer::cluster
