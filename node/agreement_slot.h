// What a node must never forget, as bytes: its votes, its starts, the learners it vouches for, and what it has seen of the
// other members' data folders.
//
// A slot carries a checksum over all of it, so that one which was torn does not decode. Neither files nor clocks: node/agreement_file.h
// keeps two of them on the disk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/acceptor.h"
#include "cluster/ids.h"
#include "cluster/layout.h"
#include "cluster/lineage.h"

namespace coffer::node {

// What is found again after a restart.
struct NodeDurable {
  cluster::AgreementState agreement;
  // Proposed adds this node stands by as primary: they count for acknowledgements, activation and confirmations until the
  // partition's term changes (rule R7).
  std::vector<cluster::ProposedAdd> adds;
  // The starts of this node's data folder; the last is that of the process that runs on it.
  cluster::Lineage lineage;
  // What was seen of the other members' data folders (rule R8).
  std::map<NodeId, cluster::FolderMark> remembered;
  // Of the process that runs on the folder; 0 before the first.
  Boot boot() const { return lineage.empty() ? Boot(0) : lineage.back().boot; }
  bool operator==(const NodeDurable&) const = default;
};

// The bytes of one slot, and back. Nothing when they do not verify.
struct AgreementSlot {
  std::uint64_t sequence = 0;  // rises with every save
  NodeId owner;
  NodeDurable state;
};
std::string EncodeAgreementSlot(const AgreementSlot& slot);
// Bytes behind the slot are ignored: the file is longer.
std::optional<AgreementSlot> DecodeAgreementSlot(std::string_view bytes);
// Whether the bytes begin as a slot of a format this version does not know.
bool IsNewerAgreementSlot(std::string_view bytes);
// Of what the two slots hold the newer state; nothing where neither verified.
std::optional<AgreementSlot> NewerSlot(std::optional<AgreementSlot> a, std::optional<AgreementSlot> b);

}  // namespace coffer::node
