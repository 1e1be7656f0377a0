// One completion queue of gRPC and the thread that polls it: everything that happens on the streams of a hub happens on
// that thread, which may be the one that runs the core. The callback API of gRPC 1.51 hands every event to another
// thread of its own, two context switches each; they were a third of a node's processor time under load.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "proto/link/hand_over.h"
#include "proto/mutex.h"

namespace coffer::link {

// Thread-safe, but for Poll: one thread at a time.
class Poller {
 public:
  // A tag of the queue: something has ended, well or not.
  class Event {
   public:
    virtual void Run(bool ok) = 0;

   protected:
    ~Event() = default;
  };

  // A queue of gRPC's ServerBuilder, which alone makes those that servers take.
  explicit Poller(std::unique_ptr<grpc::ServerCompletionQueue> queue) : queue_(std::move(queue)) {}
  // After Shutdown, once Poll has said false.
  ~Poller() = default;

  grpc::ServerCompletionQueue* queue() { return queue_.get(); }

  // Has `start` begin an operation of gRPC on the queue, under the tag that it is given: its end runs the event. What is handed to
  // gRPC must be as it shall be before.
  template <class Start>
  static void Begin(Event* event, Start start) {
    HandOver(event);
    const Unjudged in_grpc;
    start(static_cast<void*>(event));
  }

  // When the next read of a stream begins: at once, or when Poll is called next. gRPC tells the other side how much more it may send
  // whenever a read begins, in a write of its own unless something was written since the last message. Where one message follows another
  // only after an answer, a read is therefore begun behind all that the last one led to, which saves that write and the other side's
  // waking for it. Where more has arrived already it is read in the same round, so that what it leads to travels together.
  // One object for each stream. A read that was put off may begin after Finish: it then ends without a message.
  class Pace {
   public:
    // Calls `begin` now or, if an event of its stream's poller is run by this thread, later, once; what it begins must have ended before
    // this object goes.
    void Start(std::function<void()> begin);
    // It has ended: in an event.
    void Ended();

   private:
    friend class Poller;
    const Poller* poller_ = nullptr;  // that ran the end of the last read
    std::uint64_t begun_ = 0;         // in which of its rounds the next began
    int waited_ = 0;                  // reads in a row that ended in a later round than they began in
  };

  // Runs what has ended; waits until `until` at most for the first. False: shut down, and nothing is left.
  bool Poll(std::chrono::steady_clock::time_point until);
  // Ends a Poll that waits, or the next one.
  void Wake();

  // While one exists, operations may be started on the queue.
  class User {
   public:
    explicit User(Poller* poller) : poller_(poller) { poller_->users_.fetch_add(1); }
    ~User() { poller_->Leave(); }
    User(const User&) = delete;
    User& operator=(const User&) = delete;

   private:
    Poller* const poller_;
  };
  // Waits, while another thread polls, until there is no user; then no event comes any more.
  void AwaitNoUsers();
  // Without users.
  void Shutdown();

 private:
  struct Woken final : Event {
    explicit Woken(Poller* poller) : poller(poller) {}
    void Run(bool ok) override;
    Poller* const poller;
  };
  void Leave();
  bool BeginReads();
  grpc::CompletionQueue::NextStatus Next(void** tag, bool* ok, gpr_timespec deadline);

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  Mutex mutex_;
  Condition unused_;  // with mutex_
  std::atomic<int> users_{0};
  std::atomic<bool> waking_{false};  // the alarm is on its way; set under mutex_
  bool shut_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Alarm alarm_ ABSL_GUARDED_BY(mutex_);
  Woken woken_{this};
  // On the thread that polls.
  struct Due {
    Pace* pace;
    std::function<void()> begin;
  };
  std::vector<Due> due_;     // reads that begin with the next round
  std::uint64_t round_ = 1;  // a new one with each Poll, and each time it waits
};

// Runs a closure on the thread that polls, again and again. Thread-safe.
class Ticker final : public Poller::Event {
 public:
  Ticker(Poller* poller, std::chrono::milliseconds every, std::function<void()> run);
  // At most one run more; none once the poller has no users.
  void Stop();
  void Run(bool ok) override;

