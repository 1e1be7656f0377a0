// The codes of the status and the reasons of errors, each with what it means and what to do: what `coffer explain` prints.
// docs/codes.md is the same list for readers; a test holds the two together.
#pragma once

#include <span>
#include <string_view>

namespace coffer::router {

struct CodeText {
  std::string_view code;
  std::string_view meaning;  // what happened, and what is safe
  std::string_view action;   // what to do
};

// Status.code, the most urgent first.
std::span<const CodeText> StatusCodes();
// ErrorInfo.reason of routers and nodes, alphabetical.
std::span<const CodeText> ErrorReasons();
// Null if there is no such code or reason.
const CodeText* Explain(std::string_view code);

}  // namespace coffer::router
