#include <coir/net/http_error.hpp>

#include <ostream>  // which Boost's header uses and does not include

#include <boost/beast/http/status.hpp>

namespace coir::net {

namespace beast_http = boost::beast::http;

std::string_view http_reason(int status) noexcept {
  const auto known = beast_http::int_to_status(status < 0 ? 0u : static_cast<unsigned>(status));
  if (known == beast_http::status::unknown) return {};
  const auto words = beast_http::obsolete_reason(known);
  return {words.data(), words.size()};
}

http_error::http_error(int status, const std::string& message)
    : std::runtime_error(message.empty() ? std::string(http_reason(status)) : message),
      status_(status) {
  if (status < 400 || status > 599) {
    throw std::invalid_argument("the status of an http_error is from 400 to 599, not " +
                                std::to_string(status));
  }
}

}  // namespace coir::net
