// The Coffer client: asynchronous access to the chunks, chains and zones of a cluster through its routers.
//
//   auto client = coffer::client::Client::Connect({.routers = {"router-1:7700", "router-2:7700"}, .zone = "photos"});
//   auto id = coffer::Sha256({bytes});                                   // ids are 32 bytes, chosen by you
//   auto put = client->Put(BlockId::Must(id.view()), bytes).Get();       // the future form
//   if (!put.ok()) std::cerr << put.status.message;                      // errors are values
//   client->Get(block, {}, [](Result<GetResult> got) { ... });           // the callback form
//
// Many operations at once need no thread each: whatever is queued while a message is being written travels in the next
// one. The client repeats what fails for passing reasons, asks a second router when the first is slow or gone, and
// gives up at the operation's deadline. Every write of Coffer may be repeated without harm, so writes are repeated too;
// when the deadline passes and nobody said what became of an attempt, the result is kOutcomeUnknown: neither success
// nor failure. Calling again with the same arguments is then always safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/future.h"
#include "client/retry.h"
#include "client/status.h"
#include "cluster/ids.h"

namespace coffer::client {

// How a client reaches its cluster.
struct ClientOptions {
  // host:port of one or more routers. The first that works is used; the others take over when it fails or is slow.
  std::vector<std::string> routers = {"127.0.0.1:7700"};
  // The zone of operations that do not name one.
  std::string zone = "default";
  // PEM files; all empty: cleartext. `tls_ca` alone verifies the routers; certificate and key, given together and with
  // it, say who we are.
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_ca;
  // Deadline of operations that do not set their own.
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  // Pace of retries and hedges.
  RetryPolicy retry;
  // Bound of the request bytes under way. An operation beyond it ends at once with kRetryLater (CLIENT_QUEUE_FULL); one
  // larger than the bound is let through when it is alone.
  std::uint64_t max_in_flight_bytes = 64u << 20;
  // Give up when no router could be connected for so long; zero: wait until the deadline.
  std::chrono::milliseconds connect_patience{0};
};

// How one operation differs from the client's options.
struct CallOptions {
  // Deadline from now; nothing: ClientOptions::timeout. Must be positive.
  std::optional<std::chrono::milliseconds> timeout;
  // Empty: ClientOptions::zone.
  std::string zone;
  // Answers of 64 KiB and more are expected: uses the stream for bulky values, so that small operations do not queue
  // behind. (Large requests go there by themselves.)
  bool bulk = false;
  // Any copy may answer from what it holds, without asking the others (reads and heads of chains only). The answer says
  // how old it may be.
  bool local = false;
};

struct PutResult {
  // The same bytes stood under this id before.
  bool already_existed = false;
};

struct GetResult {
  std::string data;
  // Size of the whole chunk, also when a part was asked for.
  std::uint64_t total_size = 0;
};

struct ChunkToPut {
  BlockId id;
  std::string data;
};

// Where a chain ends.
struct Head {
  // Number of entries; the next append goes to this position.
  std::uint64_t length = 0;
  // Hash of the last entry; zeros when the chain is empty.
  Digest hash;
};

struct NewEntry {
  std::string body;
  std::string signature;  // opaque to Coffer, at most 128 bytes, may be empty
};

struct Entry {
  std::uint64_t position = 0;
  std::string body;
  std::string signature;
  Digest predecessor;
  Digest hash;
};

struct AppendResult {
  // The head right after these entries.
  Head head;
  // They stood there before (an earlier attempt of this very append had arrived).
  bool already_existed = false;
};

// Which entries of a chain.
struct Part {
  enum class Kind { kFirst, kLast, kRange };
  Kind kind = Kind::kRange;
  std::uint64_t a = 0;  // the number of entries, or the first position
  std::uint64_t b = 0;  // one past the last position; 0: to the end
  bool backwards = false;

  static Part First(std::uint64_t n) { return {Kind::kFirst, n, 0, false}; }
  static Part Last(std::uint64_t n) { return {Kind::kLast, n, 0, false}; }
  // From `from` up to but without `to`; 0 means to the end.
  static Part Range(std::uint64_t from, std::uint64_t to = 0) { return {Kind::kRange, from, to, false}; }
  // Newest first.
  Part Backwards() const { return {kind, a, b, true}; }
};

struct ReadResult {
  // In the order asked for.
  std::vector<Entry> entries;
  // The head at the moment of reading.
  Head head;
  // With CallOptions::local: the answer may be so old. Zero otherwise.
  std::chrono::milliseconds staleness{0};
};

struct ChainRead {
  BlockId chain;
  Part part;
};

struct ZoneInfo {
  std::string name;
  std::string id;  // 16 bytes
  std::uint64_t created_ms = 0;
  bool deleting = false;
};

struct ZonePage {
  std::vector<ZoneInfo> zones;
  std::string next_page_token;  // empty on the last page
};

// hash(entry) of proto/coffer/v1/chains.proto: what the next entry names as its predecessor. Thread-safe.
Digest EntryHash(const BlockId& chain, std::uint64_t position, const Digest& predecessor, std::string_view signature,
                 std::string_view body);

// A client. Thread-safe. All methods return at once; see Callback for where callbacks run. One is enough for a process: all connections of
// a process share gRPC's one set of sockets, and with a second client, idle as it may be, each answer changes threads on its way.
class Client {
 public:
  // Never blocks and needs no router: the first operation connects. Throws std::runtime_error for options that can't
  // work (no router, a TLS file that can't be read), with a message for people.
  static std::unique_ptr<Client> Connect(ClientOptions options);
  // Ends what is under way (CANCELLED, or outcome unknown) and waits for the callbacks.
  ~Client();

