#include "net/http/server_connection.hpp"

#include "net/cooperative.hpp"
#include "net/deadlines.hpp"
#include "net/http/clock_text.hpp"
#include "net/http/text.hpp"
#include "net/http/upgraded_stream.hpp"
#include "net/socket_calls.hpp"

#include <coir/exceptions.hpp>
#include <coir/net/http_error.hpp>
#include <coir/no_kill.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <sys/socket.h>

namespace coir::net::http {
namespace {

// What is read and thrown away, so that the connection can go on or the client reads the answer.
constexpr std::uint64_t drained_bytes_max = 256 * 1024;
constexpr std::size_t smallest_input = 4096;
// An answer waits no longer for the next ones, however many have been asked for: handlers that
// compute for long answer one by one.
constexpr coir::detail::deadline held_ns_max = 1'000'000;

constexpr std::string_view interim_answer = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view digits(std::uint64_t value, char (&buffer)[24], int base = 10) noexcept {
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, base).ptr;
  return {buffer, static_cast<std::size_t>(end - buffer)};
}

// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

server_connection::server_connection(stream& client, const address& peer, const service& with)
    : served_connection(client),
      server_exchange(peer, with.handler, with.options),
      is_stopping_(with.is_stopping),
      input_(client) {}

server_connection::~server_connection() {
  if (!sender_.valid() || sender_.ready()) return;
  const this_fiber::no_kill to_the_end;  // it uses this object
  sender_.kill();
}

bool server_connection::serve() {
  if (options_.http2) {
    if (!await_request()) return false;
    if (is_http2()) return true;
  }
  while (serve_one()) {
  }
  return false;
}

/// True when the client begins as one of HTTP/2 does; reads on while that is undecided. What is not
/// such a beginning is left to the reader of heads, and so is one that does not go on.
bool server_connection::is_http2() {
  client_.reads_expire_after(options_.header_timeout);
  for (;;) {
    const std::string_view begin = input_.unread().substr(0, http2_preface.size());
    if (!http2_preface.starts_with(begin)) return false;
    if (begin.size() == http2_preface.size()) return true;
    std::error_code ec;
    if (input_.fill(input_bytes_max(), ec) == 0) return false;
  }
}

/// Serves the next request; false when the connection is to end.
bool server_connection::serve_one() {
  reset();
  reader_.emplace(request_, options_);
  must_continue_ = false;
  if (!await_request()) return false;
  try {
    if (answer_one()) return true;
  } catch (const std::system_error&) {  // of sending, outside the handler: the client is gone
    is_lost_ = true;
  }
  log();
  const bool is_all_read = reader_->is_complete() && input_.unread().empty();
  if (!is_lost_ && !upgraded_ && !is_all_read) linger();
  return false;
}

bool server_connection::answer_one() {
  if (!read_head()) return false;
  const http_headers& headers = request_.headers();
  if (headers.contains("Expect")) {
    must_continue_ = equal_ignoring_case(headers.get("Expect"), "100-continue");
    if (!must_continue_) {
      is_kept_ = false;
      answer(417, http_reason(417));
      return false;
    }
    must_continue_ = request_.has_body() && request_.version() >= 11;
  }
  call_handler();
  complete();
  if (is_lost_ || upgraded_ || !is_kept_ || !drain_body()) return false;
  log();
  return true;
}

/// True when at least one byte of a request is there.
bool server_connection::await_request() {
  if (!input_.unread().empty()) return true;
  client_.reads_expire_after(options_.idle_timeout);
  // The stores and loads of both sides are in one order: either this sees that the server stops, or
  // end_if_idle() sees that this is idle.
  is_idle_.store(true);
  if (is_stopping_.load()) return false;
  std::error_code ec;
  const std::size_t count = input_.fill(input_bytes_max(), ec);
  is_idle_.store(false, std::memory_order_relaxed);
  return count != 0;
}

/// How much is read ahead of what is understood.
std::size_t server_connection::input_bytes_max() const noexcept {
  return std::max(options_.header_bytes_max, smallest_input);
}

void server_connection::end_if_idle() noexcept {
  std::error_code ignored;
  if (is_idle_.load()) detail::shutdown_socket(client_.native_handle(), SHUT_RD, ignored);
}

/// False when there is no request that the handler could answer.
bool server_connection::read_head() {
  bool is_timed = false;
  while (!reader_->read_head(input_)) {
    if (const int status = reader_->status(); status != 0) {
      is_kept_ = false;
      answer(status, http_reason(status));
      return false;
    }
    if (!is_timed) client_.reads_expire_after(options_.header_timeout);
    is_timed = true;
    send_now();
    std::error_code ec;
    if (input_.fill(input_bytes_max(), ec) != 0) continue;
    is_kept_ = false;
    is_lost_ = ec != std::errc::timed_out;
    if (!is_lost_) answer(408, http_reason(408));
    return false;
  }
  return true;
}

/// Reads what the handler has left of the body; false when that is too much.
bool server_connection::drain_body() {
  if (must_continue_ && !reader_->is_complete()) return false;
  char thrown_away[4096];
  std::uint64_t bytes = 0;
  try {
    while (const std::size_t count = read_body(thrown_away)) {
      bytes += count;
      if (bytes > drained_bytes_max) return false;
    }
  } catch (const http_error&) {
    return false;
  }
  return true;
}

std::size_t server_connection::read_body(mutable_buffer into) {
  if (into.size() == 0) return 0;
  while (!reader_->is_complete()) {
    continue_once();
    std::size_t count = reader_->read_body(input_, into);
    if (reader_->status() == 413) body_failed(413, "the body is too long");
    if (reader_->status() != 0) body_failed(400, "the body is malformed");
    if (count == 0 && !reader_->is_complete()) count = fill_with_body(into);
    body_received_ += count;
    if (count != 0) return count;
  }
  return 0;
}

/// Reads more from the client: straight into its place when that is known; else into input_, and
/// the result is 0.
std::size_t server_connection::fill_with_body(mutable_buffer into) {
  send_now();
  client_.reads_expire_after(body_time_left());
  const std::uint64_t left = reader_->bytes_left();
  std::error_code ec;
  std::size_t count;
  if (left != 0) {
    const mutable_buffer place(into.data(), std::min<std::uint64_t>(left, into.size()));
    count = client_.read_some(place, ec);
    if (count != 0) reader_->note_body({into.data(), count});
  } else {
    if (input_.unread().size() >= input_bytes_max()) {
      body_failed(400, "the head of a chunk is too long");
    }
    count = input_.fill(input_bytes_max(), ec);
  }
  if (ec == std::errc::timed_out) body_failed(408, "the body comes too slowly");
  if (count == 0) {
    is_lost_ = true;
    detail::throw_error(ec ? ec : make_error_code(errc::end_of_stream), "read the request's body");
  }
  return left != 0 ? count : 0;
}

void server_connection::body_failed(int status, const char* why) {
  is_kept_ = false;
  throw http_error(status, why);
}

void server_connection::continue_once() {
  if (!std::exchange(must_continue_, false) || response_.has_begun()) return;
  out_ += interim_answer;
  send_out({nullptr, 0});
}

void server_connection::send_head(std::optional<std::uint64_t> length) {
  is_chunked_ = framing_ == framing::parts && request_.version() >= 11;
  is_kept_ = can_be_kept();
  append_head(length);
}

void server_connection::send_part(const_buffer part) {
  if (!is_chunked_ || part.size() == 0) return send_out(part);
  char buffer[24];
  out_.append(digits(part.size(), buffer, 16)).append("\r\n");
  if (part.size() <= joined_bytes_max) {
    out_.append(static_cast<const char*>(part.data()), part.size()).append("\r\n");
    return send_out({nullptr, 0});
  }
  send_now(part, "\r\n");
}

void server_connection::send_end() {
  if (!is_chunked_) return;
  out_ += "0\r\n\r\n";
  send_out({nullptr, 0});
}

stream& server_connection::upgrade() {
  begin_upgrade();
  is_kept_ = false;
  send_out({nullptr, 0});
  client_.expires_never();
  upgraded_ = std::make_unique<upgraded_stream>(input_, client_);
  return *upgraded_;
}

bool server_connection::can_be_kept() {
  const bool rest_is_short =
      reader_->is_complete() || (!must_continue_ && reader_->bytes_left() <= drained_bytes_max);
  return is_kept_ && (is_chunked_ || framing_ != framing::parts) && reader_->status() == 0 &&
         reader_->allows_another() && rest_is_short &&
         !is_stopping_.load(std::memory_order_relaxed) &&
         !response_.headers().has_token("Connection", "close");
}

void server_connection::append_head(std::optional<std::uint64_t> length) {
  char buffer[24];
  http_headers& headers = response_.headers();
  out_.append("HTTP/1.1 ").append(digits(static_cast<unsigned>(response_.status()), buffer));
  out_.append(" ").append(http_reason(response_.status())).append("\r\n");
  if (!headers.contains("Date")) out_.append("Date: ").append(date_now()).append("\r\n");
  headers.remove("Transfer-Encoding");
  if (response_.status() != 101) headers.remove("Connection");
  headers.append_to(out_);
  if (is_chunked_) {
    out_ += "Transfer-Encoding: chunked\r\n";
  } else if (length && !headers.contains("Content-Length")) {
    out_.append("Content-Length: ").append(digits(*length, buffer)).append("\r\n");
  }
  if (response_.status() != 101) {
    if (!is_kept_) out_ += "Connection: close\r\n";
    if (is_kept_ && request_.version() < 11) out_ += "Connection: keep-alive\r\n";
  }
  out_ += "\r\n";
}

/// Sends out_ and then `body`, or holds them back for more; parks while the client is slow.
void server_connection::send_out(const_buffer body) {
  if (body.size() > joined_bytes_max) return send_now(body);
  out_.append(static_cast<const char*>(body.data()), body.size());
  if (!may_be_held() || !hold()) send_now();
}

/// True when this request is done with and the next one has begun to come.
bool server_connection::may_be_held() const {
  return is_complete() && is_kept_ && reader_->is_complete() && !input_.unread().empty() &&
         out_.size() <= joined_bytes_max;
}

/// Sees to it that out_ is sent when this fiber waits for something; false when it is to be sent
/// now.
bool server_connection::hold() noexcept {
  const coir::detail::deadline now = coir::detail::now_ns();
  if (held_until_ == 0) held_until_ = now + held_ns_max;
  if (now >= held_until_) return false;
  try {
    const bool is_ready = sender_.valid() && !sender_.ready();
    if (!is_ready) sender_ = spawn({.name = "held answers"}, [this] { send_held(); });
    return true;
  } catch (const std::exception&) {
    return false;  // there is no memory for it
  }
}

/// The life of sender_. What it finds in out_ are whole answers, and perhaps the head of one whose
/// body waits for sending_.
void server_connection::send_held() {
  const std::lock_guard alone(sending_);
  std::string going;
  while (!out_.empty() && !is_lost_) {
    going.swap(out_);
    held_until_ = 0;
    std::error_code ec;
    try {
      client_.writes_expire_after(options_.write_timeout);
      client_.write_all(going, ec);
    } catch (...) {  // killed: a part may have gone out
      is_lost_ = true;
      throw;
    }
    if (ec) is_lost_ = true;
    going.clear();
  }
}

/// Sends out_, what is to come behind it, and its end.
void server_connection::send_now(const_buffer body, std::string_view end) {
  if (out_.empty() && body.size() == 0) return;
  const std::lock_guard alone(sending_);
  held_until_ = 0;
  std::error_code ec;
  client_.writes_expire_after(options_.write_timeout);
  if (is_lost_) {  // in the hands of sender_
    ec = make_error_code(std::errc::broken_pipe);
  } else if (body.size() == 0) {
    client_.write_all(out_, ec);
  } else {
    client_.write_parts({out_, body, end}, ec);
  }
  out_.clear();
  expect_sent(ec);
}

void server_connection::expect_sent(const std::error_code& ec) {
  if (ec) lose(ec);
}

}  // namespace coir::net::http
