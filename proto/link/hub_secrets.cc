// The part of the hub that has to do with secrets: changing them, and what those ask who are not members.
#include "proto/link/hub.h"

namespace coffer::link {
namespace {

// How long links made by a secret that is gone may wait for their successors.
constexpr auto kStaleLinks = std::chrono::seconds(5);

}  // namespace

void Handler::OnJoinToken(const Identity&, const std::string&, const ShownToken&, std::function<void(const RefusalInfo&)> answer) {
  answer({"NOT_A_NODE", "this process is no storage node; show the join token to the peer port of one. The token was not used"});
}

void Handler::OnRefused(const std::string&, const std::string&, const RefusalInfo&) {}

void Handler::OnErrand(const std::string&, const wire::Errand&, std::function<void(const wire::ErrandAnswer&)> answer) {
  wire::ErrandAnswer refusal;
  refusal.mutable_status()->set_code(static_cast<int>(grpc::StatusCode::UNIMPLEMENTED));
  refusal.mutable_status()->set_message("this process is no storage node; ask the peer port of one. Nothing was changed");
  answer(refusal);
}

std::vector<SessionPtr> HubImpl::Stale(const Peer& peer) const {
  std::vector<SessionPtr> stale;
  for (const auto& lane : peer.lanes) {
    for (const SessionPtr& session : lane) {
      if (!keyring_.Has(session->secret())) stale.push_back(session);
    }
  }
  return stale;
}

void HubImpl::SetSecrets(Keyring keyring) {
  std::vector<std::string> again;
  bool any = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    keyring_ = std::move(keyring);
    for (const auto& [id, peer] : peers_.all()) {
      if (Stale(peer).empty()) continue;
      any = true;
      const std::string& address = peer.identity.address;
      if (!address.empty() && dialling_.insert(address).second) again.push_back(address);
    }
  }
  // The other side ends the old link once the new one stands there (Attach).
  for (const std::string& address : again) Launch({.address = address});
  if (!any) return;
  alarm_.After(kStaleLinks, [this] {
    std::vector<SessionPtr> stale;
    {
      MutexLock lock(mutex_);
      for (const auto& [id, peer] : peers_.all()) {
        for (auto& session : Stale(peer)) stale.push_back(std::move(session));
      }
    }
    for (auto& session : stale) session->End("WRONG_SECRET", "the secret of this link was removed, and no link by another came about");
  });
}

RefusalInfo HubImpl::MayShowToken(const Session& session) {
  static_cast<void>(session);
  MutexLock lock(mutex_);
  if (token_guesses_.MayGuess(std::chrono::steady_clock::now())) return {};
  return {"BUSY", "too many wrong join tokens were shown here; nothing was used, try again in a moment"};
}

void HubImpl::OnWrongToken(const Session& session) {
  {
    MutexLock lock(mutex_);
    token_guesses_.Wrong(std::chrono::steady_clock::now());
  }
  handler_->OnWrongToken(session.PeerAddress());
}

void HubImpl::OnToken(const SessionPtr& session, const ShownToken& token) {
  handler_->OnJoinToken(session->peer(), session->PeerAddress(), token, [weak = std::weak_ptr<Session>(session)](const RefusalInfo& refusal) {
    if (auto session = weak.lock()) session->Settle(refusal);
  });
}

void HubImpl::OnErrand(const SessionPtr& session, const wire::Errand& errand) {
  handler_->OnErrand(session->PeerAddress(), errand, [weak = std::weak_ptr<Session>(session)](const wire::ErrandAnswer& answer) {
    if (auto session = weak.lock()) session->AnswerErrand(answer);
  });
}

}  // namespace coffer::link
