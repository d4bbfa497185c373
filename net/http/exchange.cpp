#include "net/http/exchange.hpp"

#include "net/cooperative.hpp"
#include "net/deadlines.hpp"
#include "net/http/text.hpp"
#include "net/http/upgraded_stream.hpp"

#include <coir/net/error.hpp>
#include <coir/net/tls_error.hpp>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace coir::net::http {
namespace {

using coir::detail::deadline;

// A body that fits goes out with its head, copied: one system call and one buffer are cheaper.
constexpr std::size_t joined_bytes_max = 16 * 1024;
constexpr std::size_t smallest_input = 4096;
// A server may say "wait" in answers of its own; one that says nothing else is of no use.
constexpr int interim_answers_max = 16;
// What is read of a body that nobody wants, so that its connection can be used again.
constexpr std::size_t skipped_bytes_max = 64 * 1024;
constexpr std::chrono::milliseconds skipping_time{500};

bool is_idempotent(std::string_view method) noexcept {
  for (const char* each : {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}) {
    if (method == each) return true;
  }
  return false;
}

/// The server, or what lies between, has ended the connection.
bool is_loss(const std::error_code& ec) noexcept {
  return ec == std::errc::broken_pipe || ec == std::errc::connection_reset ||
         ec == std::errc::connection_aborted || ec == std::errc::not_connected ||
         ec == make_error_code(errc::end_of_stream) || ec == make_error_code(tls_errc::truncated);
}

/// The connection of an exchange that is over. Its place is free again when this ends.
class leased_stream final : public upgraded_stream {
 public:
  explicit leased_stream(connection_pool::lease taken) noexcept
      : upgraded_stream(taken->in, *taken->to), lease_(std::move(taken)) {}

 private:
  connection_pool::lease lease_;
};

std::uint64_t number(std::string_view text) {
  const auto value = whole_number(text);
  if (!value) {
    detail::throw_error(std::make_error_code(std::errc::invalid_argument),
                        "the Content-Length of an upload is no number: " + std::string(text));
  }
  return *value;
}

}  // namespace

exchange::exchange(std::shared_ptr<const client_settings> settings, connection_pool::lease on,
                   const plan& what)
    : settings_(std::move(settings)),
      lease_(std::move(on)),
      name_(what.name()),
      method_(what.method),
      url_text_(what.where.to_public_string()),
      asks_for_upgrade_(what.headers.has_token("Connection", "upgrade")),
      until_(what.until) {
  reader_.emplace(head_, settings_->head_limits, method_ == "HEAD");
  is_kept_ = !what.headers.has_token("Connection", "close");
  if (!what.is_upload) return;
  const bool tells_length = what.headers.contains("Content-Length");
  framing_ = tells_length ? framing::length : framing::chunked;
  if (tells_length) body_left_ = number(what.headers.get("Content-Length"));
}

void exchange::send(std::string head, std::string_view body, bool expects_continue) {
  if (!expects_continue && body.size() <= joined_bytes_max) {
    head.append(body);
    body = {};
  }
  if (!write_all(head) || body.empty()) return;
  if (expects_continue && !wait_for_continue()) {
    is_kept_ = false;  // the server cannot know that no body follows
    return;
  }
  write_all(body);
}

/// False when the server has hung up; write_error_ says how.
bool exchange::write_all(std::string_view bytes) {
  fail_if_failed();
  const_buffer rest(bytes.data(), bytes.size());
  while (rest.size() != 0 && !write_error_) {
    std::error_code ec;
    detail::expire_writes_at(to(), soon(settings_->options.write_timeout));
    rest = rest.from(to().write_some(rest, ec));
    if (is_loss(ec)) {
      write_error_ = ec;
      is_kept_ = false;
    } else if (ec) {
      fail(ec, "send the request");
    }
  }
  return !write_error_;
}

bool exchange::write(const_buffer part) {
  fail_if_failed();
  if (framing_ == framing::length) {
    if (part.size() > body_left_) {
      throw std::logic_error(name_ + ": more is written than the Content-Length says");
    }
    body_left_ -= part.size();
  }
  const std::string_view bytes(static_cast<const char*>(part.data()), part.size());
  if (write_error_ || part.size() == 0) return !write_error_;
  if (framing_ != framing::chunked) return write_all(bytes);
  char size[24];
  const auto end = std::to_chars(size, size + sizeof size, part.size(), 16).ptr;
  std::string chunk(size, end);
  chunk += "\r\n";
  if (bytes.size() <= joined_bytes_max) return write_all(chunk.append(bytes).append("\r\n"));
  return write_all(chunk) && write_all(bytes) && write_all("\r\n");
}

void exchange::end_upload() {
  fail_if_failed();
  if (framing_ == framing::length && body_left_ != 0 && !write_error_) {
    throw std::logic_error(name_ + ": less was written than the Content-Length says");
  }
  if (framing_ == framing::chunked) write_all("0\r\n\r\n");
}

/// Parks until the server says that it wants the body, or nothing for a while. False when it has
/// answered without the body.
bool exchange::wait_for_continue() {
  const deadline patience = soon(settings_->options.continue_timeout);
  while (read_head(patience)) {
    if (head_.status / 100 != 1 || head_.status == 101) return false;
    const bool is_wanted = head_.status == 100;
    drop_interim_answer();
    if (is_wanted) return true;
  }
  return true;
}

void exchange::await_answer() {
  fail_if_failed();
  const deadline patience = soon(settings_->options.response_timeout);
  do {
    if (!read_head(patience)) {
      fail(std::make_error_code(std::errc::timed_out), "wait for the answer");
    }
  } while (drop_interim_answer());
  length_ = reader_->body_length();
  if (reader_->is_complete() && !is_upgrade()) complete();
}

