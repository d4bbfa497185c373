/// WebSocket connections (RFC 6455), of servers and of clients.
#pragma once

#include <coir/export.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>
#include <coir/net/http_headers.hpp>
#include <coir/net/stream.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace coir::net {

class http_request;
class http_response;

/// Why a WebSocket connection failed.
enum class web_socket_errc {
  refused = 1,     ///< the server answered the handshake with another status than 101
  bad_handshake,   ///< the server's answer to the handshake is wrong
  protocol_error,  ///< the peer broke the protocol; it was told so with code 1002
  bad_text,        ///< the peer sent text that is not UTF-8; it was told so with code 1007
  too_big,         ///< the peer's message is longer than is allowed; it was told so with code 1009
  vanished,        ///< the peer ended the connection without saying so, or answers no pings
  closing,         ///< close() was called, or the peer has closed: nothing more can be written
  broken,          ///< a message was cut off by an error or a kill: nothing more can be written
};

/// The category of web_socket_errc. Any thread; never parks.
COIR_API const std::error_category& web_socket_category() noexcept;
/// Makes a code of web_socket_errc; found by std::error_code's constructor. Any thread; never
/// parks.
COIR_API std::error_code make_error_code(web_socket_errc e) noexcept;

/// A code that a close carries. The numbers are those of RFC 6455, section 7.4; from 3000 to 4999
/// they are the program's own.
namespace close_code {
inline constexpr std::uint16_t normal = 1000;            ///< done
inline constexpr std::uint16_t going_away = 1001;        ///< the server stops, the page is left
inline constexpr std::uint16_t protocol_error = 1002;    ///< the peer broke the protocol
inline constexpr std::uint16_t unsupported_data = 1003;  ///< text expected and not binary, say
inline constexpr std::uint16_t none = 1005;              ///< never sent: the close had no code
inline constexpr std::uint16_t abnormal = 1006;          ///< never sent: there was no close
inline constexpr std::uint16_t bad_text = 1007;          ///< text that is not UTF-8
inline constexpr std::uint16_t policy = 1008;            ///< refused for another reason
inline constexpr std::uint16_t too_big = 1009;           ///< a message that is too long
inline constexpr std::uint16_t internal_error = 1011;    ///< the server failed
}  // namespace close_code

/// How a web_socket behaves.
struct web_socket_options {
  /// Of a message that is read, after it has been unpacked; longer: web_socket_errc::too_big.
  std::size_t message_bytes_max = 1024 * 1024;
  /// How long the peer may be silent while a fiber is in read(); then the connection has failed.
  /// Zero: for ever.
  std::chrono::milliseconds idle_timeout{std::chrono::seconds(60)};
  /// Whether a peer that was silent for half of idle_timeout is sent a ping, which a live one
  /// answers.
  bool keeps_alive = true;
  /// How long a write may take that has no deadline of its own (writes_expire_after).
  std::chrono::milliseconds write_timeout{std::chrono::seconds(60)};
  /// How long close() waits for the peer's answer.
  std::chrono::milliseconds close_timeout{std::chrono::seconds(5)};

  /// Server: those it speaks, best first; client: those it offers. web_socket::subprotocol() tells
  /// which of them it became.
  std::vector<std::string> subprotocols{};
  /// Whether to agree on compression (permessage-deflate, without memory between messages).
  bool compresses = false;
  /// Messages shorter than that are sent as they are.
  std::size_t compressed_bytes_min = 256;

  /// Server: gets the Origin of the request, empty when it has none; false refuses it with 403. A
  /// browser lets any page connect to any server, with the user's cookies: where those matter,
  /// check it. Empty: all are accepted.
  std::function<bool(std::string_view origin)> accepts_origin{};
  /// Client: more fields of its request: Origin, Cookie, Authorization.
  http_headers headers{};
  /// Client: how long to connect and shake hands.
  std::chrono::milliseconds handshake_timeout{std::chrono::seconds(30)};
};

/// A WebSocket connection. In a handler of an http_server:
///
///     net::web_socket ws = net::web_socket::accept(request, answer);
///     while (const auto message = ws.read()) ws.write_text("got " + message->data);
///
/// and as a client:
///
///     net::web_socket ws = net::web_socket::connect("ws://127.0.0.1:8000/chat");
///
/// One fiber may be in read() while others write and close; writers are served one after another,
/// each message whole. All of them belong to one worker. Pings of the peer are answered, and a
/// close of the peer is too, by the fiber in read() or, while a message is on its way, right behind
/// that: so somebody should read. Neither a deadline nor a kill in read() harms the connection; a
/// later read() goes on where it was. In the middle of a message's write they end it: later writes
/// fail with web_socket_errc::broken.
///
/// Who closes from elsewhere (a server that stops) must see to it that the object outlives close():
/// the reader's read() returns before that does.
///
/// Deadlines are those of expiry: read() keeps to the read deadline, write and ping to the write
/// deadline. All calls that park throw fiber_exit when the fiber is killed. An object that was
/// moved from is empty: calls fail with std::errc::bad_file_descriptor. Moving and destroying must
/// wait until no fiber is in it.
class COIR_API web_socket : public expiry {
 public:
  /// What the peer sent.
  struct message {
    std::string data;  ///< of a text: checked to be UTF-8
    bool is_text;      ///< else binary
  };