  // ---- Chunks: immutable values, put once.

  // Stores a chunk unless its id is taken. Success: it is on the disks of all copies the cluster promises.
  // ALREADY_EXISTS: other bytes stand under the id. FAILED_PRECONDITION, reason CHUNK_DELETED: the id was deleted and
  // stays so.
  Ticket Put(const BlockId& id, std::string data, const CallOptions& options, Callback<PutResult> done);
  // Stores up to 1 000 chunks, together at most 16 MiB, each with a result of its own. Not atomic.
  Ticket PutMany(std::vector<ChunkToPut> chunks, const CallOptions& options,
                 Callback<std::vector<Result<PutResult>>> done);
  // Reads a chunk, or `length` bytes of it from `offset` (0: all the rest). NOT_FOUND is certain. DATA_LOSS: every copy
  // is damaged. The bytes were verified by the server against what was put; whether they are what you meant, only your
  // own hash or cipher knows.
  Ticket Get(const BlockId& id, const CallOptions& options, Callback<GetResult> done, std::uint64_t offset = 0,
             std::uint64_t length = 0);
  // Reads up to 1 000 chunks; results in the order of the ids.
  Ticket GetMany(const std::vector<BlockId>& ids, const CallOptions& options,
                 Callback<std::vector<Result<std::string>>> done);
  // Whether each of up to 1 000 chunks exists, in the order of the ids.
  Ticket Has(const std::vector<BlockId>& ids, const CallOptions& options, Callback<std::vector<bool>> done);
  // Deletes a chunk for good. NOT_FOUND: there never was one. Deleting again succeeds.
  Ticket Delete(const BlockId& id, const CallOptions& options, Callback<Done> done);

  // ---- Chains: append-only series of entries.

  // Appends 1 to 1 000 entries, all or none, if the chain's length is `position` and its last hash `predecessor` (zeros
  // at position 0). ABORTED: it is not; Status::conflict says where the chain ends. Success also when the very same
  // entries stand there already.
  Ticket Append(const BlockId& chain, std::uint64_t position, const Digest& predecessor, std::vector<NewEntry> entries,
                const CallOptions& options, Callback<AppendResult> done);
  // Appends wherever the chain ends, for writers that do not care about the position: asks for the head, appends there,
  // and tries again when another writer was faster, until the deadline. Signatures can't cover the position here.
  // kOutcomeUnknown must not be answered by calling this again (it would look for a new place): read the chain first.
  Ticket AppendLast(const BlockId& chain, std::vector<NewEntry> entries, const CallOptions& options,
                    Callback<AppendResult> done);
  // Reads a part of a chain, bodies included; the whole answer is held in memory. NOT_FOUND: no such chain.
  Ticket Read(const BlockId& chain, const Part& part, const CallOptions& options, Callback<ReadResult> done);
  // Reads parts of up to 100 chains; results in the order of the queries.
  Ticket ReadMany(const std::vector<ChainRead>& queries, const CallOptions& options,
                  Callback<std::vector<Result<ReadResult>>> done);
  // Where each of up to 1 000 chains ends. A chain that does not exist has length 0.
  Ticket Heads(const std::vector<BlockId>& chains, const CallOptions& options, Callback<std::vector<Head>> done);
  // Follows a chain from a position: every entry once and in order, over broken connections and changes of routers. Has
  // no deadline. `on_entries` gets the next entries (never none). `done` comes when the chain is deleted (NOT_FOUND),
  // the call is refused for good, or after Ticket::Cancel (CANCELLED).
  Ticket Watch(const BlockId& chain, std::uint64_t from, const CallOptions& options,
               std::function<void(std::vector<Entry>)> on_entries, Callback<Done> done);
  // Deletes a chain with all its entries for good.
  Ticket DeleteChain(const BlockId& chain, const CallOptions& options, Callback<Done> done);

  // ---- Zones: isolated namespaces.

  // ALREADY_EXISTS: another zone has the name; what an earlier attempt of this call created is a success.
  Ticket CreateZone(const std::string& name, const CallOptions& options, Callback<ZoneInfo> done);
  // One page; pass next_page_token of the previous one.
  Ticket ListZones(const std::string& page_token, const CallOptions& options, Callback<ZonePage> done);
  // Deletes the zone that has this name, with all that is in it. NOT_FOUND: there was none.
  Ticket DeleteZone(const std::string& name, const CallOptions& options, Callback<Done> done);

