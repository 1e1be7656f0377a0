// Whole numbers on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <string>

namespace coffer::command {

// For an option that takes a number, `least` or more. By itself CLI11 reads "-5" as nearly 2^64, cuts what is larger than that down to it,
// and takes "010" for eight.
inline CLI::Validator WholeNumber(std::uint64_t least = 0) {
  return {[least](std::string& text) -> std::string {
            std::uint64_t number = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
            if (error == std::errc::result_out_of_range) return "\"" + text + "\" is too large";
            if (error != std::errc() || end != text.data() + text.size() || number < least)
              return "\"" + text + "\" is not a whole number of " + std::to_string(least) + " or more";
            text = std::to_string(number);
            return {};
          },
          ""};
}

}  // namespace coffer::command
