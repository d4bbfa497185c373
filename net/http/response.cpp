#include "net/http/server_exchange.hpp"

#include <coir/net/http_response.hpp>

#include <stdexcept>
#include <string>

namespace coir::net {

void http_response::set_status(int status) {
  if (status < 200 || status > 599) {
    throw std::invalid_argument("the status of an answer is from 200 to 599, not " +
                                std::to_string(status));
  }
  if (has_begun_) throw std::logic_error("the status of this answer is on its way already");
  status_ = status;
}

void http_response::send(const_buffer body) { exchange_->send(body); }

void http_response::send(std::string_view content_type, const_buffer body) {
  headers_.set("Content-Type", content_type);
  exchange_->send(body);
}

void http_response::write(const_buffer part) { exchange_->write(part); }

stream& http_response::upgrade() { return exchange_->upgrade(); }

}  // namespace coir::net
