/// What an HTTP client was told, for itself and for the requests that are under way.
#pragma once

#include "net/http/answer_reader.hpp"

#include <coir/net/http_client.hpp>

#include <utility>

namespace coir::net::http {

struct client_settings {
  explicit client_settings(http_client::options how)
      : options(std::move(how)), head_limits{options.header_bytes_max, options.header_fields_max} {}

  const http_client::options options;
  const answer_reader::limits head_limits;
};

}  // namespace coir::net::http
