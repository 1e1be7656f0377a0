#include "cluster/member_view.h"

#include <string>
#include <utility>

#include "cluster/member_record.h"

namespace coffer::cluster {
namespace {

MemberRecord RecordOf(const MemberView& view) { return {view.facts, view.incarnation, view.state, view.since}; }

}  // namespace

std::strong_ordering Compare(const MemberView& a, const MemberView& b) { return Compare(RecordOf(a), RecordOf(b)); }

std::optional<Update> ReadUpdate(const wire::MemberUpdate& wire) {
  const auto news = ReadNews(wire, nullptr);
  if (!news) return std::nullopt;
  return Update{news->id, news->record.View(), news->accuser};
}

wire::MemberUpdate WriteUpdate(const MemberView& view, const NodeId& accuser) { return WriteUpdate(RecordOf(view), accuser); }

}  // namespace coffer::cluster
