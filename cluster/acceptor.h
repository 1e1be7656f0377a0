// The voter of one member: what it promised and accepted for the one instance it takes part in.
//
// Sentences A3 to A9 of docs/protocol.md. A pure machine: it changes its state and says what it answers; that the state is
// durable before the answer leaves is its owner's part (cluster/agreement.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cluster/ids.h"
#include "cluster/layout.h"

namespace coffer::cluster {

// Ordered by (counter, node); never reused over a restart. Counter 0: none.
struct Ballot {
  std::uint64_t counter = 0;
  NodeId node;
  auto operator<=>(const Ballot&) const = default;
};

// What an acceptor and proposer must find again after a restart. Rest of the durable state (proposed adds, boot counter) is
// the node's.
struct AgreementState {
  std::string layout;                 // bytes of the highest layout adopted; empty before the first
  Ballot promised;                    // for the instance that decides the epoch after it; never falls within it
  Ballot accepted_ballot;             // counter 0: nothing accepted; never above `promised`
  std::string accepted_layout;
  std::uint64_t ballot_counter = 0;   // highest counter this node ever used
  bool operator==(const AgreementState&) const = default;
};

// A voter. Single-threaded; owned by Agreement.
class Acceptor {
 public:
  // Throws std::runtime_error, with what to do, if the recovered layout can't be read (written by a newer version).
  explicit Acceptor(AgreementState recovered);

  // An answer to Prepare or Accept.
  struct Answer {
    bool granted = false;  // state() must be durable before the answer leaves
    bool changed = false;  // state() is not what it was; only if granted
    std::string refusal;   // of an illegal layout; empty when a higher promise is the reason
  };
  // Grants a ballot strictly higher than the one promised.
  Answer Prepare(const Ballot& ballot);
  // Accepts a legal successor of the current layout under a ballot not below the one promised. `read`: what the bytes mean, where
  // that is known; null: they are decoded.
  Answer Accept(const Ballot& ballot, std::string_view layout_bytes, std::shared_ptr<const Layout> read = nullptr);
  // What the bytes mean, if they are those accepted last; else null.
  std::shared_ptr<const Layout> AcceptedAs(std::string_view layout_bytes) const;
  // Moves on to the instance after `layout`: promise and accepted value of the instance before are over.
  void Adopt(std::shared_ptr<const Layout> layout, std::string_view layout_bytes);
  // A ballot counter never used before and higher than `above`.
  std::uint64_t NextCounter(std::uint64_t above);

  const AgreementState& state() const { return state_; }
  // Null before the first.
  const std::shared_ptr<const Layout>& layout() const { return layout_; }
  // 0 before the first layout.
  Epoch epoch() const { return layout_ ? layout_->epoch : Epoch(0); }

 private:
  AgreementState state_;
  std::shared_ptr<const Layout> layout_;    // state_.layout, decoded
  std::shared_ptr<const Layout> accepted_;  // state_.accepted_layout, decoded; null after a restart
};

}  // namespace coffer::cluster
