#include "cluster/acceptor.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cluster/planted_bug.h"
#include "cluster/rule_mark.h"

namespace coffer::cluster {
namespace {

// A recovered state that can't be acted upon: voting on would risk a second layout for an epoch.
[[noreturn]] void Unreadable(const std::string& what) {
  throw std::runtime_error("the stored layout can't be used: " + what +
                           "; start the version of the program that wrote it, or move the data folder away and let the "
                           "node join anew, under a new identity");
}

}  // namespace

Acceptor::Acceptor(AgreementState recovered) : state_(std::move(recovered)) {
  if (state_.accepted_ballot > state_.promised) Unreadable("a ballot was accepted above the one promised");
  if (Planted(Bug::kAcceptorForgets)) {
    state_.promised = state_.accepted_ballot = {};
    state_.accepted_layout.clear();
  }
  if (Planted(Bug::kBallotReused)) state_.ballot_counter = 0;
  if (state_.layout.empty()) return;
  std::string error;
  layout_ = ReadLayout(state_.layout, &error);
  if (!layout_) Unreadable(error);
}

Acceptor::Answer Acceptor::Prepare(const Ballot& ballot) {
  if (ballot <= state_.promised) {
    RULE("A5 refused");
    return {};
  }
  state_.promised = ballot;
  return {.granted = true, .changed = true};
}

Acceptor::Answer Acceptor::Accept(const Ballot& ballot, std::string_view layout_bytes, std::shared_ptr<const Layout> read) {
  if (ballot < state_.promised) {
    RULE("A6 refused");
    return {};
  }
  if (ballot == state_.accepted_ballot && layout_bytes == state_.accepted_layout) return {.granted = true};
  std::string error;
  if (!read) read = ReadLayout(layout_bytes, &error);
  if (!read) return {.refusal = error};
  if (auto why = WhyIllegal(*layout_, *read)) return {.refusal = std::move(*why)};
  state_.promised = ballot;
  state_.accepted_ballot = ballot;
  state_.accepted_layout = layout_bytes;
  accepted_ = std::move(read);
  return {.granted = true, .changed = true};
}

std::shared_ptr<const Layout> Acceptor::AcceptedAs(std::string_view layout_bytes) const {
  return accepted_ && layout_bytes == state_.accepted_layout ? accepted_ : nullptr;
}

void Acceptor::Adopt(std::shared_ptr<const Layout> layout, std::string_view layout_bytes) {
  layout_ = std::move(layout);
  state_.layout = layout_bytes;
  state_.promised = {};
  state_.accepted_ballot = {};
  state_.accepted_layout.clear();
  accepted_ = nullptr;
}

std::uint64_t Acceptor::NextCounter(std::uint64_t above) {
  const std::uint64_t promised = Planted(Bug::kBallotReused) ? 0 : state_.promised.counter;
  state_.ballot_counter = std::max({state_.ballot_counter, promised, above}) + 1;
  return state_.ballot_counter;
}

}  // namespace coffer::cluster
