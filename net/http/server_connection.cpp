#include "net/http/server_connection.hpp"

#include "net/cooperative.hpp"
#include "net/deadlines.hpp"
#include "net/http/clock_text.hpp"
#include "net/http/text.hpp"
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

// A body that fits goes out with its head, copied: one system call and one buffer are cheaper.
constexpr std::size_t joined_bytes_max = 16 * 1024;
// What is read and thrown away, so that the connection can go on or the client reads the answer.
constexpr std::uint64_t drained_bytes_max = 256 * 1024;
constexpr std::chrono::seconds linger_time{2};
constexpr std::size_t smallest_input = 4096;
// An answer waits no longer for the next ones, however many have been asked for: handlers that
// compute for long answer one by one.
constexpr coir::detail::deadline held_ns_max = 1'000'000;

constexpr std::string_view interim_answer = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view digits(std::uint64_t value, char (&buffer)[24], int base = 10) noexcept {
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, base).ptr;
  return {buffer, static_cast<std::size_t>(end - buffer)};
}

/// For a log: a client must not be able to end the quotes around it.
std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

/// The connection as the handler gets it after an upgrade: what was read too early comes first.
class server_connection::upgraded_stream final : public stream {
 public:
  upgraded_stream(input& read_already, stream& client) noexcept
      : input_(read_already), client_(client) {}

  using stream::close;
  using stream::local_address;
  using stream::peer_address;
  using stream::shutdown;
  void shutdown(direction which, std::error_code& ec) override { client_.shutdown(which, ec); }
  void close(std::error_code& ec) noexcept override { client_.close(ec); }
  bool is_open() const noexcept override { return client_.is_open(); }
  address local_address(std::error_code& ec) const noexcept override {
    return client_.local_address(ec);
  }
  address peer_address(std::error_code& ec) const noexcept override {
    return client_.peer_address(ec);
  }
  int native_handle() const noexcept override { return client_.native_handle(); }

 private:
  std::size_t do_read(mutable_buffer into, coir::detail::deadline until,
                      std::error_code& ec) override {
    const std::string_view early = input_.unread();
    if (early.empty()) {
      detail::expire_reads_at(client_, until);
      return client_.read_some(into, ec);
    }
    const std::size_t count = std::min(early.size(), into.size());
    std::copy_n(early.data(), count, static_cast<char*>(into.data()));
    input_.consume(count);
    return count;
  }
  std::size_t do_write(const_buffer from, coir::detail::deadline until,
                       std::error_code& ec) override {
    detail::expire_writes_at(client_, until);
    return client_.write_some(from, ec);
  }
  std::size_t do_write_parts(std::span<const const_buffer> parts, coir::detail::deadline until,
                             std::error_code& ec) override {
    detail::expire_writes_at(client_, until);
    return client_.write_parts(parts, ec);
  }

  input& input_;
  stream& client_;
};

server_connection::server_connection(stream& client, const address& peer,
                                     const http_handler& handler, const http_options& options,
                                     const std::atomic<bool>& is_stopping)
    : client_(client),
      handler_(handler),
      options_(options),
      is_stopping_(is_stopping),
      input_(client) {
  request_.peer_ = peer;
  request_.connection_ = this;
  response_.connection_ = this;
}

server_connection::~server_connection() {
  if (!sender_.valid() || sender_.ready()) return;
  const this_fiber::no_kill to_the_end;  // it uses this object
  sender_.kill();
}

void server_connection::serve() {
  while (serve_one()) {
  }
}

/// Serves the next request; false when the connection is to end.
bool server_connection::serve_one() {
  reset();
  if (!await_request()) return false;
  try {
    if (answer_one()) return true;
  } catch (const std::system_error&) {  // of sending, outside the handler: the client is gone
    is_lost_ = true;
  }
  if (options_.access_log) log();
  if (!is_lost_ && !upgraded_) linger();
  return false;
}

bool server_connection::answer_one() {
  if (!read_head()) return false;
  if (request_.headers_.contains("Expect")) {
    must_continue_ = equal_ignoring_case(request_.headers_.get("Expect"), "100-continue");
    if (!must_continue_) {
      is_kept_ = false;
      answer(417, http_reason(417));
      return false;
    }
    must_continue_ = request_.has_body_ && request_.version_ >= 11;
  }
  call_handler();
  complete();
  if (is_lost_ || upgraded_ || !is_kept_ || !drain_body()) return false;
  if (options_.access_log) log();
  return true;
}

