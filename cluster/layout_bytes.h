// A layout message as bytes. One meaning has one encoding, wherever the message was put together: agreement compares bytes.
#pragma once

#include <string>

#include "cluster/message.h"
#include "coffer/internal/v1/layout.pb.h"

namespace coffer::cluster {

std::string LayoutBytes(const wire::Layout& message);

}  // namespace coffer::cluster
