/// What the command lines of the examples have in common: options that are numbers, and errors
/// that become an exit status.
#pragma once

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace example {

/// A command line that makes no sense; what() says why.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The whole number in `text`, which must lie between `low` and `high`. `option` is its name in the
/// usage_error that is thrown otherwise.
inline long number(std::string_view option, std::string_view text, long low, long high) {
  long value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high) {
    throw usage_error(std::string(option) + " must be a number from " + std::to_string(low) +
                      " to " + std::to_string(high) + ", not '" + std::string(text) + "'");
  }
  return value;
}

/// The time in `text`, seconds with a fraction ("2.5"), of at most a day. `option` is its name in
/// the usage_error that is thrown otherwise.
inline std::chrono::milliseconds seconds(std::string_view option, std::string_view text) {
  constexpr double longest = 86400;
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !(value >= 0) || value > longest) {
    throw usage_error(std::string(option) + " must be a time in seconds, not '" +
                      std::string(text) + "'");
  }
  return std::chrono::milliseconds(std::llround(value * 1000));
}

/// Prints the usage for --help; returns the exit status.
inline int show_help(const char* usage) { return std::fputs(usage, stdout) < 0 ? 1 : 0; }

/// Calls `body()`, the program proper, which returns the exit status. An exception becomes a line
/// on stderr and status 1; a usage_error also shows the usage and is status 2.
template <class Body>
int run_main(const char* program, const char* usage, Body body) {
  try {
    return body();
  } catch (const usage_error& error) {
    if (*error.what() != '\0') std::fprintf(stderr, "%s: %s\n", program, error.what());
    std::fputs(usage, stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

}  // namespace example
