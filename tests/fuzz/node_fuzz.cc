// Three node cores that talk to each other, and an input that decides about each message: delivered, lost, repeated, delayed or
// with some of its bytes changed. Whatever a peer sends, a core stays within its process: it neither crashes nor loops.
#include <array>
#include <chrono>
#include <deque>
#include <memory>

#include "fuzz_target.h"
#include "node/core/node_core.h"
#include "node/memory_store.h"

using namespace coffer;
using namespace coffer::node;

namespace {

constexpr int kNodes = 3;
constexpr int kSteps = 1500;      // at most
constexpr int kQuietSteps = 150;  // at least, when the input has nothing left to say

NodeId IdOf(int n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}

class Trio {
 public:
  explicit Trio(fuzz::Choices* choices) : choices_(choices) {
    for (int n = 0; n < kNodes; ++n) {
      NodeCoreConfig config;
      config.boot = Boot(1);
      config.self.set_id(IdOf(n).str());
      config.self.set_name("node-" + std::to_string(n));
      config.self.set_address("node-" + std::to_string(n) + ":1");
      config.self.set_role(1);
      config.self.set_boot(1);
      config.self.set_weight(100);
      cores_[n] = std::make_unique<NodeCore>(config, NodeDurable{}, std::vector<wire::MemberFacts>{}, stores_[n], 7 + n, now_);
    }
    cluster::Settings settings;
    settings.partitions = 2;
    settings.voters_wanted = 3;
    ClusterId cluster;
    cluster.bytes.fill(7);
    Carry(0, cores_[0]->Form(now_, cluster, "fuzz", settings));
    for (int a = 0; a < kNodes; ++a) {
      for (int b = 0; b < kNodes; ++b) {
        if (a != b) Carry(a, cores_[a]->LinkUp(now_, IdOf(b)));
      }
    }
  }

  void Run() {
    for (int step = 0; step < kSteps && !(choices_->empty() && step > kQuietSteps); ++step) {
      if (mail_.empty() || step % 16 == 0) {
        now_ += std::chrono::milliseconds(10);
        for (int n = 0; n < kNodes; ++n) Carry(n, cores_[n]->Tick(now_));
      } else {
        Deliver();
      }
    }
  }

 private:
  struct Mail {
    NodeId from;
    int to;
    std::string header;
    std::vector<Payload> bodies;
  };

  void Deliver() {
    Mail mail = std::move(mail_.front());
    mail_.pop_front();
    switch (const std::uint8_t what = choices_->Byte(); what % 8) {
      case 1: return;                       // lost
      case 2: mail_.push_back(mail); break; // repeated later
      case 3:                               // delayed
        mail_.push_back(std::move(mail));
        return;
      case 4:
      case 5:                               // some bytes of it changed
        for (int i = what >> 6; i >= 0 && !mail.header.empty(); --i) {
          mail.header[choices_->Word() % mail.header.size()] = static_cast<char>(choices_->Byte());
        }
        break;
      case 6:                               // something else instead
        mail.header = std::string(choices_->Piece());
        break;
      case 7:                               // bodies missing, or one too many
        if (what >= 128) mail.bodies.push_back(std::make_shared<const std::string>(choices_->Piece()));
        else mail.bodies.clear();
        break;
      default: break;
    }
    PeerMessage message;
    if (!message.header.ParseFromString(mail.header)) return;
    message.bodies = std::move(mail.bodies);
    Carry(mail.to, cores_[mail.to]->Receive(now_, mail.from, std::move(message)));
  }

  void Carry(int n, NodeCore::Output output) {
    for (const Outgoing& outgoing : output.send) {
      for (int to = 0; to < kNodes; ++to) {
        if (outgoing.to == IdOf(to) && mail_.size() < 4096) {
          mail_.push_back({IdOf(n), to, outgoing.message.header.SerializeAsString(), outgoing.message.bodies});
        }
      }
    }
    for (auto& persist : output.persist) {
      if (auto* batch = std::get_if<StoreBatch>(&persist.what)) {
        stores_[n].Write(std::move(*batch), [](bool) {});
        stores_[n].CompleteWrites();
      }
    }
    for (const auto& persist : output.persist) Carry(n, cores_[n]->Persisted(now_, persist.ticket));
    for (auto& task : output.reads) Carry(n, cores_[n]->ReadDone(now_, RunRead(stores_[n], std::move(task))));
  }

  fuzz::Choices* choices_;
  Instant now_{std::chrono::seconds(100)};
  std::array<MemoryStore, kNodes> stores_;
  std::array<std::unique_ptr<NodeCore>, kNodes> cores_;
  std::deque<Mail> mail_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(fuzz::Text(data, size));
  Trio(&choices).Run();
  return 0;
}
