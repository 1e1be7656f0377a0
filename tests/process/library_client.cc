// library_client ROUTER... : a client of our library for the tests of processes, which are written in Python. One JSON
// object per line on standard input for each operation, one on standard output when it has ended, in whatever order
// they end:
//   {"number": N, "do": "put"|"get"|"has"|"delete"|"head"|"append"|"read"|"remove", "id": HEX, "timeout": SECONDS,
//   "data": HEX, "position": P, "predecessor": HEX}
//   {"number": N, "code": C, ...} with what was asked for, or "reason", "message" and "unknown": whether it may have
//   happened all the same
// Bytes are in hexadecimal. Ends with its input.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "proto/mutex.h"

namespace coffer {
namespace {

using Json = nlohmann::json;

std::string Bytes(const Json& hex) {
  return FromHex(hex.get<std::string>()).value();
}

class Answers {
 public:
  template <class T>
  client::Callback<T> To(const Json& asked, void (*fill)(const T&, Json*)) {
    return [this, fill, number = asked.at("number")](client::Result<T> result) {
      Json answer{{"number", number}, {"code", static_cast<int>(result.status.code)}};
      if (result.status.ok()) {
        fill(result.value, &answer);
      } else {
        answer["reason"] = result.status.reason;
        answer["message"] = result.status.message;
        answer["unknown"] = result.status.retry_class == client::RetryClass::kOutcomeUnknown;
      }
      MutexLock lock(mutex_);
      std::cout << answer.dump() << std::endl;
    };
  }

 private:
  Mutex mutex_;  // one line at a time
};

template <class T>
void Nothing(const T&, Json*) {}

void Start(client::Client& client, const Json& asked, Answers& answers) {
  const std::string what = asked.at("do");
  const BlockId id = BlockId::Must(Bytes(asked.at("id")));
  client::CallOptions options;
  options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(asked.at("timeout").get<double>() * 1000));
  if (what == "put") {
    client.Put(id, Bytes(asked.at("data")), options, answers.To<client::PutResult>(asked, Nothing));
  } else if (what == "get") {
    client.Get(id, options, answers.To<client::GetResult>(asked, [](const auto& got, Json* out) {
      (*out)["data"] = Hex(got.data);
    }));
  } else if (what == "has") {
    client.Has({id}, options, answers.To<std::vector<bool>>(asked, [](const auto& present, Json* out) {
      (*out)["present"] = bool(present.at(0));
    }));
  } else if (what == "delete") {
    client.Delete(id, options, answers.To<client::Done>(asked, Nothing));
  } else if (what == "head") {
    client.Heads({id}, options, answers.To<std::vector<client::Head>>(asked, [](const auto& heads, Json* out) {
      (*out)["length"] = heads.at(0).length;
      (*out)["hash"] = Hex(heads.at(0).hash.view());
    }));
  } else if (what == "append") {
    client.Append(id, asked.at("position"), Digest::Must(Bytes(asked.at("predecessor"))),
                  {{Bytes(asked.at("data")), ""}}, options, answers.To<client::AppendResult>(asked, Nothing));
  } else if (what == "read") {
    client.Read(id, client::Part::Range(0), options,
                answers.To<client::ReadResult>(asked, [](const auto& read, Json* out) {
                  Json& entries = (*out)["entries"] = Json::array();
                  for (const client::Entry& e : read.entries) {
                    entries.push_back({e.position, Hex(e.body), Hex(e.hash.view()), Hex(e.predecessor.view())});
                  }
                }));
  } else if (what == "remove") {
    client.DeleteChain(id, options, answers.To<client::Done>(asked, Nothing));
  } else {
    throw std::invalid_argument("no operation: " + what);
  }
}

int Run(std::vector<std::string> routers) {
  Answers answers;
  const auto client = client::Client::Connect({.routers = std::move(routers)});
  for (std::string line; std::getline(std::cin, line);) Start(*client, Json::parse(line), answers);
  return 0;
}

}  // namespace
}  // namespace coffer

int main(int argc, char** argv) {
  return coffer::Run(std::vector<std::string>(argv + 1, argv + argc));
}
