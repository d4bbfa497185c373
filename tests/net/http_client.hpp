/// The simplest client that shows all of an answer.
#pragma once

#include <coir/net/tcp_stream.hpp>

#include <chrono>
#include <string>

namespace coir::net::test {

/// An answer, taken apart no further than the tests need.
struct plain_answer {
  int status = 0;
  std::string head;  ///< with the status line
  std::string body;  ///< as it came, chunks and all

  /// The value of the field of that name; empty when there is none.
  std::string field(const std::string& name) const {
    const std::size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const std::size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

/// Sends one request on a connection of its own: `fields` are lines with their ends.
inline plain_answer ask(const address& server, const std::string& method, const std::string& target,
                        const std::string& fields = {}) {
  tcp_stream client = tcp_stream::connect(server);
  client.expires_after(std::chrono::seconds(20));
  client.write_all(method + " " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" +
                   fields + "\r\n");
  std::string all;
  char buffer[4096];
  while (const std::size_t count = client.read_some(buffer)) all.append(buffer, count);
  const std::size_t end = all.find("\r\n\r\n");
  if (end == std::string::npos) return {0, all, {}};
  return {std::stoi(all.substr(9, 3)), all.substr(0, end + 2), all.substr(end + 4)};
}

}  // namespace coir::net::test
