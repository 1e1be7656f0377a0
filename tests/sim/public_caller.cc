#include "sim/public_caller.h"

#include <algorithm>

#include "client/rpc_status.h"

namespace coffer::sim {
namespace {

using std::chrono::milliseconds;

constexpr Duration kPenalty = std::chrono::seconds(3);

}  // namespace

PublicCaller::PublicCaller(SimCluster& cluster, const NodeId& self, std::uint64_t seed) : cluster_(cluster), self_(self), random_(seed) {
  cluster_.public_clients[self_] = {
      [this](std::size_t, v1::Reply reply) { OnReply(std::move(reply)); },
      [this](std::size_t router, std::uint64_t life) {
        penalised_[router] = cluster_.now() + kPenalty;
        std::vector<std::uint64_t> lost;
        if (open_) {
          for (const auto& [call, one] : open_->tries) {
            if (one.router == router && one.life == life) lost.push_back(call);
          }
        }
        for (const std::uint64_t call : lost) Lost(call, /*sent=*/true);
      }};
}

void PublicCaller::Ask(PublicCall call, Duration timeout, Done done) {
  client::ZoneStages stages(call.zone, call.effect);
  open_.emplace(Open{std::move(call), std::move(stages), cluster_.now() + timeout, std::move(done), {}, {}, {}});
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
    Obey(open_->machine->OnTick(cluster_.now()));
  });
}

// As the library's engine chooses: whom it has not lost lately, and somebody else than last time if that is wished for.
std::size_t PublicCaller::Choose(bool elsewhere) {
  std::size_t best = 0;
  int least = 1000;
  for (std::size_t k = 0; k < cluster_.routers(); ++k) {
    const std::size_t r = kFirstRouter + (last_router_ + k) % cluster_.routers();
    int score = penalised_[r] > cluster_.now() ? 4 : 0;
    if (elsewhere && r == kFirstRouter + last_router_) score += 2;
    for (const auto& [call, one] : open_->tries) score += one.router == r ? 2 : 0;
    if (score < least) {
      least = score;
      best = r;
    }
  }
  last_router_ = best - kFirstRouter;
  return best;
}

void PublicCaller::Launch(const client::RetryOutput& output) {
  // Now and then a program begins anew, with another router first.
  if (output.launch == 1 && random_.Chance(1, 10)) last_router_ = random_.Below(cluster_.routers());
  const std::size_t router = Choose(output.elsewhere);
  const std::uint64_t number = next_call_++;
  open_->tries[number] = {output.launch, router, cluster_.router(router).life, {}};
  v1::Call call;
  call.set_id(number);
  const bool resolving = open_->stages.resolving();
  call.mutable_invocation()->set_method(resolving ? client::kResolveMethod : open_->call.method);
  call.mutable_invocation()->set_request(resolving ? open_->stages.ResolveRequest() : open_->call.request);
  const auto left = std::chrono::duration_cast<milliseconds>(open_->deadline - cluster_.now()).count();
  call.mutable_invocation()->set_deadline_ms(static_cast<std::uint32_t>(std::max<std::int64_t>(left, 1)));
  if (cluster_.Call(self_, router, call)) return open_->machine->OnSent(cluster_.now(), output.launch);
  cluster_.At(milliseconds(1), [this, number, router] {
    penalised_[router] = cluster_.now() + kPenalty;
    Lost(number, /*sent=*/false);
  });
}

void PublicCaller::Lost(std::uint64_t call, bool sent) {
  client::ReplyFacts facts;
  facts.code = client::Code::kUnavailable;
  facts.refused = !sent;
  Fail(call, facts);
}

void PublicCaller::Fail(std::uint64_t call, const client::ReplyFacts& facts) {
  if (!open_ || !open_->tries.contains(call)) return;
  const client::Attempt attempt = open_->tries.at(call).attempt;
  open_->tries.erase(call);
  Obey(open_->machine->OnFailure(cluster_.now(), attempt, client::Judge(open_->stages.effect(), facts)));
}

void PublicCaller::OnReply(v1::Reply reply) {
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
    v1::Call call;
    call.set_id(number);
    call.set_cancel(true);
    if (cluster_.router(one.router).life == one.life) (void)cluster_.Call(self_, one.router, call);
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
