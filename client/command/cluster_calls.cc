#include "client/command/cluster_calls.h"

#include <deque>

#include "client/messages.h"
#include "proto/mutex.h"

namespace coffer::command {
namespace {

// Statuses that may wait while one is being shown; beyond that the oldest go.
constexpr std::size_t kWaiting = 64;

}  // namespace

v1::Status FetchStatus(Session& session) {
  auto r = client::CallAndWait<v1::GetStatusResponse>(session.client(), "coffer.v1.Cluster/GetStatus",
                                                      v1::GetStatusRequest(), client::Effect::kRead);
  return std::move(*Need(std::move(r), "can't get the status").mutable_status());
}

bool FollowStatus(Session& session, std::optional<std::chrono::milliseconds> limit,
                  const std::function<bool(const v1::Status&)>& on_status) {
  struct Shared {
    Mutex lock;
    Condition changed;
    std::deque<std::string> waiting ABSL_GUARDED_BY(lock);
    std::optional<client::Status> end ABSL_GUARDED_BY(lock);
  };
  auto shared = std::make_shared<Shared>();
  // At least one status a second is promised: five seconds of silence mean that nobody sends any more.
  const client::Ticket ticket = session.client().Follow(
      "coffer.v1.Cluster/WatchStatus", [] { return std::string(); }, std::chrono::seconds(5),
      [shared](std::string raw) {
        MutexLock guard(shared->lock);
        shared->waiting.push_back(std::move(raw));
        if (shared->waiting.size() > kWaiting) shared->waiting.pop_front();
        shared->changed.NotifyAll();
      },
      [shared](client::Result<client::Done> end) {
        MutexLock guard(shared->lock);
        shared->end = end.status;
        shared->changed.NotifyAll();
      });
  struct CancelAtEnd {
    const client::Ticket& ticket;
    ~CancelAtEnd() { ticket.Cancel(); }
  } cancel{ticket};
  const auto until = std::chrono::steady_clock::now() + limit.value_or(std::chrono::hours(24 * 365));
  for (;;) {
    std::string raw;
    {
      MutexLock guard(shared->lock);
      const auto ready = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(shared->lock) {
        return !shared->waiting.empty() || shared->end;
      };
      const bool came = shared->changed.WaitUntil(shared->lock, until, ready);
      if (!came) return false;
      if (shared->waiting.empty()) Fail("can't follow the status", *shared->end);
      raw = std::move(shared->waiting.front());
      shared->waiting.pop_front();
    }
    v1::WatchStatusResponse response;
    if (response.ParseFromString(raw) && !on_status(response.status())) return true;
  }
}

const v1::MemberStatus* FindMember(const v1::Status& status, const std::string& name) {
  for (const v1::MemberStatus& m : status.members()) {
    if (m.name() == name) return &m;
  }
  return nullptr;
}

}  // namespace coffer::command
