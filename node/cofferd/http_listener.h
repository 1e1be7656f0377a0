// A very small HTTP server for operators' pages: GET of a few paths, one answer per connection. Not for the public.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace coffer::server {

struct HttpResponse {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Thread-safe. Bounds: 32 connections, 8 KiB of request, 5 s per connection; a body is refused.
class HttpListener {
 public:
  // Called on the listener's thread, one at a time; may take a second or two.
  using Page = std::function<HttpResponse()>;

  // Binds and serves. Throws std::runtime_error with a message for the operator.
  static std::unique_ptr<HttpListener> Start(const std::string& listen, std::map<std::string, Page> pages);
  virtual ~HttpListener() = default;  // stops
  virtual int port() const = 0;
};

// What to answer to the head of a request; exposed for tests and fuzzing.
HttpResponse AnswerTo(const std::string& head, const std::map<std::string, HttpListener::Page>& pages);

}  // namespace coffer::server