void server_connection::reset() {
  request_.method_.clear();
  request_.target_.clear();
  request_.headers_.clear();
  request_.path_values_.clear();
  response_.headers_.clear();
  response_.status_ = 200;
  response_.has_begun_ = response_.is_complete_ = false;
  reader_.emplace(request_, options_);
  framing_ = framing::none;
  body_left_ = body_written_ = body_received_ = 0;
  body_begin_ = 0;
  must_continue_ = false;
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

void server_connection::call_handler() {
  try {
    handler_(request_, response_);
  } catch (const fiber_exit&) {
    throw;
  } catch (const http_error& e) {
    if (is_lost_ || response_.has_begun_) {
      is_lost_ = true;
    } else {
      answer(e.status(), e.what());
    }
  } catch (...) {
    handler_failed();
  }
}

/// In a catch block: something was thrown that says nothing about HTTP.
void server_connection::handler_failed() {
  if (is_lost_) return;  // it is the consequence of a client that went away
  if (options_.on_error) {
    options_.on_error(request_, std::current_exception());
  } else {
    std::string why = "something that is no std::exception";
    try {
      throw;
    } catch (const std::exception& e) {
      why = e.what();
    } catch (...) {
    }
    std::fprintf(stderr, "coir: the handler of %s %s failed: %s\n", request_.method_.c_str(),
                 request_.target_.c_str(), why.c_str());
  }
  if (response_.has_begun_) {
    is_lost_ = true;
  } else {
    answer(500, http_reason(500));
  }
}

/// Answers with a line of text; keeps other fields that the handler has set.
void server_connection::answer(int status, std::string_view text) {
  response_.status_ = status;
  for (const char* name : {"Content-Length", "Content-Encoding", "ETag", "Last-Modified"}) {
    response_.headers_.remove(name);
  }
  response_.headers_.set("Content-Type", "text/plain; charset=utf-8");
  send(std::string(text) + '\n');
}

/// Does what the handler left undone.
void server_connection::complete() {
  if (is_lost_ || upgraded_ || response_.is_complete_) return;
  if (!response_.has_begun_) {
    if (!response_.headers_.contains("Content-Length")) return send({nullptr, 0});
    begin_answer_by_headers();
    send_out({nullptr, 0});
  }
  response_.is_complete_ = true;
  if (framing_ == framing::chunked) {
    out_ += "0\r\n\r\n";
    send_out({nullptr, 0});
  }
  is_lost_ = framing_ == framing::length && body_left_ != 0;
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

/// Lets the client read the answer before the connection ends: closing a socket that still has
/// something to read resets the connection, and the answer may be lost by that.
void server_connection::linger() {
  if (reader_->is_complete() && input_.unread().empty()) return;
  std::error_code ec;
  client_.shutdown(direction::write, ec);
  client_.reads_expire_after(linger_time);
  char thrown_away[4096];
  for (std::uint64_t bytes = 0; !ec && bytes < drained_bytes_max;) {
    const std::size_t count = client_.read_some(thrown_away, ec);
    if (count == 0) break;
    bytes += count;
  }
}

void server_connection::log() const {
  char buffer[24];
  std::string line = request_.peer_.host();
  if (line.empty()) line = '-';
  line.append(" - - [").append(log_time_now()).append("] \"");
  if (request_.target_.empty()) {
    line += '-';
  } else {
    line.append(quoted(request_.method_)).append(" ").append(quoted(request_.target_));
    line.append(request_.version_ >= 11 ? " HTTP/1.1" : " HTTP/1.0");
  }
  line.append("\" ").append(digits(static_cast<unsigned>(response_.status_), buffer));
  line += ' ';
  line.append(body_written_ == 0 ? std::string_view("-") : digits(body_written_, buffer));
  options_.access_log(line);
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

std::chrono::nanoseconds server_connection::body_time_left() {
  const coir::detail::deadline now = coir::detail::now_ns();
  if (body_begin_ == 0) body_begin_ = now;
  const std::uint64_t rate = std::max<std::uint64_t>(options_.body_bytes_per_second_min, 1);
  const std::chrono::nanoseconds earned = std::chrono::seconds(body_received_ / rate);
  return options_.body_timeout + earned - std::chrono::nanoseconds(now - body_begin_);
}

void server_connection::body_failed(int status, const char* why) {
  is_kept_ = false;
  throw http_error(status, why);
}

void server_connection::continue_once() {
  if (!std::exchange(must_continue_, false) || response_.has_begun_) return;
  out_ += interim_answer;
  send_out({nullptr, 0});
}

void server_connection::send(const_buffer body) {
  if (response_.has_begun_) throw std::logic_error("the answer to this request has begun already");
  response_.headers_.remove("Content-Length");
  begin_answer(may_have_body() ? framing::length : framing::none, body.size());
  response_.is_complete_ = true;
  body_left_ = 0;
  if (framing_ == framing::none) body = {nullptr, 0};
  body_written_ = body.size();
  send_out(body);
}

void server_connection::write(const_buffer part) {
  if (response_.is_complete_) throw std::logic_error("the answer to this request is complete");
  if (!response_.has_begun_) begin_answer_by_headers();
  if (framing_ == framing::none) return send_out({nullptr, 0});
  body_written_ += part.size();
  if (framing_ == framing::length) {
    if (part.size() > body_left_) {
      throw std::logic_error("more is written than the Content-Length says");
    }
    body_left_ -= part.size();
  }
  if (framing_ != framing::chunked || part.size() == 0) return send_out(part);
  char buffer[24];
  out_.append(digits(part.size(), buffer, 16)).append("\r\n");
  if (part.size() <= joined_bytes_max) {
    out_.append(static_cast<const char*>(part.data()), part.size()).append("\r\n");
    return send_out({nullptr, 0});
  }
  send_now(part, "\r\n");
}

stream& server_connection::upgrade() {
  if (response_.has_begun_) throw std::logic_error("the answer to this request has begun already");
  response_.status_ = 101;
  begin_answer(framing::none, 0);
  response_.is_complete_ = true;
  is_kept_ = false;
  send_out({nullptr, 0});
  client_.expires_never();
  upgraded_ = std::make_unique<upgraded_stream>(input_, client_);
  return *upgraded_;
}

/// False where the answer ends with its head, whatever that says.
bool server_connection::may_have_body() const noexcept {
  return request_.method_ != "HEAD" && response_.status_ != 204 && response_.status_ != 304;
}

/// Sends the head of an answer whose body comes in parts.
void server_connection::begin_answer_by_headers() {
  if (response_.headers_.contains("Content-Length")) {
    const std::string_view said = response_.headers_.get("Content-Length");
    const auto length = whole_number(said);
    if (!length) {
      throw std::logic_error("the Content-Length of the answer is no number: " + std::string(said));
    }
    return begin_answer(may_have_body() ? framing::length : framing::none, *length);
  }
  if (!may_have_body()) return begin_answer(framing::none, 0);
  begin_answer(request_.version_ >= 11 ? framing::chunked : framing::connection, 0);
}

/// Decides how the answer goes out, and puts its head into out_.
void server_connection::begin_answer(framing how, std::uint64_t length) {
  framing_ = how;
  body_left_ = length;
  is_kept_ = can_be_kept();
  append_head(length);
  response_.has_begun_ = true;
}

bool server_connection::can_be_kept() const {
  const bool rest_is_short =
      reader_->is_complete() || (!must_continue_ && reader_->bytes_left() <= drained_bytes_max);
  return is_kept_ && framing_ != framing::connection && reader_->status() == 0 &&
         reader_->allows_another() && rest_is_short &&
         !is_stopping_.load(std::memory_order_relaxed) &&
         !response_.headers_.has_token("Connection", "close");
}

void server_connection::append_head(std::uint64_t length) {
  char buffer[24];
  http_headers& headers = response_.headers_;
  out_.append("HTTP/1.1 ").append(digits(static_cast<unsigned>(response_.status_), buffer));
  out_.append(" ").append(http_reason(response_.status_)).append("\r\n");
  if (!headers.contains("Date")) out_.append("Date: ").append(date_now()).append("\r\n");
  headers.remove("Transfer-Encoding");
  if (response_.status_ != 101) headers.remove("Connection");
  headers.append_to(out_);
  const bool tells_length = framing_ == framing::length || request_.method_ == "HEAD";
  if (framing_ == framing::chunked) {
    out_ += "Transfer-Encoding: chunked\r\n";
  } else if (tells_length && !headers.contains("Content-Length")) {
    out_.append("Content-Length: ").append(digits(length, buffer)).append("\r\n");
  }
  if (response_.status_ != 101) {
    if (!is_kept_) out_ += "Connection: close\r\n";
    if (is_kept_ && request_.version_ < 11) out_ += "Connection: keep-alive\r\n";
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
  return response_.is_complete_ && is_kept_ && reader_->is_complete() && !input_.unread().empty() &&
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
  if (!ec) return;
  is_lost_ = true;
  detail::throw_error(ec, "answer " + request_.peer_.to_string());
}

}  // namespace coir::net::http
