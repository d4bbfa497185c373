/// Conditional and range requests: RFC 9110, sections 13 and 14.
#pragma once

#include <coir/net/http_headers.hpp>

#include <cstdint>
#include <ctime>
#include <optional>
#include <string_view>

namespace coir::net::http {

/// What a resource is like at the moment.
struct validators {
  std::string_view etag;  ///< strong, with its quotes
  std::time_t modified;
};

/// The status that the conditions of a GET or HEAD demand: 412, 304, or 200 to go on.
int checked(const http_headers& conditions, const validators& now);

/// A part of a resource: from its byte `begin`, `size` bytes, at least one.
struct byte_range {
  std::uint64_t begin;
  std::uint64_t size;
  bool operator==(const byte_range&) const = default;
};

/// What became of a Range field.
struct range_choice {
  enum class outcome {
    whole,          ///< there is none, or none that is served: several ranges, another unit
    part,           ///< `part` is to be sent, with 206
    unsatisfiable,  ///< it lies behind the end: 416
  } what;
  byte_range part{};
};

/// The part of a resource of `size` bytes that the Range field asks for, unless If-Range says that
/// it has changed since.
range_choice chosen_range(const http_headers& asked, std::uint64_t size, const validators& now);

/// The same for the value of a Range field alone.
range_choice parsed_range(std::string_view value, std::uint64_t size) noexcept;

}  // namespace coir::net::http
