/// One stream of HTTP/2: a request and its answer, between the handler and nghttp2.
///
/// Made when a request's head begins to come, and run by a fiber of its own once that is complete.
/// Everything happens on the connection's worker. What nghttp2 tells and asks comes from its
/// callbacks, and never parks; the handler's fiber parks until such a call has moved something.
/// Bodies of both directions are bounded: what has come and was not read yet by the window that the
/// client was given, and what is to go by joined_bytes_max and the one buffer that a handler waits
/// with. Once the stream is closed, by either side, every call of the handler fails.
#pragma once

#include "net/http/request_head.hpp"
#include "net/http/served_connection.hpp"
#include "net/http/server_exchange.hpp"

#include <coir/event.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct nghttp2_session;

namespace coir::net::http {

class http2_exchange;

/// A connection, as its streams see it.
struct http2_line {
  nghttp2_session* session = nullptr;
  coir::event to_send;                     ///< set: the sender is to look at the session
  std::vector<http2_exchange*> exchanges;  ///< that have fibers
  coir::detail::deadline idle_since = 0;   ///< since when there is none
};

class http2_exchange final : public server_exchange {
 public:
  /// Of the stream of that number, which gets this as its user data. Keeps references to `line` and
  /// what `with` refers to.
  http2_exchange(http2_line& line, std::int32_t stream, const address& peer, const service& with);
  /// Leaves the stream, and resets it if it is not done.
  ~http2_exchange() override;

  std::int32_t stream_id() const noexcept { return id_; }

  // What has come from the client.
  void add_field(std::string_view name, std::string_view value);
  void end_head(bool has_body);
  void add_body(std::string_view bytes);
  void end_body() noexcept;
  /// The stream is closed.
  void end() noexcept;

  /// How much of the answer's body may go now, up to `bytes_max`; `is_end` says if that is the rest
  /// of it. 0, and not the end: none is there.
  std::size_t offer(std::size_t bytes_max, bool& is_end) noexcept;
  /// Moves the next `count` bytes behind `out`. False when they are not there any more.
  bool take(std::size_t count, std::string& out);

  /// The life of its fiber: answers the request. Throws fiber_exit only.
  void run();

 private:
  std::size_t read_body(mutable_buffer into) override;
  stream& upgrade() override;
  void send_head(std::optional<std::uint64_t> length) override;
  void send_part(const_buffer part) override;
  void send_end() override;

  void note(int status) noexcept;
  void add_pseudo_field(std::string_view name, std::string_view value);
  void answer_request();
  void join_cookies();
  std::size_t take_received(mutable_buffer into);
  void continue_once();
  void go_on();
  void await_taken();
  void expect_open();
  std::size_t unsent() const noexcept { return kept_.size() - kept_taken_ + lent_.size(); }
  std::string_view unread() const noexcept {
    return std::string_view(received_).substr(received_taken_);
  }

  http2_line& line_;
  const std::int32_t id_;
  request_head head_;
  std::size_t head_bytes_ = 0;
  int status_ = 0;  ///< the answer that the head, or the body, deserves; 0: the handler's

  std::string received_;  ///< of the request's body
  std::size_t received_taken_ = 0;
  coir::event readable_;  ///< there is more of the body, or its end, or the stream's

  std::string kept_;  ///< short parts of the answer, copied; they go first
  std::size_t kept_taken_ = 0;
  const_buffer lent_{nullptr, 0};  ///< the part that a handler waits with
  coir::event taken_;              ///< some of the answer went, or the stream is closed

  bool is_body_complete_ = false;  ///< of the request
  bool must_continue_ = false;     ///< the client waits for a 100
  bool has_data_ = false;          ///< the answer goes on behind its head
  bool is_ended_ = false;          ///< nothing comes behind kept_ and lent_
  bool is_all_taken_ = false;      ///< nghttp2 has the end of the answer, too
  bool is_slow_ = false;           ///< the client did not take the answer in time
  bool is_closed_ = false;
};

}  // namespace coir::net::http
