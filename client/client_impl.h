// What the .cc files of Client share. Not for users.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "client/engine.h"
#include "proto/mutex.h"

namespace coffer::client {

class Follower;

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  explicit Impl(ClientOptions o);

  ClientOptions options;
  Mutex followers_lock;
  std::set<std::shared_ptr<Follower>> followers ABSL_GUARDED_BY(followers_lock);
  std::atomic<bool> closing{false};
  std::unique_ptr<Engine> engine;  // last: its end runs callbacks that use the rest

  const std::string& Zone(const CallOptions& o) const { return o.zone.empty() ? options.zone : o.zone; }
  Duration Timeout(const CallOptions& o) const { return o.timeout ? *o.timeout : options.timeout; }

  // Starts a job; the ticket outlives the client safely.
  Ticket Run(Job job);
  // `method` is a literal, or lent until on_end has returned.
  Job NewJob(std::string_view method, std::string request, Effect effect, const CallOptions& o) const;

  // A write into a zone, whose name goes into the request here and whose id goes there with every attempt.
  template <class Request>
  Job NewWrite(std::string_view method, Request* request, const CallOptions& o) const {
    request->set_zone(Zone(o));
    std::string bytes;
    bytes.reserve(request->ByteSizeLong() + kZoneIdRoom);
    request->AppendToString(&bytes);
    Job job = NewJob(method, std::move(bytes), Effect::kRepeatSafe, o);
    job.zone = request->zone();
    return job;
  }

  // A job with exactly one response message, turned into a T by `read`.
  template <class Response, class T, class Read>
  Ticket RunUnary(Job job, Callback<T> done, Read read) {
    job.on_end = [done = std::move(done), read, method = job.method](Status status,
                                                                     Responses responses) {
      if (!status.ok()) return done(std::move(status));
      Response response;
      if (responses.size() != 1 || !response.ParseFromString(responses.front())) {
        return done(
            Status::Failed(Code::kInternal, "the router's answer to " + std::string(method) + " can't be parsed", "BAD_ANSWER"));
      }
      done(read(std::move(response)));
    };
    return Run(std::move(job));
  }
};

// A stream that is kept up over failures (Watch, Follow).
class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(std::shared_ptr<Client::Impl> client, std::string method, std::function<std::string()> next_request,
           Duration silence, std::function<void(std::string)> on_message, Callback<Done> done);
  void Start();
  void Cancel();

 private:
  void OnMessage(std::string message);
  void OnEnd(const Status& status);
  void ListenForSilence(std::uint64_t turn, std::uint64_t messages);
  void Finish(Status status);

  const std::weak_ptr<Client::Impl> client_;
  const std::string method_;
  const std::function<std::string()> next_request_;
  const Duration silence_;
  const std::function<void(std::string)> on_message_;

  Mutex lock_;
  Callback<Done> done_ ABSL_GUARDED_BY(lock_);
  Ticket running_ ABSL_GUARDED_BY(lock_);
  bool active_ ABSL_GUARDED_BY(lock_) = false;  // a job is under way
  bool cancelled_ ABSL_GUARDED_BY(lock_) = false;
  bool ever_heard_ ABSL_GUARDED_BY(lock_) = false;
  bool finished_ ABSL_GUARDED_BY(lock_) = false;
  std::uint64_t turn_ ABSL_GUARDED_BY(lock_) = 0;      // counts jobs
  std::uint64_t messages_ ABSL_GUARDED_BY(lock_) = 0;  // of this turn
  int failures_ ABSL_GUARDED_BY(lock_) = 0;            // since the last message
};

}  // namespace coffer::client
