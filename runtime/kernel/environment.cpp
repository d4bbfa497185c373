#include "runtime/kernel/environment.hpp"

#include "runtime/kernel/report.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace coir::kernel {
namespace {

/// False when the text is anything but a number.
bool read(const char* text, std::uint64_t& number) noexcept {
  const char* const end = text + std::strlen(text);
  const auto [stopped, error] = std::from_chars(text, end, number);
  return error == std::errc() && stopped == end;
}

}  // namespace

const char* text_said(const char* variable) noexcept {
  const char* const text = std::getenv(variable);
  return text && *text ? text : nullptr;
}

std::uint64_t number_said(const char* variable, std::uint64_t least, std::uint64_t most,
                          std::uint64_t otherwise) noexcept {
  const char* const text = text_said(variable);
  if (!text) return otherwise;
  std::uint64_t number = 0;
  if (read(text, number) && number >= least && number <= most) return number;
  report("%s=%s is no number from %llu to %llu; using %llu", variable, text,
         static_cast<unsigned long long>(least), static_cast<unsigned long long>(most),
         static_cast<unsigned long long>(otherwise));
  return otherwise;
}

}  // namespace coir::kernel
