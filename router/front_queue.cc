#include "router/front_queue.h"

#include <grpc/grpc.h>

namespace coffer::router {

int SharedQueue::AddPortToServer(const std::string&, grpc_server* server) {
  grpc_server_register_completion_queue(server, poller_->queue()->cq(), nullptr);
  return 1;  // 0 would mean that the port can't be had
}

}  // namespace coffer::router
