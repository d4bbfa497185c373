/// What the head of an HTTP answer must say.
#pragma once

#include "bench/load_tools.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>
#include <string_view>

namespace bench {

/// Ends the process unless `head`, without its empty line, is that of a success whose body has
/// `body_bytes`; with `is_kept`, also when the server wants to close the connection behind it.
inline void check_answer_head(std::string_view head, std::size_t body_bytes, bool is_kept) {
  if (!head.starts_with("HTTP/1.1 200 OK\r\n")) fail("the status of an answer is not 200");
  std::string lower(head);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  constexpr std::string_view name = "\r\ncontent-length: ";
  const std::size_t place = lower.find(name);
  if (place == std::string::npos) fail("an answer does not tell its length");
  std::size_t length = 0;
  std::from_chars(&lower[place + name.size()], lower.data() + lower.size(), length);
  if (length != body_bytes) fail("an answer is not as long as it is to be");
  if (is_kept && lower.find("\r\nconnection: close") != std::string::npos) {
    fail("the server does not keep its connections");
  }
}

}  // namespace bench
