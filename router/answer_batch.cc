#include <algorithm>
#include <utility>

#include "router/api.h"

namespace coffer::router {
namespace {

// Answers come from the thread that runs the router's core, several calls deep: a parameter would pass through all of it.
thread_local AnswerBatch* current = nullptr;

}  // namespace

AnswerBatch::AnswerBatch() : outer_(current == nullptr) {
  if (outer_) current = this;
}

AnswerBatch::~AnswerBatch() {
  if (!outer_) return;
  current = nullptr;
  for (const auto& held : held_) held->Send();
}

bool AnswerBatch::Hold(std::shared_ptr<Held> held) {
  if (!current) return false;
  auto& all = current->held_;
  if (std::find(all.begin(), all.end(), held) == all.end()) all.push_back(std::move(held));
  return true;
}

}  // namespace coffer::router
