// A node's data folder: whose it is, which process has it, and what happens when it can't be trusted.
//
//   lock          held by the process that runs on the folder
//   format        "coffer data folder 1"
//   identity      node id, cluster id, name, whether there is a store
//   agreement-a/b votes, starts, what was seen of other members (node/agreement_file.h)
//   store/        chunks and chains (node/leveldb_store.h)
//   members       members ever seen; best effort
//   quarantine    writes that were cut off (node/quarantine.h)
//   failed        why the identity must be retired at the next start; usually absent
//   retired-ids   identities that were retired, and why
//   retired-N/    what they left
//
// An identity that may have forgotten something it promised never acts again (rule R8): it is retired, and the node
// goes on under a new one, as a learner. An empty disk needs no rule: it has no identity, so it gets a new one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"
#include "node/agreement_file.h"
#include "proto/mutex.h"

namespace coffer::node {

class DiskFaults;

// What the identity file says.
struct Identity {
  NodeId id;
  ClusterId cluster;       // zeros: no cluster yet
  std::string name;        // as last configured
  bool has_store = false;  // a store was made: its absence is damage
  bool operator==(const Identity&) const = default;
};
std::string EncodeIdentity(const Identity& identity);
std::optional<Identity> DecodeIdentity(std::string_view bytes);

struct DataFolderOptions {
  std::string path;                 // made if absent; its parent must exist
  std::string name;                 // the node's; written when it changed
  std::function<NodeId()> make_id;  // empty: random from the kernel
  // A retired store is kept for inspection if this much and its own size again are free beside it, deleted otherwise.
  std::uint64_t keep_free_bytes = 2ull << 30;
  DiskFaults* faults = nullptr;  // tests
};

// The bytes of the file of members seen, and back. Nothing when they do not verify, or are none.
std::string EncodePeers(const std::vector<wire::MemberFacts>& peers);
std::optional<std::vector<wire::MemberFacts>> DecodePeers(std::string_view bytes);

// Not moveable. Calls are for one thread, except MarkFailed, WritePeers and agreement().Save().
class DataFolder {
 public:
  enum class Error {
    kNone,
    kInUse,    // another process runs on it
    kNotOurs,  // a folder with other things in it
    kNoFolder,  // a path where none can be
    kNewer,    // of a newer version
    kPermission,
    kReadOnly,
    kNoSpace,
    kDisk,  // any other error of the disk
  };
  struct Opened {
    std::unique_ptr<DataFolder> folder;  // null on error
    Error error = Error::kNone;
    std::string message;  // for the operator: what happened, what is safe, what to do
  };
  // Locks the folder, retires an identity that can't be trusted, and makes the new start (boot counter and nonce) durable
  // before anything else can happen under it.
  static Opened Open(DataFolderOptions options);
  // Why a node may not begin in this folder, which is made if it is absent: it holds what is not ours, or can't be made. Empty: it may.
  static std::string WhyNotOurs(const std::string& path);
  ~DataFolder();
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

  const Identity& identity() const { return identity_; }
  const NodeId& id() const { return identity_.id; }
  Boot boot() const { return recovered_.boot(); }
  // What the agreement file held, with the start that is running.
  const NodeDurable& recovered() const { return recovered_; }
  AgreementFile& agreement() { return *agreement_; }
  std::string store_path() const { return options_.path + "/store"; }
  std::string quarantine_path() const { return options_.path + "/quarantine"; }
  std::string scrub_path() const { return options_.path + "/scrub"; }
  // What an operator should read: identities retired, files repaired. Since Open or Retire.
  const std::vector<std::string>& notices() const { return notices_; }

  // Notes, durably, that the node belongs to a cluster; that it has a store. False, with the reason in `error`, when
  // that failed: the process must stop.
  bool SetCluster(const ClusterId& cluster, std::string* error);
  bool NoteStore(std::string* error);

  // The members seen, as last written; empty when there are none or the file is bad. Best effort both ways.
  std::vector<wire::MemberFacts> ReadPeers() const;
  bool WritePeers(const std::vector<wire::MemberFacts>& peers);

  // After a failed write or sync, or when peers know that the folder is an old copy: this identity is to be retired at the
  // next start. Best effort, for any thread.
  void MarkFailed(const std::string& reason);

  // Retires the identity now: store, votes and identity are moved aside, the id is recorded, a new one is made (boot 1,
  // same cluster). The store must be closed. On error the folder is unusable; the next Open completes what was begun.
  Opened Retire(const std::string& reason) &&;

 private:
  struct Problem {
    Error error = Error::kNone;
    std::string message;
    bool ok() const { return error == Error::kNone; }
  };
  explicit DataFolder(DataFolderOptions options) : options_(std::move(options)) {}
  std::string File(const char* name) const { return options_.path + "/" + name; }
  Problem CheckOurs();
  Problem Lock();
  Problem CheckFormat();
  Problem LoadIdentity();
  Problem RetireNow(const std::string& reason);
  Problem MoveAside(const std::string& reason);
  Problem MakeIdentity();
  Problem RaiseBoot();
  Problem WriteIdentity();
  Problem Explain(const std::string& what, int error) const;
  void DropOldStores(std::uint64_t newest);

  const DataFolderOptions options_;
  int lock_ = -1;
  Identity identity_;
  std::unique_ptr<AgreementFile> agreement_;
  NodeDurable recovered_;
  std::vector<std::string> notices_;
  Mutex peers_mutex_;
};

}  // namespace coffer::node
