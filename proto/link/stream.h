// One bidirectional gRPC stream of raw frames, dialled or accepted, behind one face.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "proto/link/certificates.h"
#include "proto/link/poller.h"

namespace coffer::link {

// How a stream ended.
struct StreamEnd {
  bool local = false;  // by our own End
  grpc::Status status;
};

// What happens on a stream, on the thread that polls; OnEnded is last.
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  // A frame arrived; the next one is asked for when this returns (which is how a slow receiver slows its sender).
  virtual void OnFrame(grpc::ByteBuffer* frame) = 0;
  // The write in flight is done.
  virtual void OnWritten() = 0;
  virtual void OnEnded(const StreamEnd& end) = 0;
};

// Thread-safe. Keeps itself and its events alive until OnEnded.
class Stream {
 public:
  virtual ~Stream() = default;
  // At most one write may be in flight. Ignored once the stream is ending.
  virtual void Write(grpc::ByteBuffer frame) = 0;
  // Writes and ends. The dialling side has no such thing: it ends at once.
  virtual void WriteLast(grpc::ByteBuffer frame) = 0;
  // Ends as soon as possible, in both directions; OnEnded follows. Repeats are ignored.
  virtual void End(const std::string& why) = 0;
  // A connection stands (dialled streams; an accepted one always has one).
  virtual bool Connected() const = 0;
  // What the peer's certificate says; absent on cleartext. Dialled: from the first frame on.
  virtual std::optional<CertificateNames> PeerCertificate() const = 0;
  // Where the peer's connection comes from, as gRPC writes it: "ipv4:10.0.0.7:40312".
  virtual std::string PeerAddress() const = 0;
};

// The full name of coffer.internal.v1.PeerService/Link.
extern const char kLinkMethod[];

// Dials. `bury` takes what must not die on the polling thread. Nothing happens before Start. `poller` must outlive the
// stream.
class DialledStream : public Stream {
 public:
  static std::shared_ptr<DialledStream> Make(std::shared_ptr<grpc::Channel> channel, Poller* poller,
                                             std::function<void(std::shared_ptr<void>)> bury);
  virtual void Start(std::shared_ptr<StreamEvents> events, grpc::ByteBuffer first) = 0;
};

// Takes a call. The stream lives at least until OnEnded.
struct Acceptance {
  std::shared_ptr<Stream> stream;
  std::function<void(std::shared_ptr<StreamEvents>)> start;
};
Acceptance Accept(std::unique_ptr<IncomingCall> call);
// Takes a call only to refuse it.
void Refuse(std::unique_ptr<IncomingCall> call, const grpc::Status& status);

}  // namespace coffer::link
