// Those who make, show and revoke join tokens, through whichever node they know (J1 to J3). A token is shown by several joiners, each in an
// attempt of its own, and by each again and again: one attempt wins at most, and whoever has won wins again.
//
// What a joiner proves to that node, and what it is given for it (J4), are the link's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/check_layouts.h"
#include "sim/sim_cluster.h"

namespace coffer::sim {

class TokenClient {
 public:
  TokenClient(SimCluster& cluster, const LayoutChecker& layouts, std::int64_t joiners);

  // Begins something at random times until Stop. What is under way then ends by itself.
  void Go();
  void Stop() { going_ = false; }
  // How many tokens let somebody in.
  std::uint64_t used() const { return used_; }

 private:
  struct Asked {
    std::string hash;
    std::string attempt;  // empty: it was made or revoked
  };
  void Poll();
  void Act();
  void Make();
  void Show(const std::string& hash);
  void Revoke(const std::string& hash);
  void Ask(const wire::JoinTokenChange& change, Asked asked);
  void OnAnswer(std::uint64_t ask, const google::rpc::Status& status);
  void Look();
  // This attempt has used the token.
  void Won(const std::string& hash, const std::string& attempt);
  std::string Draw(std::size_t bytes);
  std::uint64_t NowMs() const;

  SimCluster& cluster_;
  const LayoutChecker& layouts_;
  Random random_;
  const std::uint64_t joiners_;
  std::vector<std::string> hashes_;             // of tokens that are shown
  std::map<std::uint64_t, Asked> asked_;
  std::uint64_t last_ask_ = 0;
  std::map<std::string, std::string> winners_;  // by the token's hash, the attempt
  std::uint64_t used_ = 0;
  bool going_ = false;
};

}  // namespace coffer::sim
