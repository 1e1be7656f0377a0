#include "router/core/methods.h"

#include <utility>

namespace coffer::router {
namespace {

using Parser = std::optional<Request> (*)(std::string_view);

template <std::size_t I>
std::optional<Request> ParseAs(std::string_view bytes) {
  Request request(std::in_place_index<I>);
  if (!std::get<I>(request).ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  return request;
}

template <std::size_t... I>
constexpr std::array<Parser, sizeof...(I)> Parsers(std::index_sequence<I...>) {
  return {&ParseAs<I>...};
}

constexpr auto kParsers = Parsers(std::make_index_sequence<kMethodNames.size()>());

}  // namespace

std::optional<Method> FindMethod(std::string_view name) {
  if (!name.empty() && name.front() == '/') name.remove_prefix(1);
  for (std::size_t i = 0; i < kMethodNames.size(); ++i) {
    if (kMethodNames[i] == name) return static_cast<Method>(i);
  }
  return std::nullopt;
}

std::optional<Request> ParseRequest(Method method, RequestBytes bytes) {
  auto request = kParsers[static_cast<std::size_t>(method)](bytes.bytes);
  if (!request || !bytes.value) return request;
  auto* const put = std::get_if<v1::PutRequest>(&*request);
  if (put == nullptr) return std::nullopt;
  put->set_data(std::move(*bytes.value));
  return request;
}

}  // namespace coffer::router