/// False when the time is up.
bool exchange::read_head(deadline until) {
  const std::size_t bytes_max = std::max(settings_->options.header_bytes_max, smallest_input);
  while (!reader_->read_head(in())) {
    if (reader_->error()) fail(reader_->error(), reader_->why());
    detail::expire_reads_at(to(), until);
    std::error_code ec;
    if (in().fill(bytes_max, ec) != 0) {
      has_begun_ = true;
      continue;
    }
    if (ec == std::errc::timed_out) return false;
    if (write_error_ && !has_begun_) fail(write_error_, "send the request");
    fail(ec ? ec : make_error_code(errc::end_of_stream), "read the answer");
  }
  return true;
}

/// False when the answer is the final one.
bool exchange::drop_interim_answer() {
  if (head_.status / 100 != 1 || is_upgrade()) return false;
  if (head_.status == 101) fail(errc::malformed_answer, "it changes the protocol, unasked");
  if (++interim_answers_ > interim_answers_max) {
    fail(errc::malformed_answer, "it never comes to the point: too many interim answers");
  }
  head_ = {};
  reader_.emplace(head_, settings_->head_limits, method_ == "HEAD");
  return true;
}

std::size_t exchange::read_some(mutable_buffer into) {
  fail_if_failed();
  if (into.size() == 0) return 0;
  while (!reader_->is_complete()) {
    std::size_t count = reader_->read_body(in(), into);
    if (!reader_->error() && count == 0 && !reader_->is_complete()) count = fill(into);
    if (reader_->error()) fail(reader_->error(), reader_->why());
    if (reader_->is_complete()) complete();
    if (count != 0) return count;
  }
  return 0;
}

/// Reads more from the server: straight into its place when that is known; else into in(), and the
/// result is 0.
std::size_t exchange::fill(mutable_buffer into) {
  detail::expire_reads_at(to(), soon(settings_->options.read_timeout));
  const std::uint64_t left = reader_->bytes_left();
  const bool is_bare = left != 0 || reader_->ends_with_connection();
  std::error_code ec;
  std::size_t count = 0;
  if (is_bare) {
    const std::uint64_t room = left != 0 ? std::min<std::uint64_t>(left, into.size()) : into.size();
    count = to().read_some({into.data(), static_cast<std::size_t>(room)}, ec);
    if (count != 0) reader_->note_body({into.data(), count});
  } else {
    const std::size_t bytes_max = std::max(settings_->options.header_bytes_max, smallest_input);
    if (in().unread().size() >= bytes_max) {
      fail(errc::answer_too_long, "the head of a chunk, or the trailer, is too long");
    }
    count = in().fill(bytes_max, ec);
  }
  if (ec) fail(ec, "read the body");
  if (count == 0) {
    if (!reader_->ends_with_connection()) fail(errc::end_of_stream, "read the body");
    reader_->note_end();
  }
  return is_bare ? count : 0;
}

std::string exchange::read_body() {
  constexpr std::size_t step_min = 16 * 1024;
  constexpr std::size_t step_max = 128 * 1024;
  const std::uint64_t bytes_max = settings_->options.body_bytes_max;
  const auto expect_to_fit = [&](std::uint64_t size) {
    if (size > bytes_max) {
      fail(errc::answer_too_long,
           "its body is longer than " + std::to_string(bytes_max) + " bytes");
    }
  };
  fail_if_failed();
  if (!reader_->is_complete()) expect_to_fit(reader_->bytes_left());
  std::string body;
  for (;;) {
    // A stretch as large as what there is already, so that long bodies come in few reads.
    const std::size_t size = body.size();
    body.resize(size + std::clamp(size, step_min, step_max));
    const std::size_t count = read_some({body.data() + size, body.size() - size});
    body.resize(size + count);
    if (count == 0) return body;
    expect_to_fit(body.size());
  }
}

void exchange::skip_short_body() {
  if (reader_->is_complete() || reader_->ends_with_connection() ||
      reader_->bytes_left() > skipped_bytes_max) {
    return;
  }
  until_ = soon(skipping_time);
  char thrown_away[4096];
  std::size_t bytes = 0;
  try {
    while (bytes <= skipped_bytes_max && coir::detail::now_ns() < until_) {
      const std::size_t count = read_some(thrown_away);
      if (count == 0) return;
      bytes += count;
    }
  } catch (const std::system_error&) {  // then it is not used again
  }
}

/// The answer has been read to its end.
void exchange::complete() {
  if (is_kept_ && reader_->allows_another() && in().unread().empty()) {
    lease_.give_back();
  } else {
    lease_.drop();
  }
}

std::unique_ptr<stream> exchange::take_connection() {
  fail_if_failed();
  if (!is_upgrade() || !lease_) {
    throw std::logic_error(name_ + ": the answer changes no protocol: its status is not 101");
  }
  to().expires_never();
  return std::make_unique<leased_stream>(std::move(lease_));
}

bool exchange::may_be_repeated() const noexcept {
  return is_lost_ && !has_begun_ && lease_.is_reused() && is_idempotent(method_);
}

/// The deadline of a step that may take `time`.
deadline exchange::soon(std::chrono::milliseconds time) const noexcept {
  return std::min(until_, coir::detail::deadline_after(time));
}

void exchange::fail_if_failed() {
  if (error_) detail::throw_error(error_, name_ + ": " + error_during_);
}

void exchange::fail(const std::error_code& ec, const std::string& during) {
  is_lost_ = is_loss(ec);
  lease_.drop();
  error_ = ec;
  error_during_ = during;
  detail::throw_error(ec, name_ + ": " + during);
}

}  // namespace coir::net::http
