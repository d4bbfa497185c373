/// One request and its answer on one connection.
#pragma once

#include "net/http/answer_reader.hpp"
#include "net/http/client_settings.hpp"
#include "net/http/connection_pool.hpp"
#include "net/http/plan.hpp"

#include <coir/net/buffer.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace coir::net::http {

/// Throws std::system_error when it fails; the connection is closed then, and each later call fails
/// in the same way.
class exchange {
 public:
  exchange(std::shared_ptr<const client_settings> settings, connection_pool::lease on,
           const plan& what);

  /// Sends head and body. A server that hangs up meanwhile may have answered: await_answer() tells.
  void send(std::string head, std::string_view body, bool expects_continue);
  /// Sends a part of the body of an upload; false when the server takes no more.
  bool write(const_buffer part);
  /// Ends the body of an upload.
  void end_upload();

  /// Parks until the head of the final answer is there.
  void await_answer();
  /// As http_exchange::read_some.
  std::size_t read_some(mutable_buffer into);
  /// As http_exchange::read_body.
  std::string read_body();
  /// Reads a short body to its end, so that the connection can be used again.
  void skip_short_body();
  /// The connection, on which another protocol speaks now: the status must be 101.
  std::unique_ptr<stream> take_connection();

  const answer_head& head() const noexcept { return head_; }
  const std::string& url_text() const noexcept { return url_text_; }
  std::optional<std::uint64_t> length() const noexcept { return length_; }
  /// True when the connection, an old one, was lost before anything of an answer came, and sending
  /// the request twice does no more than sending it once.
  bool may_be_repeated() const noexcept;

 private:
  enum class framing { none, length, chunked };  ///< of the request's body

  stream& to() noexcept { return *lease_->to; }
  input& in() noexcept { return lease_->in; }
  bool write_all(std::string_view bytes);
  bool wait_for_continue();
  bool is_upgrade() const noexcept { return head_.status == 101 && asks_for_upgrade_; }
  bool read_head(coir::detail::deadline until);
  bool drop_interim_answer();
  std::size_t fill(mutable_buffer into);
  void complete();
  void fail_if_failed();
  coir::detail::deadline soon(std::chrono::milliseconds time) const noexcept;
  [[noreturn]] void fail(const std::error_code& ec, const std::string& during);

  const std::shared_ptr<const client_settings> settings_;
  connection_pool::lease lease_;
  const std::string name_;
  const std::string method_;
  const std::string url_text_;
  const bool asks_for_upgrade_;
  coir::detail::deadline until_;
  framing framing_ = framing::none;  ///< of an upload
  std::uint64_t body_left_ = 0;      ///< of an upload whose length is told
  answer_head head_;
  std::optional<answer_reader> reader_;
  std::optional<std::uint64_t> length_;
  std::error_code write_error_;  ///< why the request could not be sent; the answer may say more
  std::error_code error_;
  std::string error_during_;
  int interim_answers_ = 0;
  bool has_begun_ = false;  ///< something of an answer came
  bool is_lost_ = false;    ///< the connection ended
  bool is_kept_ = true;     ///< the connection may be used again
};

}  // namespace coir::net::http
