#include "net/http/server_exchange.hpp"

#include <coir/net/http_error.hpp>
#include <coir/net/http_request.hpp>

namespace coir::net {

std::optional<std::string> http_request::query_value(std::string_view name) const {
  auto values = query_values(query_);
  if (!values) throw http_error(400, "the query is not encoded rightly");
  for (auto& [each, value] : *values) {
    if (each == name) return std::move(value);
  }
  return std::nullopt;
}

std::string_view http_request::path_value(std::string_view name) const noexcept {
  for (const auto& [each, value] : path_values_) {
    if (each == name) return value;
  }
  return {};
}

std::size_t http_request::read_some(mutable_buffer into) { return exchange_->read_body(into); }

std::string http_request::read_body() {
  constexpr std::size_t step = 16 * 1024;
  std::string body;
  for (;;) {
    const std::size_t size = body.size();
    body.resize(size + step);
    const std::size_t count = read_some({body.data() + size, step});
    body.resize(size + count);
    if (count == 0) return body;
  }
}

}  // namespace coir::net
