/// One request and its answer, as a handler has them: what request and response stand on.
///
/// Here is what all versions of HTTP have in common: which answers are allowed, how long their
/// bodies are, what becomes of what a handler throws, and the log. How heads and bodies come and go
/// is for those who derive from it: server_connection speaks HTTP/1, http2_exchange HTTP/2.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/net/http_options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace coir::net::http {

/// A body that fits goes out with its head, copied: one system call and one buffer are cheaper.
inline constexpr std::size_t joined_bytes_max = 16 * 1024;

class server_exchange {
 public:
  server_exchange(const server_exchange&) = delete;
  server_exchange& operator=(const server_exchange&) = delete;

  // What request and response stand on; each does what the public function of that name says.
  virtual std::size_t read_body(mutable_buffer into) = 0;
  void send(const_buffer body);
  void write(const_buffer part);
  virtual stream& upgrade() = 0;

 protected:
  /// How the client knows where the body of the answer ends.
  enum class framing {
    none,    ///< there is none: HEAD, 204, 304
    length,  ///< Content-Length; body_left_ bytes are to come
    parts,   ///< as the version has it for bodies of unknown length
  };

  /// Keeps references to all of these.
  server_exchange(const address& peer, const http_handler& handler, const http_options& options);
  virtual ~server_exchange() = default;

  /// Makes request and answer empty again, for the next ones.
  void reset() noexcept;
  /// Lets the handler answer; what it throws becomes the answer.
  void call_handler();
  /// Answers with a line of text; keeps other fields that the handler has set.
  void answer(int status, std::string_view text);
  /// Does what the handler left undone.
  void complete();
  /// Tells the access log of this exchange.
  void log() const;

  /// Sends the head of an answer of status 101, which is all of it.
  void begin_upgrade();
  /// What a body may take until more of it has come; see http_options::body_timeout.
  std::chrono::nanoseconds body_time_left();
  /// True when the handler, or complete(), has given all of the answer.
  bool is_complete() const noexcept { return response_.is_complete_; }
  /// True when nothing of the answer is to come behind what has been given so far.
  bool is_all_given() const noexcept {
    return response_.is_complete_ || (framing_ == framing::length && body_left_ == 0);
  }
  /// The connection is of no use any more for this answer: throws `ec`.
  [[noreturn]] void lose(const std::error_code& ec);

  const http_options& options_;
  http_request request_;
  http_response response_;
  framing framing_ = framing::none;
  bool is_lost_ = false;             ///< nothing more can be sent
  std::uint64_t body_received_ = 0;  ///< of the request

 private:
  /// Sends the head; `length` is that of the body, or of the one that HEAD leaves out, if it is
  /// known and to be told.
  virtual void send_head(std::optional<std::uint64_t> length) = 0;
  /// Sends a part of the body; parks while the client is slow. An empty one sends the head only.
  virtual void send_part(const_buffer part) = 0;
  /// Ends an answer whose body came in parts.
  virtual void send_end() = 0;

  void handler_failed();
  void expect_not_begun() const;
  /// Decides how the answer goes out, and sends its head; once.
  void begin_answer(framing how, std::optional<std::uint64_t> length);
  void begin_answer_by_headers();
  bool may_have_body() const noexcept;

  const http_handler& handler_;
  std::uint64_t body_left_ = 0;            ///< with framing::length
  std::uint64_t body_written_ = 0;         ///< for the log
  coir::detail::deadline body_begin_ = 0;  ///< 0: nobody has asked for it yet
};

}  // namespace coir::net::http
