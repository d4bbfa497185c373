/// The head of a request, whichever version of HTTP it came by: what is kept of it, and the checks
/// that are the same for all.
#pragma once

#include <coir/net/http_options.hpp>
#include <coir/net/http_request.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace coir::net::http {

/// Fills in one request. Calls that return a status return the answer that the request deserves, or
/// 0 when nothing is wrong so far.
class request_head {
 public:
  /// `into` gets the head. Keeps references to both.
  request_head(http_request& into, const http_options& limits) noexcept
      : request_(into), limits_(limits) {}

  /// 10, 11 or 20.
  void set_version(int version) noexcept { request_.version_ = version; }
  void set_method(std::string_view method) { request_.method_ = method; }
  int set_target(std::string_view target);
  /// To be called for each field, trailers too, be they kept or not.
  int count_field() noexcept { return ++fields_ > limits_.header_fields_max ? 431 : 0; }
  /// Keeps a field whose name and value have been checked.
  void add(std::string_view name, std::string_view value);
  /// Keeps this in the place of all fields of that name.
  void replace(std::string_view name, std::string_view value) {
    request_.headers_.set(name, value);
  }
  /// All of the head is there. `length`: of the body, when the client said it.
  int finish(bool has_body, std::optional<std::uint64_t> length);

 private:
  int take_host();
  int take_target();

  http_request& request_;
  const http_options& limits_;
  std::size_t fields_ = 0;
  std::size_t hosts_ = 0;
};

}  // namespace coir::net::http
