// When the reads of a stream begin: at once while more has arrived each time, behind the round once each has to be waited for.
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>

#include "proto/link/poller.h"
#include "tests/test_support.h"

namespace coffer::link {
namespace {

using std::chrono::steady_clock;

// A stream whose messages come when the test says so. It reads again whenever it has read, as all do here.
class Stream final : public Poller::Event {
 public:
  explicit Stream(Poller* poller) : poller_(poller) { Read(); }

  // A message arrives, or is there already when the next read begins.
  void Arrive() { outstanding_ ? End() : void(arrived_ = true); }
  void Run(bool) override {
    pace_.Ended();
    ++read_;
    Read();
    begun_at_once_ = outstanding_;
  }

  int read() const { return read_; }
  // Whether the read behind the last message began while that was looked at.
  bool begun_at_once() const { return begun_at_once_; }
  bool outstanding() const { return outstanding_; }

 private:
  void Read() {
    pace_.Start([this] {
      outstanding_ = true;
      if (arrived_) End();
    });
  }
  void End() {
    outstanding_ = arrived_ = false;
    alarm_ = std::make_unique<grpc::Alarm>();
    Poller::Begin(this, [this](void* tag) { alarm_->Set(poller_->queue(), gpr_inf_past(GPR_CLOCK_MONOTONIC), tag); });
  }

  Poller* const poller_;
  Poller::Pace pace_;
  std::unique_ptr<grpc::Alarm> alarm_;
  bool outstanding_ = false;
  bool arrived_ = false;
  bool begun_at_once_ = false;
  int read_ = 0;
};

class Fixture {
 public:
  ~Fixture() {
    poller.Shutdown();
    while (poller.Poll(steady_clock::now())) {
    }
  }
  void PollUntil(int read) {
    while (stream.read() < read) REQUIRE(poller.Poll(steady_clock::now() + std::chrono::seconds(10)));
  }
  // Messages that come one at a time, each when the stream waits for it.
  void OneByOne(int messages) {
    for (int i = 0; i < messages; ++i) {
      if (!stream.outstanding()) REQUIRE(poller.Poll(steady_clock::now()));
      stream.Arrive();
      PollUntil(stream.read() + 1);
    }
  }

  Poller poller{grpc::ServerBuilder().AddCompletionQueue()};
  Stream stream{&poller};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "reads that have had to wait several times begin behind the round, with the next poll") {
  OneByOne(3);
  CHECK(stream.begun_at_once());
  OneByOne(2);
  CHECK_FALSE(stream.begun_at_once());
  CHECK_FALSE(stream.outstanding());
  CHECK(poller.Poll(steady_clock::now()));
  CHECK(stream.outstanding());
}

TEST_CASE_METHOD(Fixture, "what has arrived before such a read begins is read in that poll, and the next read begins at once again") {
  OneByOne(8);
  REQUIRE_FALSE(stream.outstanding());
  stream.Arrive();
  REQUIRE_FALSE(stream.outstanding());
  CHECK(poller.Poll(steady_clock::now() + std::chrono::hours(1)));
  CHECK(stream.read() == 9);
  CHECK(stream.begun_at_once());
}

TEST_CASE_METHOD(Fixture, "a poll that has begun a read goes on to wait for whatever comes first") {
  OneByOne(8);
  const auto began = steady_clock::now();
  CHECK(poller.Poll(began + std::chrono::milliseconds(20)));
  CHECK(steady_clock::now() - began >= std::chrono::milliseconds(15));
}

}  // namespace coffer::link