 private:
  void Set() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Poller* const poller_;
  const std::chrono::milliseconds every_;
  const std::function<void()> run_;
  Mutex mutex_;
  std::optional<Poller::User> user_ ABSL_GUARDED_BY(mutex_);  // while an event is to come
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Alarm alarm_ ABSL_GUARDED_BY(mutex_);
};

// A call that has arrived: it and its stream of raw frames.
struct IncomingCall {
  explicit IncomingCall(Poller* poller) : user(poller) {}
  std::shared_ptr<void> owner;  // of whoever took the call; let go of when nothing else of it is left
  Poller::User user;
  grpc::GenericServerContext context;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream{&context};
  // Set by the stream that serves the call; its end is an event of its own.
  std::function<void()> on_end;
  struct End final : Poller::Event {
    explicit End(IncomingCall* call) : call(call) {}
    void Run(bool) override { call->on_end(); }
    IncomingCall* const call;
  } end{this};
};

// The accepting side of a stream, with the reactions and rules of grpc::ServerBidiReactor: at most one read and one
// write at a time, from any thread; Finish once; OnDone is last, and the object may go then.
class PolledServerStream {
 public:
  virtual ~PolledServerStream() = default;
  virtual void OnReadDone(bool) {}
  virtual void OnWriteDone(bool) {}
  // The caller is gone; Finish must still be called.
  virtual void OnCancel() {}
  virtual void OnDone() = 0;

 protected:
  explicit PolledServerStream(std::unique_ptr<IncomingCall> call);
  grpc::ServerContext& context() { return call_->context; }
  void StartRead(grpc::ByteBuffer* into);
  void StartWrite(const grpc::ByteBuffer* frame);
  void StartWriteAndFinish(const grpc::ByteBuffer* frame, const grpc::Status& status);
  void Finish(const grpc::Status& status);
  // In OnDone: lets go of the call at once, though others hold the stream still. There is no context afterwards.
  void ReleaseCall() { call_.reset(); }

 private:
  struct Step final : Poller::Event {
    Step(PolledServerStream* stream, void (PolledServerStream::*run)(bool)) : stream(stream), run(run) {}
    void Run(bool ok) override;
    PolledServerStream* const stream;
    void (PolledServerStream::*const run)(bool);
  };
  void ReadEnded(bool ok);
  void Nothing(bool) {}
  void Drop();

  std::unique_ptr<IncomingCall> call_;
  Poller::Pace pace_;
  Step read_{this, &PolledServerStream::ReadEnded};
  Step write_{this, &PolledServerStream::OnWriteDone};
  Step finish_{this, &PolledServerStream::Nothing};
  std::atomic<int> pending_{2};  // events to come: the end of the call, Finish, and what is started
};

// The dialling side, with the reactions of grpc::ClientBidiReactor. Operations from any thread, until OnReadDone(false)
// has returned.
class PolledClientStream {
 public:
  using Stream = grpc::ClientAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
  virtual ~PolledClientStream() = default;
  virtual void OnReadDone(bool ok) = 0;
  virtual void OnWriteDone(bool ok) = 0;
  virtual void OnDone(const grpc::Status& status) = 0;

 protected:
  // `stream` must live until OnDone; its context is corked, so that the call begins with the first write. That write follows, and
  // then a read.
  void StartCall(Stream* stream);
  void StartRead(grpc::ByteBuffer* into);
  void StartWrite(const grpc::ByteBuffer& frame);

 private:
  struct Step final : Poller::Event {
    Step(PolledClientStream* stream, void (PolledClientStream::*run)(bool)) : stream(stream), run(run) {}
    void Run(bool ok) override;
    PolledClientStream* const stream;
    void (PolledClientStream::*const run)(bool);
  };
  void Read(bool ok);
  void Wrote(bool ok) { OnWriteDone(ok); }
  void Nothing(bool) {}

  Stream* stream_ = nullptr;
  Poller::Pace pace_;
  Step read_{this, &PolledClientStream::Read};
  Step write_{this, &PolledClientStream::Wrote};
  Step finish_{this, &PolledClientStream::Nothing};
  grpc::Status status_;
  std::atomic<int> pending_{1};  // events to come: the status, and what is started
};

// Takes the calls of one method as long as it is told to.
class CallTaker final : public Poller::Event {
 public:
  // `request` asks the service for the next call, with Poller::Begin. `take` gets each, and calls Ask if another is wanted.
  CallTaker(Poller* poller, std::function<void(IncomingCall*, CallTaker*)> request,
            std::function<void(std::unique_ptr<IncomingCall>)> take)
      : poller_(poller), request_(std::move(request)), take_(std::move(take)) {}
  void Ask();
  void Run(bool ok) override;

 private:
  Poller* const poller_;
  const std::function<void(IncomingCall*, CallTaker*)> request_;
  const std::function<void(std::unique_ptr<IncomingCall>)> take_;
  std::unique_ptr<IncomingCall> next_;
};

}  // namespace coffer::link