  /// Empty.
  web_socket() noexcept;
  /// Takes over; the other is empty then.
  web_socket(web_socket&& other) noexcept;
  web_socket& operator=(web_socket&& other) noexcept;
  /// Closes the connection; without close() the peer takes that for a failure (1006). Never parks.
  ~web_socket();

  /// Answers the request of a handler with 101 and takes its connection, until the handler returns:
  /// the object must end before. Throws http_error for a request that is none for a WebSocket: 400,
  /// 426, or 403 by options::accepts_origin; what http_response::upgrade throws. Parks.
  static web_socket accept(const http_request& request, http_response& answer,
                           const web_socket_options& how = {});

  /// Connects to "ws://HOST[:PORT][/PATH][?QUERY]" and shakes hands; parks. "wss" goes over TLS,
  /// with the system's certificates: for others there is the constructor below, over a TLS stream.
  /// Throws std::invalid_argument for another text, and std::system_error: what
  /// tcp_stream::connect, or tls_stream::connect, does, web_socket_errc::refused and bad_handshake,
  /// std::errc::timed_out.
  static web_socket connect(std::string_view url, const web_socket_options& how = {});
  /// Its twin; empty when `ec` is set.
  static web_socket connect(std::string_view url, const web_socket_options& how,
                            std::error_code& ec);
  /// A client over a connection that is there: shakes hands for `url`, whose scheme and address
  /// only go into the request. Parks. Throws as connect; the connection is closed then.
  web_socket(std::unique_ptr<stream> connection, std::string_view url,
             const web_socket_options& how = {});

  /// The next message; parks until it is there. Nothing when the peer has closed the connection,
  /// or close() did: see peer_code(). Throws std::system_error: web_socket_errc;
  /// std::errc::timed_out at the read deadline; std::errc::operation_in_progress when another fiber
  /// is in read(); errors of the connection. Those that are not about the deadline or the other
  /// fiber end it.
  std::optional<message> read();
  /// Its twin.
  std::optional<message> read(std::error_code& ec);

  /// Sends a text, which must be UTF-8 (std::invalid_argument, or std::errc::invalid_argument);
  /// parks while the peer is slow. Throws std::system_error: web_socket_errc::closing and broken,
  /// std::errc::timed_out, errors of the connection.
  void write_text(std::string_view text);
  void write_text(std::string_view text, std::error_code& ec);
  /// Sends bytes; else the same.
  void write_binary(const_buffer bytes);
  void write_binary(const_buffer bytes, std::error_code& ec);
  /// Sends a ping of at most 125 bytes, which the peer answers; else as write. What it answers only
  /// shows by last_pong().
  void ping(std::string_view payload = {});
  void ping(std::string_view payload, std::error_code& ec);
  /// Sends a pong nobody asked for: a sign of life. As ping.
  void pong(std::string_view payload = {});
  void pong(std::string_view payload, std::error_code& ec);

  /// Tells the peer that this end is done and why, waits for its answer, and closes the connection.
  /// Messages of the peer that come meanwhile are dropped, or go to the fiber in read(), whose next
  /// result is nothing. Parks, for no longer than close_timeout. True when the peer answered, or
  /// had closed before; false when it did not, or the connection failed. `code` as in close_code,
  /// but not none or abnormal, and `reason` of at most 123 bytes of UTF-8: std::invalid_argument.
  bool close(std::uint16_t code = close_code::normal, std::string_view reason = {});

  /// True until the connection has ended, in whatever way. Never parks, nor do those below.
  bool is_open() const noexcept;
  /// The code of the peer's close: close_code::none when it gave none, close_code::abnormal when
  /// there was no close (yet).
  std::uint16_t peer_code() const noexcept;
  /// The reason of the peer's close.
  const std::string& peer_reason() const noexcept;
  /// What was agreed on; empty: nothing.
  const std::string& subprotocol() const noexcept;
  /// True when both sides compress.
  bool is_compressed() const noexcept;
  /// The payload of the last pong that read() has met; empty before.
  const std::string& last_pong() const noexcept;
  /// The connection below, for its addresses and options; nobody else may read or write it. The
  /// object must not be empty.
  const stream& connection() const noexcept;

 private:
  class core;
  explicit web_socket(std::unique_ptr<core> open) noexcept;

  std::unique_ptr<core> core_;
};

}  // namespace coir::net

template <>
struct std::is_error_code_enum<coir::net::web_socket_errc> : std::true_type {};
