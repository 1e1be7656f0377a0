// The JSON form of API messages: field names as in the protos, all fields present.
#pragma once

#include <string>

namespace google::protobuf {
class Message;
}

namespace coffer::command {

// On one line.
std::string Json(const google::protobuf::Message& message);

}  // namespace coffer::command
