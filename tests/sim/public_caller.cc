#include "sim/public_caller.h"

#include <algorithm>

#include "client/rpc_status.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A connection that could not be made is tried again this often, whether it is wanted or not.
constexpr Duration kRedial = seconds(1);

}  // namespace

PublicCaller::PublicCaller(SimCluster& cluster, const NodeId& self, std::uint64_t seed) : cluster_(cluster), self_(self), random_(seed) {
  cluster_.public_clients[self_] = {[this](std::size_t process, v1::Reply reply) { OnReply(process, std::move(reply)); },
                                    [this](std::size_t process, std::uint64_t life) { OnConnectionLost(process, life); }};
  StartAnew();
}

// A program begins, with its list of routers. Some give a silent connection up sooner than the library would: no operation here lasts
// as long as it waits.
void PublicCaller::StartAnew() {
  client::RouterPolicy policy;
  if (random_.Chance(1, 2)) policy.dead_after = policy.patience;
  first_ = random_.Below(cluster_.routers());
  connections_.assign(cluster_.routers(), {});
  choice_.emplace(cluster_.routers(), policy);
}

void PublicCaller::Ask(PublicCall call, Duration timeout, Done done) {
  client::ZoneStages stages(call.zone, call.effect);
  open_.emplace(Open{std::move(call), std::move(stages), cluster_.now() + timeout, std::move(done), {}, {}, {}, {}});
  Begin();
}

void PublicCaller::Begin() {
  open_->stages.Begin(zones_, &open_->call.request);
  open_->machine.emplace(client::RetryPolicy{}, open_->stages.effect(), open_->deadline, random_.Next(), &budget_);
  ++operation_;
  Obey(open_->machine->Start(cluster_.now()));
}

void PublicCaller::Obey(const client::RetryOutput& output) {
  if (output.launch != 0) Launch(output);
  if (output.finished) return End(output);
  Wake();
}

// The next moment at which the machine wants to be asked.
void PublicCaller::Wake() {
  const Duration wait = std::max<Duration>(open_->machine->NextDeadline() - cluster_.now(), milliseconds(1));
  cluster_.At(wait, [this, operation = operation_] {
    if (!open_ || operation != operation_ || cluster_.now() < open_->machine->NextDeadline()) return;
    Judge();
    Obey(open_->machine->OnTick(cluster_.now()));
  });
}

std::vector<client::OpenTry> PublicCaller::OpenTries() const {
  std::vector<client::OpenTry> open;
  for (const auto& [call, one] : open_->tries) open.push_back({one.router, one.since});
  return open;
}

void PublicCaller::Judge() {
  if (open_->stages.effect() == client::Effect::kOnce) return;
  for (const std::size_t router : choice_->Judge(cluster_.now(), OpenTries())) Reconnect(router);
}

std::size_t PublicCaller::Choose(bool elsewhere) {
  std::vector<client::RouterState> states;
  for (std::size_t r = 0; r < connections_.size(); ++r) {
    const Connection& c = connections_[r];
    if (c.state == client::RouterState::kFailed && cluster_.now() - c.failed_at >= kRedial) Connect(r);
    states.push_back(c.state);
  }
  return choice_->Choose(cluster_.now(), states, OpenTries(), open_->last_router, elsewhere);
}

void PublicCaller::Launch(const client::RetryOutput& output) {
  // Now and then a program begins anew, with another router first.
  if (output.launch == 1 && random_.Chance(1, 10)) StartAnew();
  const std::size_t router = Choose(output.elsewhere);
  open_->last_router = router;
  Connection& connection = connections_[router];
  if (connection.state != client::RouterState::kUp) Connect(router);
  const std::uint64_t number = next_call_++;
  open_->tries[number] = {output.launch, router, connection.life, connection.number, cluster_.now(), {}};
  if (connection.state != client::RouterState::kUp) {
    return cluster_.At(milliseconds(1), [this, number, router] { Lose(router, {number}, /*sent=*/false); });
  }
  v1::Call call;
  call.set_id(number);
  const bool resolving = open_->stages.resolving();
  call.mutable_invocation()->set_method(resolving ? client::kResolveMethod : open_->call.method);
  call.mutable_invocation()->set_request(resolving ? open_->stages.ResolveRequest() : open_->call.request);
  const auto left = std::chrono::duration_cast<milliseconds>(open_->deadline - cluster_.now()).count();
  call.mutable_invocation()->set_deadline_ms(static_cast<std::uint32_t>(std::max<std::int64_t>(left, 1)));
  // Into a connection whose other end is gone, which will be noticed: lost, and sent for all one knows.
  const std::size_t process = ProcessOf(router);
  if (cluster_.router(process).life == connection.life) (void)cluster_.Call(self_, connection.number, process, call);
  open_->machine->OnSent(cluster_.now(), output.launch);
}

