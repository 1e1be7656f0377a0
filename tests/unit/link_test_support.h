// Hubs on loopback, and handlers that record what happens to them.
#pragma once

#include <google/protobuf/unknown_field_set.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "envelope_seal.h"
#include "proto/link/link.h"

namespace coffer::link {

inline constexpr auto kPatience = std::chrono::seconds(20);

inline NodeId NodeOf(std::uint8_t n) {
  NodeId id;
  id.bytes.fill(n);
  return id;
}

inline ClusterId ClusterOf(std::uint8_t n) {
  ClusterId id;
  id.bytes.fill(n);
  return id;
}

inline Identity Member(std::uint8_t n, std::string address = {}) {
  Identity identity;
  identity.cluster = ClusterOf(1);
  identity.id = NodeOf(n);
  identity.name = "node-" + std::to_string(n);
  identity.address = std::move(address);
  identity.boot = Boot(1);
  return identity;
}

// A DataRequest with a number and bodies.
inline PeerMessage Request(std::uint64_t call, std::vector<std::string> bodies = {}) {
  PeerMessage message;
  message.header.mutable_data_request()->set_call(call);
  for (auto& body : bodies) message.bodies.push_back(std::make_shared<const std::string>(std::move(body)));
  return message;
}

// A Replicate, which never leaves the first lane.
inline PeerMessage Replication(std::uint64_t number, std::vector<std::string> bodies = {}) {
  PeerMessage message = Request(number, std::move(bodies));
  message.header.mutable_replicate()->set_committed(number);
  return message;
}

// Fields that this version of the protocol does not know.
inline google::protobuf::UnknownFieldSet* UnknownFields(google::protobuf::Message* message) {
  return message->GetReflection()->MutableUnknownFields(message);
}

// Waits for what no callback announces.
inline bool Eventually(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// A list to which a hub's threads add while the test reads. What is in it neither moves nor changes, so that a reference to it holds.
template <class T>
class Recorded {
 public:
  void Add(T item) {
    std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
  }
  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }
  bool empty() const { return size() == 0; }
  const T& operator[](std::size_t at) const {
    std::lock_guard lock(mutex_);
    return items_.at(at);
  }
  const T& front() const { return (*this)[0]; }
  const T& back() const {
    std::lock_guard lock(mutex_);
    return items_.at(items_.size() - 1);
  }

 private:
  mutable std::mutex mutex_;
  std::deque<T> items_;
};

class Recorder : public Handler {
 public:
  RefusalInfo Admit(const Identity& peer, const std::string& certificate_name) override {
    std::lock_guard lock(mutex);
    admitted.Add(peer);
    certificate_names.Add(certificate_name);
    changed.notify_all();
    return refuse;
  }
  void OnUp(const Identity& peer) override {
    std::lock_guard lock(mutex);
    ups.Add(peer);
    changed.notify_all();
  }
  void OnDown(const NodeId& peer, const std::string& why) override {
    std::lock_guard lock(mutex);
    downs.Add({peer, why});
    changed.notify_all();
  }
  void OnDialFailed(const std::string& address, const RefusalInfo& why) override {
    std::lock_guard lock(mutex);
    failures.Add({address, why});
    changed.notify_all();
  }
  void OnRefused(const std::string&, const std::string& name, const RefusalInfo& why) override {
    std::lock_guard lock(mutex);
    refused.Add({name, why});
    changed.notify_all();
  }
  void OnMessages(const NodeId& from, std::vector<PeerMessage> messages) override {
    for (PeerMessage& message : messages) OnMessage(from, std::move(message));
  }
  void OnMessage(const NodeId& from, PeerMessage message) {
    std::unique_lock lock(mutex);
    if (on_message) return on_message(from, std::move(message));
    messages.Add({from, std::move(message)});
    changed.notify_all();
  }

  // Waits until the condition holds, looked at under the lock.
  bool Until(const std::function<bool()>& holds, std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, patience, holds);
  }

  std::mutex mutex;
  std::condition_variable changed;
  RefusalInfo refuse;
  Recorded<Identity> admitted;
  Recorded<std::string> certificate_names;
  Recorded<Identity> ups;
  Recorded<std::pair<NodeId, std::string>> downs;
  Recorded<std::pair<std::string, RefusalInfo>> failures;
  Recorded<std::pair<std::string, RefusalInfo>> refused;  // by us, with the name it gave
  Recorded<std::pair<NodeId, PeerMessage>> messages;
  std::function<void(const NodeId&, PeerMessage)> on_message;
};

// A hub with its recorder; listens on a port of the system's choice.
struct Station {
  explicit Station(std::uint8_t n, HubOptions options = {}) : Station(Member(n), std::move(options)) {}
  Station(Identity self, HubOptions options) {
    if (options.listen.empty()) options.listen = "127.0.0.1:0";
    if (options.keyring.empty()) options.keyring = "open sesame";
    hub = Hub::Start(std::move(options), self, &recorder);
  }
  ~Station() {
    if (hub) hub->Stop();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(hub->port()); }

  Recorder recorder;
  std::unique_ptr<Hub> hub;
};

}  // namespace coffer::link
