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
#include "net/http/served_connection.hpp"
#include "net/http/server_exchange.hpp"

#include <coir/fiber.hpp>
#include <coir/mutex.hpp>
#include <coir/net/http_options.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

namespace coir::net::http {

class server_connection final : public served_connection, private server_exchange {
 public:
  /// Keeps references to all of these.
  server_connection(stream& client, const address& peer, const service& with);
  ~server_connection() override;

  /// Serves until the connection ends, which is told to nobody; throws fiber_exit only. True when
  /// the client speaks HTTP/2, and that is allowed: then nothing of it has been consumed.
  bool serve();
  /// What has been read of the client.
  input& received() noexcept { return input_; }
  void end_if_idle() noexcept override;

 private:
  std::size_t read_body(mutable_buffer into) override;
  stream& upgrade() override;
  void send_head(std::optional<std::uint64_t> length) override;
  void send_part(const_buffer part) override;
  void send_end() override;

  bool is_http2();
  bool serve_one();
  bool answer_one();
  bool await_request();
  std::size_t input_bytes_max() const noexcept;
  bool read_head();
  bool drain_body();

  bool can_be_kept();
  void append_head(std::optional<std::uint64_t> length);
  void send_out(const_buffer body);
  bool may_be_held() const;
  bool hold() noexcept;
  void send_held();
  void send_now(const_buffer body = {nullptr, 0}, std::string_view end = {});
  void expect_sent(const std::error_code& ec);
  void continue_once();
  std::size_t fill_with_body(mutable_buffer into);
  [[noreturn]] void body_failed(int status, const char* why);

  const std::atomic<bool>& is_stopping_;
  input input_;
  std::optional<message_reader> reader_;
  std::string out_;                        ///< what is to be sent before anything else
  coir::mutex sending_;                    ///< of those who write to the client
  fiber<> sender_;                         ///< of what is held back
  coir::detail::deadline held_until_ = 0;  ///< 0: nothing is held back
  bool is_chunked_ = false;     ///< the answer's body ends with its last chunk, which is empty
  bool is_kept_ = true;         ///< the connection carries another request after this one
  bool must_continue_ = false;  ///< the client waits for a 100
  std::unique_ptr<stream> upgraded_;
  std::atomic<bool> is_idle_{false};
};

}  // namespace coir::net::http