void PublicCaller::Connect(std::size_t router) {
  Connection& c = connections_[router];
  if (cluster_.Up(ProcessOf(router))) {
    c = {client::RouterState::kUp, {}, ++connections_made_, cluster_.router(ProcessOf(router)).life, next_call_};
  } else {
    c.state = client::RouterState::kFailed;
    c.failed_at = cluster_.now();
  }
}

void PublicCaller::Reconnect(std::size_t router) {
  connections_[router].state = client::RouterState::kIdle;
  std::vector<std::uint64_t> lost;
  for (const auto& [number, one] : open_->tries) {
    if (one.router != router) continue;
    CancelAt(one, number);
    lost.push_back(number);
  }
  cluster_.At(milliseconds(1), [this, router, lost = std::move(lost)] { Lose(router, lost, /*sent=*/true); });
}

void PublicCaller::CancelAt(const Try& one, std::uint64_t number) {
  const std::size_t process = ProcessOf(one.router);
  if (cluster_.router(process).life != one.life) return;
  v1::Call call;
  call.set_id(number);
  call.set_cancel(true);
  (void)cluster_.Call(self_, one.connection, process, call);
}

void PublicCaller::OnConnectionLost(std::size_t process, std::uint64_t life) {
  for (std::size_t r = 0; r < connections_.size(); ++r) {
    if (ProcessOf(r) != process) continue;
    if (connections_[r].life == life) connections_[r].state = client::RouterState::kIdle;
    if (!open_) return;
    std::vector<std::uint64_t> lost;
    for (const auto& [call, one] : open_->tries) {
      if (one.router == r && one.life == life) lost.push_back(call);
    }
    Lose(r, lost, /*sent=*/true);
  }
}

void PublicCaller::Lose(std::size_t router, const std::vector<std::uint64_t>& calls, bool sent) {
  const bool wanted = open_ && std::any_of(calls.begin(), calls.end(), [&](std::uint64_t call) { return open_->tries.contains(call); });
  if (!wanted) return;
  choice_->OnLost(router, cluster_.now());
  client::ReplyFacts facts;
  facts.code = client::Code::kUnavailable;
  facts.refused = !sent;
  for (const std::uint64_t call : calls) Fail(call, facts);
}

void PublicCaller::Fail(std::uint64_t call, const client::ReplyFacts& facts) {
  if (!open_ || !open_->tries.contains(call)) return;
  const client::Attempt attempt = open_->tries.at(call).attempt;
  open_->tries.erase(call);
  Obey(open_->machine->OnFailure(cluster_.now(), attempt, client::Judge(open_->stages.effect(), facts)));
}

void PublicCaller::OnReply(std::size_t process, v1::Reply reply) {
  const std::size_t router = (process - kFirstRouter + connections_.size() - first_) % connections_.size();
  const Connection& c = connections_[router];
  if (c.state == client::RouterState::kUp && reply.id() >= c.first_call) choice_->OnHeard(router, cluster_.now());
  if (!open_ || !open_->tries.contains(reply.id())) return;
  Try& one = open_->tries.at(reply.id());
  if (reply.has_response()) one.responses.push_back(std::move(*reply.mutable_response()));
  if (!reply.has_status()) return;
  if (reply.status().code() == 0) return Obey(open_->machine->OnSuccess(cluster_.now(), one.attempt));
  const client::Status status = client::FromRpc(reply.status());
  client::ReplyFacts facts;
  facts.code = status.code;
  if (status.retry_after) facts.retry_after = *status.retry_after;
  facts.refused = client::RefusedBeforeWriting(reply.status());
  facts.settles = open_->call.settles && open_->call.settles(status);
  open_->last_error = std::move(*reply.mutable_status());
  Fail(reply.id(), facts);
}

void PublicCaller::End(const client::RetryOutput& output) {
  PublicAnswer answer;
  client::ZoneStages::End end{output.retry_class, output.timed_out, {}, &answer.responses};
  if (output.retry_class != client::RetryClass::kOk) end.error = client::FromRpc(open_->last_error);
  for (auto& [number, one] : std::exchange(open_->tries, {})) {
    if (output.retry_class == client::RetryClass::kOk && one.attempt == output.answer) {
      answer.responses = std::move(one.responses);
      continue;
    }
    CancelAt(one, number);
  }
  if (open_->stages.Next(&end, &zones_)) {
    open_->last_error.Clear();
    return Begin();
  }
  answer.retry_class = end.retry_class;
  if (end.retry_class != client::RetryClass::kOk) answer.status = open_->last_error;
  telling_ = true;
  cluster_.At(Duration(0), [this, done = std::move(open_->done), answer = std::move(answer)] {
    telling_ = false;
    done(answer);
  });
  open_.reset();
  ++operation_;
}

}  // namespace coffer::sim
