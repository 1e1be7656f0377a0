// What the fake storage nodes of a RouterWorld hold, and how it answers a request.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/message.h"
#include "coffer/internal/v1/data.pb.h"
#include "coffer/v1/chains.pb.h"

namespace coffer::router {

// What a chunk, chain or zone store of a whole cluster holds; all nodes of a group share it (replication is not tested here).
struct Truth {
  std::map<std::pair<std::string, std::string>, std::string> chunks;                 // (zone id, id) -> bytes
  std::set<std::pair<std::string, std::string>> deleted_chunks;
  std::map<std::pair<std::string, std::string>, std::vector<v1::Entry>> chains;
  std::set<std::pair<std::string, std::string>> deleted_chains;
  std::map<std::string, wire::ZoneRecord> zones;                             // by name
  bool packs = false;      // entries go packed to who asked for it; else one body each, as nodes did that know nothing of packing
  bool unsettled = false;  // chunks are there, but not known to be committed
  std::set<std::string> deleted_zones;                                               // ids
};

// Carries a request out; what the answer has beside it is put into `out`. A page of a chain has three entries at most, so that
// paging is met.
wire::DataResponse Execute(Truth& truth, const wire::DataRequest& request, const std::vector<Payload>& in,
                                   std::vector<Payload>* out);

}  // namespace coffer::router
