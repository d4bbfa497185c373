/// As much of HTTP/1.1 as an example server needs: requests without bodies, answers of text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace example {

/// The head of a request.
struct http_request {
  std::string_view method;
  std::string_view path;
  bool is_kept = true;    ///< the connection stays open after the answer
  std::size_t bytes = 0;  ///< how long the request is
};

/// What cannot be answered as asked: the status line's number and words.
struct http_error {
  const char* status;
};

/// Longer heads are refused.
constexpr std::size_t http_head_bytes_max = 8192;

/// The request that `bytes` begin with; nothing while a part of it is still to come. The views lie
/// in `bytes`. Throws http_error when it is none, is too long, or brings a body.
std::optional<http_request> take_request(std::string_view bytes);

/// Appends an answer to `out`, so that the answers of several requests can be sent at once.
/// `headers` are further lines, each with its CRLF.
void append_answer(std::string& out, const char* status, std::string_view headers,
                   std::string_view body);

}  // namespace example
