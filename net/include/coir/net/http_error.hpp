/// How HTTP handlers say that a request cannot be served.
#pragma once

#include <coir/export.hpp>

#include <stdexcept>
#include <string>
#include <string_view>

namespace coir::net {

/// Thrown by a handler, or by what it calls: the request is answered with `status`, and what() as
/// a line of plain text.
class COIR_API http_error : public std::runtime_error {
 public:
  /// `status` from 400 to 599; an empty message stands for the usual words of the status.
  explicit http_error(int status, const std::string& message = {});
  /// The status of the answer.
  int status() const noexcept { return status_; }

 private:
  int status_;
};

/// The usual words of a status: "Not Found" for 404; empty for a number that has none. Any thread;
/// never parks.
COIR_API std::string_view http_reason(int status) noexcept;

}  // namespace coir::net
