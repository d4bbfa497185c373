#include "net/http/http2_exchange.hpp"

#include "net/deadlines.hpp"
#include "net/http/clock_text.hpp"
#include "net/http/text.hpp"

#include <coir/exceptions.hpp>
#include <coir/net/error.hpp>
#include <coir/net/http_error.hpp>

#include <algorithm>
#include <utility>

#include <nghttp2/nghttp2.h>

namespace coir::net::http {
namespace {

nghttp2_nv pair_of(std::string_view name, std::string_view value) noexcept {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));  // it is copied
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

/// Fields about the connection, which HTTP/2 has other means for (RFC 9113, section 8.2.2).
bool is_of_connection(std::string_view name) noexcept {
  for (const std::string_view each :
       {"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}) {
    if (equal_ignoring_case(name, each)) return true;
  }
  return false;
}

/// The lines of an answer's head; valid while the headers are not changed.
class answer_lines {
 public:
  answer_lines(int status, const http_headers& headers) : status_(std::to_string(status)) {
    std::size_t bytes = 0;
    for (const auto each : headers) bytes += each.name.size();
    names_.reserve(bytes);  // so that it does not move
    lines_.reserve(headers.size() + 3);
    lines_.push_back(pair_of(":status", status_));
    for (const auto each : headers) {
      if (!is_of_connection(each.name)) add(each.name, each.value);
    }
  }
  void add_plain(std::string_view name, std::string_view value) {
    lines_.push_back(pair_of(name, value));
  }
  const std::vector<nghttp2_nv>& all() const noexcept { return lines_; }

 private:
  void add(std::string_view name, std::string_view value) {
    const std::size_t begin = names_.size();
    for (const char c : name) names_ += lower(c);
    lines_.push_back(pair_of(std::string_view(names_).substr(begin), value));
  }

  std::string status_;
  std::string names_;
  std::vector<nghttp2_nv> lines_;
};

/// nghttp2's question for more of an answer; what it is told of goes by the connection's callback.
ssize_t read_source(nghttp2_session* session, std::int32_t stream, std::uint8_t*, std::size_t max,
                    std::uint32_t* flags, nghttp2_data_source*, void*) noexcept {
  auto* const exchange =
      static_cast<http2_exchange*>(nghttp2_session_get_stream_user_data(session, stream));
  if (!exchange) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  bool is_end = false;
  const std::size_t count = exchange->offer(max, is_end);
  if (is_end) *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (count == 0) return is_end ? 0 : NGHTTP2_ERR_DEFERRED;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  return static_cast<ssize_t>(count);
}

}  // namespace

http2_exchange::http2_exchange(http2_line& line, std::int32_t stream, const address& peer,
                               const service& with)
    : server_exchange(peer, with.handler, with.options),
      line_(line),
      id_(stream),
      head_(request_, with.options) {
  head_.set_version(20);
  nghttp2_session_set_stream_user_data(line_.session, id_, this);
}

http2_exchange::~http2_exchange() {
  nghttp2_session_set_stream_user_data(line_.session, id_, nullptr);
  if (!is_closed_) {
    const bool is_answered = is_complete() && is_all_taken_ && !is_lost_;
    if (!is_answered || !is_body_complete_) {
      const std::uint32_t why = is_answered ? NGHTTP2_NO_ERROR
                                : is_slow_  ? NGHTTP2_CANCEL
                                            : NGHTTP2_INTERNAL_ERROR;
      nghttp2_submit_rst_stream(line_.session, NGHTTP2_FLAG_NONE, id_, why);
      line_.to_send.set();
    }
  }
  if (std::erase(line_.exchanges, this) == 0 || !line_.exchanges.empty()) return;
  line_.idle_since = coir::detail::now_ns();
  line_.to_send.set();  // the sender may have waited for the last of them
}

/// The first thing that is wrong is what is answered.
void http2_exchange::note(int status) noexcept {
  if (status_ == 0) status_ = status;
}

void http2_exchange::add_field(std::string_view name, std::string_view value) {
  constexpr std::size_t separators = 4;  // as it would be in HTTP/1
  head_bytes_ += name.size() + value.size() + separators;
  if (head_bytes_ > options_.header_bytes_max && name != ":path") note(431);
  if (status_ != 0) return;
  if (name.starts_with(':')) return add_pseudo_field(name, value);
  note(head_.count_field());
  if (name == "host" && request_.headers().contains(name)) {
    if (request_.headers().get(name) != value) note(400);
  } else if (status_ == 0) {
    head_.add(name, value);
  }
}

void http2_exchange::add_pseudo_field(std::string_view name, std::string_view value) {
  if (name == ":method") {
    head_.set_method(value);
  } else if (name == ":path") {
    note(head_.set_target(value));
  } else if (name == ":authority") {
    head_.add("host", value);
  }
}

void http2_exchange::end_head(bool has_body) {
  is_body_complete_ = !has_body;
  join_cookies();
  const http_headers& headers = request_.headers();
  const auto length = whole_number(headers.get("content-length"));
  note(head_.finish(has_body, has_body ? length : std::nullopt));
  if (has_body && length && *length > options_.body_bytes_max) note(413);
  if (!headers.contains("expect")) return;
  must_continue_ = equal_ignoring_case(headers.get("expect"), "100-continue");
  if (!must_continue_) note(417);
}

/// Clients may send each cookie in a field of its own (RFC 9113, section 8.2.3).
void http2_exchange::join_cookies() {
  if (request_.headers().count("cookie") < 2) return;
  std::string all;
  for (const auto each : request_.headers()) {
    if (each.name != "cookie") continue;
    if (!all.empty()) all += "; ";
    all += each.value;
  }
  head_.replace("cookie", all);
}

void http2_exchange::add_body(std::string_view bytes) {
  body_received_ += bytes.size();
  if (body_received_ > options_.body_bytes_max) {
    note(413);
  } else {
    received_.append(bytes);
  }
  readable_.set();
}

void http2_exchange::end_body() noexcept {
  is_body_complete_ = true;
  readable_.set();
}

void http2_exchange::end() noexcept {
  is_closed_ = true;
  readable_.set();
  taken_.set();
}

void http2_exchange::run() {
  try {
    answer_request();
  } catch (const std::exception&) {  // outside the handler: the client is gone, or memory is
    is_lost_ = true;
  }
  log();
}

void http2_exchange::answer_request() {
  if (status_ != 0) {
    answer(status_, http_reason(status_));
  } else {
    call_handler();
  }
  complete();
  if (!is_lost_) await_taken();
}

std::size_t http2_exchange::read_body(mutable_buffer into) {
  if (into.size() == 0) return 0;
  for (;;) {
    if (status_ == 413) throw http_error(413, "the body is too long");
    if (!unread().empty()) return take_received(into);
    if (is_body_complete_) return 0;
    expect_open();
    continue_once();
    readable_.clear();
    if (!readable_.wait_for(body_time_left())) throw http_error(408, "the body comes too slowly");
  }
}

std::size_t http2_exchange::take_received(mutable_buffer into) {
  const std::size_t count = std::min(unread().size(), into.size());
  std::copy_n(unread().data(), count, static_cast<char*>(into.data()));
  received_taken_ += count;
  if (received_taken_ == received_.size()) {
    received_.clear();
    received_taken_ = 0;
  }
  if (!is_body_complete_ && !is_closed_) {
    nghttp2_session_consume_stream(line_.session, id_, count);
    if (nghttp2_session_want_write(line_.session)) line_.to_send.set();
  }
  return count;
}

void http2_exchange::continue_once() {
  if (!std::exchange(must_continue_, false) || response_.has_begun()) return;
  const nghttp2_nv line = pair_of(":status", "100");
  nghttp2_submit_headers(line_.session, NGHTTP2_FLAG_NONE, id_, nullptr, &line, 1, nullptr);
  line_.to_send.set();
}

stream& http2_exchange::upgrade() {
  throw http_error(501, "a connection of HTTP/2 is not handed over");
}

void http2_exchange::send_head(std::optional<std::uint64_t> length) {
  expect_open();
  answer_lines lines(response_.status(), response_.headers());
  if (!response_.headers().contains("Date")) lines.add_plain("date", date_now());
  const std::string digits = std::to_string(length.value_or(0));
  if (length && !response_.headers().contains("Content-Length")) {
    lines.add_plain("content-length", digits);
  }
  // Without data the head has the end of the stream. A client that still sends gets it by itself:
  // only what has been asked for is known to be on its way, before the stream is reset.
  const bool has_body = framing_ == framing::parts || (framing_ == framing::length && length != 0);
  has_data_ = has_body || !is_body_complete_;
  is_all_taken_ = !has_data_;
  const nghttp2_data_provider body{{.ptr = nullptr}, read_source};
  const int error = nghttp2_submit_response(line_.session, id_, lines.all().data(),
                                            lines.all().size(), has_data_ ? &body : nullptr);
  if (error != 0) lose(make_error_code(std::errc::not_enough_memory));
  line_.to_send.set();
}

void http2_exchange::send_part(const_buffer part) {
  const bool is_last = is_all_given();
  if (framing_ == framing::none || !has_data_) {
    if (is_last) send_end();
    return;
  }
  expect_open();
  if (unsent() + part.size() <= joined_bytes_max) {
    kept_.erase(0, std::exchange(kept_taken_, 0));
    kept_.append(static_cast<const char*>(part.data()), part.size());
    is_ended_ = is_last;
    return go_on();
  }
  await_taken();
  struct take_back {
    http2_exchange& self;
    ~take_back() {
      if (self.lent_.size() == 0) return;
      self.lent_ = {nullptr, 0};
      self.is_ended_ = false;  // what has gone must not look like all
      self.is_lost_ = true;
    }
  } at_end{*this};
  lent_ = part;
  is_ended_ = is_last;
  go_on();
  await_taken();
}

void http2_exchange::send_end() {
  if (!has_data_ || is_ended_) return;
  is_ended_ = true;
  go_on();
}

/// Lets nghttp2 ask again, which has been told before that there was nothing.
void http2_exchange::go_on() {
  nghttp2_session_resume_data(line_.session, id_);
  line_.to_send.set();
}

/// Parks until nghttp2 has taken what there is of the answer, its end too.
void http2_exchange::await_taken() {
  const coir::detail::deadline until = coir::detail::deadline_after(options_.write_timeout);
  while (unsent() != 0 || (is_ended_ && !is_all_taken_)) {
    expect_open();
    taken_.clear();
    if (until == coir::detail::never) {
      taken_.wait();
      continue;
    }
    if (taken_.wait_for(detail::time_left(until))) continue;
    is_slow_ = true;
    lose(make_error_code(std::errc::timed_out));
  }
}

void http2_exchange::expect_open() {
  if (is_closed_) lose(make_error_code(std::errc::connection_reset));
}

std::size_t http2_exchange::offer(std::size_t bytes_max, bool& is_end) noexcept {
  const std::size_t count = std::min(unsent(), bytes_max);
  is_end = is_ended_ && count == unsent();
  if (is_end && count == 0) {
    is_all_taken_ = true;
    taken_.set();
  }
  return count;
}

bool http2_exchange::take(std::size_t count, std::string& out) {
  if (count > unsent()) return false;
  const std::size_t from_kept = std::min(count, kept_.size() - kept_taken_);
  out.append(kept_, kept_taken_, from_kept);
  kept_taken_ += from_kept;
  const std::size_t from_lent = count - from_kept;
  out.append(static_cast<const char*>(lent_.data()), from_lent);
  lent_ = lent_.from(from_lent);
  if (unsent() == 0) {
    is_all_taken_ = is_ended_;
    taken_.set();
  }
  return true;
}

}  // namespace coir::net::http
