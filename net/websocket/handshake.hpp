/// The opening handshake of RFC 6455, section 4, on both sides.
#pragma once

#include <coir/net/http_headers.hpp>
#include <coir/net/web_socket.hpp>

#include "net/websocket/deflate.hpp"

#include <string>
#include <string_view>
#include <system_error>

namespace coir::net::websocket {

/// What both sides have agreed on.
struct agreement {
  std::string subprotocol;
  bool compresses = false;
  int window_bits = window_bits_max;  ///< that the peer keeps for what it gets
};

/// Where a client goes to.
struct target {
  std::string host;     ///< for the resolver: without brackets
  std::string port;     ///< a number
  std::string address;  ///< for the Host field
  std::string path;     ///< with its query
  bool is_secure = false;
};

/// Takes "ws://host:port/path?query" apart. Throws std::invalid_argument.
target parse_url(std::string_view url);

/// A server's part: checks the request, and fills the fields of the answer. Throws http_error.
agreement answer_handshake(const http_request& request, http_headers& answer,
                           const web_socket_options& how);

/// A client's request, with a key of its own.
struct client_handshake {
  std::string key;
  std::string request;
};
client_handshake make_request(const target& to, const web_socket_options& how);

/// Checks the head of a server's answer, up to the empty line. What is wrong is `ec`, and `why`
/// has words for it.
agreement check_answer(std::string_view head, const client_handshake& sent,
                       const web_socket_options& how, std::error_code& ec, std::string& why);

/// `count` bytes of the kernel's random numbers.
std::string random_bytes(std::size_t count);

}  // namespace coir::net::websocket
