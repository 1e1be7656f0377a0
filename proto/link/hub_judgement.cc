// Whether a caller may link, and whether we ourselves could: certificates, identities, two processes with one id.
#include <stdexcept>

#include "proto/link/endpoint.h"
#include "proto/link/hub.h"

namespace coffer::link {
namespace {

// Two processes with one id: what the linked one had sent before comes within kInFlight; then it is asked for a sign of life, and
// if there is none by kVerdict it is given up. A contest that nobody pursues is forgotten after kContest.
constexpr auto kInFlight = std::chrono::milliseconds(300);
constexpr auto kVerdict = std::chrono::milliseconds(900);
constexpr auto kContest = std::chrono::seconds(30);

bool MadeFor(const CertificateNames& names, const Identity& member) {
  if (names.Names(member.name)) return true;
  const std::string_view within = kRouterWithin;
  return member.role == coffer::v1::MEMBER_ROLE_ROUTER && member.name.ends_with(within) &&
         names.Names(member.name.substr(0, member.name.size() - within.size()));
}

}  // namespace

void HubImpl::CheckOwnCertificate() const {
  const std::string& file = options_.tls.certificate;
  const Identity self = Self();
  const auto names = ReadCertificateFile(file);
  if (names && MadeFor(*names, self)) return;
  const std::string& name = self.name;
  throw std::runtime_error("the certificate " + file + " was not made for this member: its name '" + name +
                           "' is neither the common name nor a DNS name in it. Give the member's own certificate (coffer certs "
                           "FOLDER --member " + name + "), or the name it was made for (name)");
}

RefusalInfo HubImpl::JudgeCertificate(const Session& session) {
  if (!options_.tls.enabled()) return {};
  const auto& names = session.certificate();
  if (!names) return {"CERTIFICATE_MISMATCH", "the peer port needs a member's certificate, and none was shown"};
  if (names->member) return {};
  return {"CERTIFICATE_MISMATCH", "the certificate of '" + names->First() + "' is " +
                                      (names->client ? "a client's" : "not a member's") +
                                      "; the peer port takes only certificates with the URI " + kMemberUri +
                                      " (make one with: coffer certs FOLDER --member NAME), clients use the public port"};
}

RefusalInfo HubImpl::Judge(const Session& session) {
  const Identity& peer = session.peer();
  RefusalInfo rival;
  bool asks = false;
  {
    MutexLock lock(mutex_);
    if (!session.dialled() && own_nonces_.contains(session.nonce())) {
      return {"SELF", session.aim().address + " is this member's own address"};
    }
    if (session.aim().probe) return {};
    if (auto refusal = CheckIdentities(self_, peer); !refusal.reason.empty()) return refusal;
    if (Peer* known = peers_.Find(peer.id)) rival = JudgeRival(session, known, &asks);
  }
  if (asks) {
    alarm_.After(kInFlight, [this, id = peer.id] {
      MutexLock lock(StripeOf(id));
      handler_->OnContested(id);
    });
  }
  if (!rival.reason.empty()) return rival;
  if (!session.aim().expect.IsZero() && session.aim().expect != peer.id) {
    return {"UNREACHABLE", session.aim().address + " is answered by another member now"};
  }
  const auto& names = session.certificate();
  const std::string host = SplitHostPort(peer.address).host;  // empty: nobody dials it, so it goes by its name alone
  if (options_.tls.enabled() && !(names && (host.empty() || names->Covers(host)))) {
    return {"CERTIFICATE_MISMATCH", "the certificate of '" + (names ? names->First() : "") + "' is not for " + host +
                                        ", the name this member goes by; make one that names it"};
  }
  if (options_.tls.enabled() && !MadeFor(*names, peer)) {
    return {"CERTIFICATE_MISMATCH", "the certificate of '" + names->First() + "' was not made for the member '" + peer.name +
                                        "': that is neither its common name nor one of its DNS names"};
  }
  MutexLock lock(StripeOf(peer.id));
  return handler_->Admit(peer, names ? names->First() : std::string());
}

RefusalInfo HubImpl::JudgeRival(const Session& session, Peer* known, bool* asks) {
  const Identity& peer = session.peer();
  const bool same = SameProcess(peer, known->identity);
  if (same && peer.address == known->identity.address) return {};
  const std::string which = "another process with the member id " + Short(peer.id) + " is linked, at " + known->identity.address;
  const RefusalInfo duplicate = {session.dialled() ? "DUPLICATE_PEER" : "DUPLICATE_ID",
                                 which + ", and lives; a data folder was copied: start the copy with an empty one"};
  if (same || peer.boot < known->identity.boot) return duplicate;
  const auto now = std::chrono::steady_clock::now();
  if (known->contested + kContest < now) {
    known->contested = now;
    *asks = true;
  }
  if (now - known->contested < kVerdict) {
    return {"EARLIER_START", which + "; whether it lives is being looked at, dial again"};
  }
  if (known->HeardSince(known->contested + kInFlight)) return duplicate;
  return {};  // it is gone: the link goes to its later start
}

}  // namespace coffer::link
