#include "net/http/server_exchange.hpp"

#include "net/cooperative.hpp"
#include "net/http/clock_text.hpp"
#include "net/http/text.hpp"

#include <coir/exceptions.hpp>
#include <coir/net/http_error.hpp>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace coir::net::http {
namespace {

/// For a log: a client must not be able to end the quotes around it.
std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string_view name_of(int version) noexcept {
  if (version >= 20) return " HTTP/2.0";
  return version >= 11 ? " HTTP/1.1" : " HTTP/1.0";
}

/// In a catch block: what was thrown, in words.
std::string what_was_thrown() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something that is no std::exception";
  }
}

}  // namespace

server_exchange::server_exchange(const address& peer, const http_handler& handler,
                                 const http_options& options)
    : options_(options), handler_(handler) {
  request_.peer_ = peer;
  request_.exchange_ = this;
  response_.exchange_ = this;
}

void server_exchange::reset() noexcept {
  request_.method_.clear();
  request_.target_.clear();
  request_.headers_.clear();
  request_.path_values_.clear();
  response_.headers_.clear();
  response_.status_ = 200;
  response_.has_begun_ = response_.is_complete_ = false;
  framing_ = framing::none;
  body_left_ = body_written_ = body_received_ = 0;
  body_begin_ = 0;
}

void server_exchange::call_handler() {
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
void server_exchange::handler_failed() {
  if (is_lost_) return;  // it is the consequence of a client that went away
  if (options_.on_error) {
    options_.on_error(request_, std::current_exception());
  } else {
    std::fprintf(stderr, "coir: the handler of %s %s failed: %s\n", request_.method_.c_str(),
                 request_.target_.c_str(), what_was_thrown().c_str());
  }
  if (response_.has_begun_) {
    is_lost_ = true;
  } else {
    answer(500, http_reason(500));
  }
}

void server_exchange::answer(int status, std::string_view text) {
  response_.status_ = status;
  for (const char* name : {"Content-Length", "Content-Encoding", "ETag", "Last-Modified"}) {
    response_.headers_.remove(name);
  }
  response_.headers_.set("Content-Type", "text/plain; charset=utf-8");
  send(std::string(text) + '\n');
}

void server_exchange::complete() {
  if (is_lost_ || response_.is_complete_) return;
  if (!response_.has_begun_) {
    if (!response_.headers_.contains("Content-Length")) return send({nullptr, 0});
    begin_answer_by_headers();
    send_part({nullptr, 0});
  }
  response_.is_complete_ = true;
  is_lost_ = framing_ == framing::length && body_left_ != 0;
  if (!is_lost_) send_end();
}

void server_exchange::log() const {
  if (!options_.access_log) return;
  std::string line = request_.peer_.host();
  if (line.empty()) line = '-';
  line.append(" - - [").append(log_time_now()).append("] \"");
  if (request_.target_.empty()) {
    line += '-';
  } else {
    line.append(quoted(request_.method_)).append(" ").append(quoted(request_.target_));
    line.append(name_of(request_.version_));
  }
  line.append("\" ").append(std::to_string(response_.status_)).append(" ");
  line.append(body_written_ == 0 ? "-" : std::to_string(body_written_));
  options_.access_log(line);
}

void server_exchange::send(const_buffer body) {
  expect_not_begun();
  response_.headers_.remove("Content-Length");
  const bool has_none_ever = response_.status_ == 204 || response_.status_ == 304;
  begin_answer(may_have_body() ? framing::length : framing::none,
               has_none_ever ? std::nullopt : std::optional<std::uint64_t>(body.size()));
  response_.is_complete_ = true;
  body_left_ = 0;
  if (framing_ == framing::none) body = {nullptr, 0};
  body_written_ = body.size();
  send_part(body);
}

void server_exchange::write(const_buffer part) {
  if (response_.is_complete_) throw std::logic_error("the answer to this request is complete");
  if (!response_.has_begun_) begin_answer_by_headers();
  if (framing_ == framing::none) return send_part({nullptr, 0});
  if (framing_ == framing::length && part.size() > body_left_) {
    throw std::logic_error("more is written than the Content-Length says");
  }
  if (framing_ == framing::length) body_left_ -= part.size();
  body_written_ += part.size();
  send_part(part);
}

void server_exchange::begin_upgrade() {
  expect_not_begun();
  response_.status_ = 101;
  begin_answer(framing::none, std::nullopt);
  response_.is_complete_ = true;
}

void server_exchange::expect_not_begun() const {
  if (response_.has_begun_) throw std::logic_error("the answer to this request has begun already");
}

/// False where the answer ends with its head, whatever that says.
bool server_exchange::may_have_body() const noexcept {
  return request_.method_ != "HEAD" && response_.status_ != 204 && response_.status_ != 304;
}

/// Sends the head of an answer whose body comes in parts.
void server_exchange::begin_answer_by_headers() {
  if (response_.headers_.contains("Content-Length")) {
    const std::string_view said = response_.headers_.get("Content-Length");
    const auto length = whole_number(said);
    if (!length) {
      throw std::logic_error("the Content-Length of the answer is no number: " + std::string(said));
    }
    return begin_answer(may_have_body() ? framing::length : framing::none, *length);
  }
  begin_answer(may_have_body() ? framing::parts : framing::none, std::nullopt);
}

void server_exchange::begin_answer(framing how, std::optional<std::uint64_t> length) {
  framing_ = how;
  body_left_ = length.value_or(0);
  send_head(length);
  response_.has_begun_ = true;
}

std::chrono::nanoseconds server_exchange::body_time_left() {
  const coir::detail::deadline now = coir::detail::now_ns();
  if (body_begin_ == 0) body_begin_ = now;
  const std::uint64_t rate = std::max<std::uint64_t>(options_.body_bytes_per_second_min, 1);
  const std::chrono::nanoseconds earned = std::chrono::seconds(body_received_ / rate);
  return options_.body_timeout + earned - std::chrono::nanoseconds(now - body_begin_);
}

void server_exchange::lose(const std::error_code& ec) {
  is_lost_ = true;
  detail::throw_error(ec, "answer " + request_.peer_.to_string());
}

}  // namespace coir::net::http
