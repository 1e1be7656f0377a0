// Who waits for an answer, and how it is given.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "cluster/ids.h"
#include "cluster/message.h"
#include "google/rpc/status.pb.h"
#include "node/core/context.h"

namespace coffer::node {

// A DataRequest that waits.
struct Waiter {
  NodeId asker;
  std::uint64_t call = 0;
  Instant deadline = kNever;
  std::shared_ptr<const void> room{};  // of the values that came with it (Context::Hold)
};

// An answer without a result yet.
inline wire::DataResponse AnswerTo(const Context& ctx, const Waiter& waiter) {
  wire::DataResponse response;
  response.set_call(waiter.call);
  response.set_epoch(ctx.layout ? ctx.layout->epoch.value : 0);
  response.mutable_status();
  return response;
}

inline void Answer(Context& ctx, const Waiter& waiter, wire::DataResponse response, std::vector<Payload> bodies = {}) {
  wire::Peer peer;
  *peer.mutable_data_response() = std::move(response);
  ctx.Send(waiter.asker, std::move(peer), std::move(bodies));
}

inline void AnswerRefusal(Context& ctx, const Waiter& waiter, google::rpc::Status status) {
  wire::DataResponse response = AnswerTo(ctx, waiter);
  *response.mutable_status() = std::move(status);
  Answer(ctx, waiter, std::move(response));
}

// Refused by the fence: the asker knows another layout than we do, or we lost our authority.
inline void AnswerFenced(Context& ctx, const Waiter& waiter) {
  wire::DataResponse response = AnswerTo(ctx, waiter);
  response.set_fenced(true);
  ++ctx.counters.fenced;
  Answer(ctx, waiter, std::move(response));
}

}  // namespace coffer::node