  // ---- Anything else of coffer.v1, with serialised protobuf messages (see messages.h for typed calls).

  // One unary method, such as "coffer.v1.Cluster/GetStatus".
  Ticket Call(const std::string& method, std::string request, Effect effect, const CallOptions& options,
              Callback<std::string> done);
  // One server-streaming method that never ends by itself, such as "coffer.v1.Cluster/WatchStatus". `next_request`
  // makes the request of each (re)connection; `on_message` gets every response. Reconnects by itself; if `silence`
  // passes without a response, elsewhere. Ends like Watch.
  Ticket Follow(const std::string& method, std::function<std::string()> next_request, std::chrono::milliseconds silence,
                std::function<void(std::string)> on_message, Callback<Done> done);

  // ---- The future forms of all the above; `options` as there.

  Future<PutResult> Put(const BlockId& id, std::string data, const CallOptions& options = {}) {
    return Future<PutResult>::Of([&](auto done) { return Put(id, std::move(data), options, std::move(done)); });
  }
  Future<std::vector<Result<PutResult>>> PutMany(std::vector<ChunkToPut> chunks, const CallOptions& options = {}) {
    return Future<std::vector<Result<PutResult>>>::Of(
        [&](auto done) { return PutMany(std::move(chunks), options, std::move(done)); });
  }
  Future<GetResult> Get(const BlockId& id, const CallOptions& options = {}, std::uint64_t offset = 0,
                        std::uint64_t length = 0) {
    return Future<GetResult>::Of([&](auto done) { return Get(id, options, std::move(done), offset, length); });
  }
  Future<std::vector<Result<std::string>>> GetMany(const std::vector<BlockId>& ids, const CallOptions& options = {}) {
    return Future<std::vector<Result<std::string>>>::Of(
        [&](auto done) { return GetMany(ids, options, std::move(done)); });
  }
  Future<std::vector<bool>> Has(const std::vector<BlockId>& ids, const CallOptions& options = {}) {
    return Future<std::vector<bool>>::Of([&](auto done) { return Has(ids, options, std::move(done)); });
  }
  Future<Done> Delete(const BlockId& id, const CallOptions& options = {}) {
    return Future<Done>::Of([&](auto done) { return Delete(id, options, std::move(done)); });
  }
  Future<AppendResult> Append(const BlockId& chain, std::uint64_t position, const Digest& predecessor,
                              std::vector<NewEntry> entries, const CallOptions& options = {}) {
    return Future<AppendResult>::Of(
        [&](auto done) { return Append(chain, position, predecessor, std::move(entries), options, std::move(done)); });
  }
  Future<AppendResult> AppendLast(const BlockId& chain, std::vector<NewEntry> entries,
                                  const CallOptions& options = {}) {
    return Future<AppendResult>::Of(
        [&](auto done) { return AppendLast(chain, std::move(entries), options, std::move(done)); });
  }
  Future<ReadResult> Read(const BlockId& chain, const Part& part, const CallOptions& options = {}) {
    return Future<ReadResult>::Of([&](auto done) { return Read(chain, part, options, std::move(done)); });
  }
  Future<std::vector<Result<ReadResult>>> ReadMany(const std::vector<ChainRead>& queries,
                                                   const CallOptions& options = {}) {
    return Future<std::vector<Result<ReadResult>>>::Of(
        [&](auto done) { return ReadMany(queries, options, std::move(done)); });
  }
  Future<std::vector<Head>> Heads(const std::vector<BlockId>& chains, const CallOptions& options = {}) {
    return Future<std::vector<Head>>::Of([&](auto done) { return Heads(chains, options, std::move(done)); });
  }
  Future<Done> DeleteChain(const BlockId& chain, const CallOptions& options = {}) {
    return Future<Done>::Of([&](auto done) { return DeleteChain(chain, options, std::move(done)); });
  }
  Future<ZoneInfo> CreateZone(const std::string& name, const CallOptions& options = {}) {
    return Future<ZoneInfo>::Of([&](auto done) { return CreateZone(name, options, std::move(done)); });
  }
  Future<ZonePage> ListZones(const std::string& page_token = "", const CallOptions& options = {}) {
    return Future<ZonePage>::Of([&](auto done) { return ListZones(page_token, options, std::move(done)); });
  }
  Future<Done> DeleteZone(const std::string& name, const CallOptions& options = {}) {
    return Future<Done>::Of([&](auto done) { return DeleteZone(name, options, std::move(done)); });
  }
  Future<std::string> Call(const std::string& method, std::string request, Effect effect,
                           const CallOptions& options = {}) {
    return Future<std::string>::Of(
        [&](auto done) { return Call(method, std::move(request), effect, options, std::move(done)); });
  }

  // Bytes of requests under way now.
  std::uint64_t in_flight_bytes() const;
  const ClientOptions& options() const;

  struct Impl;  // of the .cc files

 private:
  explicit Client(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace coffer::client
