/// One client's connection: requests come and answers go.
///
/// One fiber serves the requests of a connection, one after another (pipelined ones too): it waits
/// for a head, lets the handler answer, and completes what the handler left undone. Invariants:
///  1. A body that the handler has not read is read to its end before the next head is looked for,
///     or the connection ends: nothing of a body is ever taken for a request.
///  2. After a request that could not be understood the connection ends: where the next one begins
///     is not known.
///  3. Exactly one answer goes out for each request, but for the interim 100; an answer that breaks
///     off ends the connection, so that the client sees it.
///  4. What has been answered goes out before this fiber waits for anything. A short answer is held
///     back for the next one while more requests have come already; since the handler of the next
///     one may wait for whatever it likes, a fiber of its own stands ready to send what is held:
///     its turn comes when this fiber waits. Mostly this fiber has sent all by itself before that.
#pragma once

#include "net/http/input.hpp"
#include "net/http/message_reader.hpp"

#include <coir/fiber.hpp>
#include <coir/mutex.hpp>
#include <coir/net/http_options.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

namespace coir::net::http {

class server_connection {
 public:
  /// Keeps references to all of these. `is_stopping`: the answer to come is the last.
  server_connection(stream& client, const address& peer, const http_handler& handler,
                    const http_options& options, const std::atomic<bool>& is_stopping);
  server_connection(const server_connection&) = delete;
  server_connection& operator=(const server_connection&) = delete;
  ~server_connection();

  /// Serves until the connection ends, which is told to nobody; throws fiber_exit only.
  void serve();
  /// Ends the wait for a next request, if there is one; to be called when `is_stopping` is set. Any
  /// thread, while serve() runs.
  void end_if_idle() noexcept;

  // What request and response stand on.
  std::size_t read_body(mutable_buffer into);
  void send(const_buffer body);
  void write(const_buffer part);
  stream& upgrade();

 private:
  /// How the client knows where the body of the answer ends.
  enum class framing {
    none,        ///< there is none: HEAD, 204, 304
    length,      ///< Content-Length; body_left_ bytes are to come
    chunked,     ///< the last chunk is empty
    connection,  ///< the connection ends
  };
  class upgraded_stream;

  bool serve_one();
  bool answer_one();
  bool await_request();
  std::size_t input_bytes_max() const noexcept;
  bool read_head();
  void call_handler();
  void handler_failed();
  void answer(int status, std::string_view text);
  void complete();
  bool drain_body();
  void linger();
  void log() const;
  void reset();

  void begin_answer(framing how, std::uint64_t length);
  void begin_answer_by_headers();
  bool may_have_body() const noexcept;
  bool can_be_kept() const;
  void append_head(std::uint64_t length);
  void send_out(const_buffer body);
  bool may_be_held() const;
  bool hold() noexcept;
  void send_held();
  void send_now(const_buffer body = {nullptr, 0}, std::string_view end = {});
  void expect_sent(const std::error_code& ec);
  void continue_once();
  std::size_t fill_with_body(mutable_buffer into);
  std::chrono::nanoseconds body_time_left();
  [[noreturn]] void body_failed(int status, const char* why);

  stream& client_;
  const http_handler& handler_;
  const http_options& options_;
  const std::atomic<bool>& is_stopping_;
  input input_;
  http_request request_;
  http_response response_;
  std::optional<message_reader> reader_;
  std::string out_;                        ///< what is to be sent before anything else
  coir::mutex sending_;                    ///< of those who write to the client
  fiber<> sender_;                         ///< of what is held back
  coir::detail::deadline held_until_ = 0;  ///< 0: nothing is held back
  framing framing_ = framing::none;
  std::uint64_t body_left_ = 0;            ///< with framing::length
  std::uint64_t body_written_ = 0;         ///< for the log
  std::uint64_t body_received_ = 0;        ///< of the request
  coir::detail::deadline body_begin_ = 0;  ///< 0: nobody has asked for it yet
  bool is_kept_ = true;         ///< the connection carries another request after this one
  bool is_lost_ = false;        ///< nothing more can be sent
  bool must_continue_ = false;  ///< the client waits for a 100
  std::unique_ptr<stream> upgraded_;
  std::atomic<bool> is_idle_{false};
};

}  // namespace coir::net::http
