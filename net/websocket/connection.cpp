#include "net/websocket/connection.hpp"

#include "net/deadlines.hpp"
#include "net/websocket/deflate.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

namespace coir::net::websocket {
namespace {

using coir::detail::deadline;
using coir::detail::never;
using coir::detail::now_ns;

// Room for heads and control frames; payloads longer than half of it are read into their place.
constexpr std::size_t input_bytes_max = 16 * 1024;
constexpr std::size_t direct_bytes_min = input_bytes_max / 2;
// A message's memory grows as it comes, whatever size its head tells.
constexpr std::size_t growth_bytes = 64 * 1024;
// A client masks, and so copies, that much at a time.
constexpr std::size_t masked_bytes = 64 * 1024;
// A peer that pings and does not read is not answered beyond that.
constexpr std::size_t due_bytes_max = 4096;
// What is read and thrown away after the end, so that the peer gets what it was told.
constexpr std::size_t drained_bytes_max = 256 * 1024;
constexpr std::size_t answer_bytes_max = 16 * 1024;
constexpr std::size_t random_bytes_at_once = 256;

deadline after(std::chrono::nanoseconds time) noexcept {
  return coir::detail::deadline_after(time);
}

std::uint16_t code_for(web_socket_errc why) noexcept {
  if (why == web_socket_errc::bad_text) return close_code::bad_text;
  if (why == web_socket_errc::too_big) return close_code::too_big;
  return close_code::protocol_error;
}

}  // namespace

connection::connection(stream& wire, std::unique_ptr<stream> owned, role side,
                       const web_socket_options& how)
    : wire_(wire),
      owned_(std::move(owned)),
      side_(side),
      how_(how),
      input_(wire),
      heard_at_(now_ns()) {}

connection::~connection() { end(); }

void connection::shake_hands(const target& to, deadline until, std::error_code& ec,
                             std::string& why) {
  const client_handshake sent = make_request(to, how_);
  net::detail::expire_reads_at(wire_, until);
  net::detail::expire_writes_at(wire_, until);
  wire_.write_all(sent.request, ec);
  constexpr std::string_view head_end = "\r\n\r\n";
  std::size_t size = std::string_view::npos;
  while (!ec) {
    size = input_.unread().find(head_end);
    if (size != std::string_view::npos) break;
    const bool is_too_long = input_.unread().size() >= answer_bytes_max;
    if (is_too_long || (input_.fill(answer_bytes_max, ec) == 0 && !ec)) {
      ec = web_socket_errc::bad_handshake;
      why = is_too_long ? "the answer is too long" : "the server closed the connection";
    }
  }
  if (!ec) {
    agreed_ = check_answer(input_.unread().substr(0, size + 2), sent, how_, ec, why);
    input_.consume(size + head_end.size());
  }
  if (ec) end();
}

// --- reading -------------------------------------------------------------------------------------

std::optional<web_socket::message> connection::read(deadline until, std::error_code& ec) {
  ec.clear();
  if (is_reading_) {
    ec = std::make_error_code(std::errc::operation_in_progress);
    return std::nullopt;
  }
  if (has_ended_) {
    ec = failure_;
    return std::nullopt;
  }
  struct while_reading {
    connection& self;
    explicit while_reading(connection& c) : self(c) { self.is_reading_ = true; }
    ~while_reading() {
      self.is_reading_ = false;
      self.changed_.set();
    }
  };
  const while_reading reading(*this);
  if (!how_.keeps_alive) heard_at_ = now_ns();
  if (!await_message(until, ec)) return std::nullopt;
  in_message_ = false;
  data_size_ = 0;
  return web_socket::message{std::exchange(data_, {}), is_text_};
}

/// True when data_ is a message; false with `ec`, or at the end.
bool connection::await_message(deadline until, std::error_code& ec) {
  for (;;) {
    if (!in_frame_) {
      if (!begin_frame(until, ec)) return false;
    } else if (is_control(frame_.op)) {
      if (!take_control(until, ec)) return false;
    } else if (taken_ < frame_.size) {
      if (!take_payload(until, ec)) return false;
    } else {
      in_frame_ = false;
      if (frame_.is_final) return finish_message(ec);
    }
  }
}

bool connection::begin_frame(deadline until, std::error_code& ec) {
  switch (parse_head(input_.unread(), frame_)) {
    case head_state::incomplete:
      return fill(until, ec);
    case head_state::invalid:
      return fail(web_socket_errc::protocol_error, ec);
    case head_state::complete:
      break;
  }
  if (const std::error_code problem = problem_of(frame_)) {
    return fail(static_cast<web_socket_errc>(problem.value()), ec);
  }
  input_.consume(frame_.head_bytes);
  in_frame_ = true;
  taken_ = 0;
  if (is_control(frame_.op) || frame_.op == opcode::continuation) return true;
  in_message_ = true;
  is_text_ = frame_.op == opcode::text;
  is_packed_ = frame_.is_compressed;
  return true;
}

/// What is wrong with a frame at this place of this connection.
std::error_code connection::problem_of(const frame_head& head) const noexcept {
  if (head.is_masked != (side_ == role::server)) return web_socket_errc::protocol_error;
  if (is_control(head.op)) return {};
  const bool goes_on = head.op == opcode::continuation;
  if (goes_on != in_message_ || (head.is_compressed && (goes_on || !agreed_.compresses))) {
    return web_socket_errc::protocol_error;
  }
  if (head.size > how_.message_bytes_max - data_size_) return web_socket_errc::too_big;
  return {};
}

bool connection::take_control(deadline until, std::error_code& ec) {
  if (input_.unread().size() < frame_.size) return fill(until, ec);
  std::string payload(input_.unread().substr(0, static_cast<std::size_t>(frame_.size)));
  input_.consume(payload.size());
  if (frame_.is_masked) apply_mask(payload.data(), payload.size(), frame_.mask, 0);
  in_frame_ = false;
  if (frame_.op == opcode::close) return take_close(payload, ec);
  if (frame_.op == opcode::pong) {
    last_pong_ = std::move(payload);
  } else if (due_.size() < due_bytes_max) {
    put_due(opcode::pong, payload);
    flush_if_free(until);
  }
  return true;
}

/// Ends the connection; returns false.
bool connection::take_close(std::string_view payload, std::error_code& ec) {
  std::uint16_t code = close_code::none;
  std::string_view reason;
  if (payload.size() == 1) return fail(web_socket_errc::protocol_error, ec);
  if (payload.size() >= 2) {
    code = static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8 |
                                      static_cast<unsigned char>(payload[1]));
    reason = payload.substr(2);
    if (!is_close_code(code)) return fail(web_socket_errc::protocol_error, ec);
    if (!is_utf8(reason)) return fail(web_socket_errc::bad_text, ec);
  }
  has_met_close_ = true;
  peer_code_ = code;
  peer_reason_ = reason;
  put_close(code, {});
  end_orderly(false);
  return false;
}

bool connection::take_payload(deadline until, std::error_code& ec) {
  const std::uint64_t left = frame_.size - taken_;
  const std::string_view early = input_.unread();
  if (early.empty() && left < direct_bytes_min) return fill(until, ec);
  if (data_size_ == data_.size()) {
    const std::size_t more = std::max(data_.size(), growth_bytes);
    data_.resize(data_size_ + static_cast<std::size_t>(std::min<std::uint64_t>(left, more)));
  }
  char* const place = data_.data() + data_size_;
  std::size_t count =
      static_cast<std::size_t>(std::min<std::uint64_t>(left, data_.size() - data_size_));
  if (!early.empty()) {
    count = std::min(count, early.size());
    std::memcpy(place, early.data(), count);
    input_.consume(count);
  } else {
    const mutable_buffer into(place, count);
    count = receive([&](std::error_code& e) { return wire_.read_some(into, e); }, until, ec);
    if (count == 0) return false;
  }
  if (frame_.is_masked) apply_mask(place, count, frame_.mask, taken_);
  taken_ += count;
  data_size_ += count;
  return true;
}

bool connection::finish_message(std::error_code& ec) {
  data_.resize(data_size_);
  if (is_packed_) {
    std::string unpacked;
    const unpack_result result = unpack(data_, how_.message_bytes_max, unpacked);
    if (result == unpack_result::too_big) return fail(web_socket_errc::too_big, ec);
    if (result == unpack_result::invalid) return fail(web_socket_errc::protocol_error, ec);
    data_ = std::move(unpacked);
  }
  return !is_text_ || is_utf8(data_) || fail(web_socket_errc::bad_text, ec);
}

/// Reads more into input_; false with `ec`, or at the end.
bool connection::fill(deadline until, std::error_code& ec) {
  return receive([this](std::error_code& e) { return input_.fill(input_bytes_max, e); }, until,
                 ec) != 0;
}

/// What `call(ec)` reads. Meanwhile asks a silent peer whether it lives. 0 with `ec`, or at the
/// end; then the connection has ended unless it is the deadline that passed.
template <class Call>
std::size_t connection::receive(Call call, deadline until, std::error_code& ec) {
  for (;;) {
    const deadline silence = silence_until();
    net::detail::expire_reads_at(wire_, std::min(until, silence));
    const std::size_t count = call(ec);
    if (has_ended_) {  // by close(), meanwhile
      ec = failure_;
      return 0;
    }
    if (count != 0) {
      heard_at_ = now_ns();
      pinged_at_ = 0;
      return count;
    }
    if (ec != std::errc::timed_out) {
      if (!ec && !is_closing_) ec = web_socket_errc::vanished;
      failure_ = ec;
      end();
      return 0;
    }
    const deadline now = now_ns();
    if (now >= until) return 0;
    if (now < silence) continue;
    if (!how_.keeps_alive || pinged_at_ != 0) {
      failure_ = ec = web_socket_errc::vanished;
      end();
      return 0;
    }
    pinged_at_ = now;
    put_due(opcode::ping, {});
    flush_if_free(std::min(until, silence_until()));
  }
}

/// Until when nothing need be done about a silent peer.
deadline connection::silence_until() const noexcept {
  const deadline patience = std::chrono::nanoseconds(how_.idle_timeout).count();
  if (patience <= 0) return never;
  if (!how_.keeps_alive) return heard_at_ + patience;
  return (pinged_at_ != 0 ? pinged_at_ : heard_at_) + patience / 2;
}

// --- writing -------------------------------------------------------------------------------------

void connection::write(opcode op, const_buffer bytes, deadline until, std::error_code& ec) {
  ec.clear();
  if (until == never) until = after(how_.write_timeout);
  std::string packed_bytes;
  const bool is_packed =
      agreed_.compresses && !is_control(op) && bytes.size() >= how_.compressed_bytes_min;
  if (is_packed) {
    const std::string_view message(static_cast<const char*>(bytes.data()), bytes.size());
    packed_bytes = packed(message, agreed_.window_bits);
    bytes = packed_bytes;
  }
  const auto lock = lock_writing(until);
  if (!lock.owns_lock()) {
    ec = std::make_error_code(std::errc::timed_out);
  } else if (has_ended_ || is_closing_) {
    ec = failure_ ? failure_ : web_socket_errc::closing;
  } else if (is_cut_) {
    ec = web_socket_errc::broken;
  }
  if (!ec) send_due(until, ec);
  if (ec) return;
  send_message(op, bytes, is_packed, until, ec);
  std::error_code ignored;  // of control frames, which wait for the next sender
  if (!ec) send_due(until, ignored);
}

void connection::send_message(opcode op, const_buffer bytes, bool is_packed, deadline until,
                              std::error_code& ec) {
  frame_head head;
  head.op = op;
  head.is_compressed = is_packed;
  head.is_masked = side_ == role::client;
  if (head.is_masked) head.mask = next_mask();
  head.size = bytes.size();
  char head_bytes[head_bytes_max];
  const const_buffer written_head(head_bytes, put_head(head, head_bytes));
  is_cut_ = true;
  net::detail::expire_writes_at(wire_, until);
  if (!head.is_masked) {
    wire_.write_parts({written_head, bytes}, ec);
  } else {
    masked_.assign(head_bytes, written_head.size());
    for (std::size_t done = 0; !ec;) {
      const std::size_t begin = masked_.size();
      const std::size_t count = std::min(bytes.size() - done, masked_bytes);
      masked_.append(static_cast<const char*>(bytes.data()) + done, count);
      apply_mask(masked_.data() + begin, count, head.mask, done);
      wire_.write_all(masked_, ec);
      masked_.clear();
      done += count;
      if (done == bytes.size()) break;
    }
  }
  if (!ec) is_cut_ = false;
}

/// Empty when `until` passed.
std::unique_lock<mutex> connection::lock_writing(deadline until) {
  std::unique_lock<mutex> lock(writing_, std::try_to_lock);
  if (!lock.owns_lock()) static_cast<void>(lock.try_lock_for(net::detail::time_left(until)));
  return lock;
}

void connection::put_due(opcode op, std::string_view payload) {
  if (is_closing_) return;
  frame_head head;
  head.op = op;
  head.is_masked = side_ == role::client;
  if (head.is_masked) head.mask = next_mask();
  head.size = payload.size();
  char head_bytes[head_bytes_max];
  due_.append(head_bytes, put_head(head, head_bytes)).append(payload);
  if (head.is_masked) {
    apply_mask(due_.data() + due_.size() - payload.size(), payload.size(), head.mask, 0);
  }
}

void connection::put_close(std::uint16_t code, std::string_view reason) {
  std::string payload;
  if (code != close_code::none) {
    payload += static_cast<char>(code >> 8);
    payload += static_cast<char>(code & 0xff);
    payload += reason;
  }
  put_due(opcode::close, payload);
  is_closing_ = true;
}

/// Sends what is due unless somebody writes, who will do it then.
void connection::flush_if_free(deadline until) {
  const std::unique_lock<mutex> lock(writing_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  std::error_code ignored;  // a reader learns of a lost connection by reading
  send_due(std::min(until, after(how_.write_timeout)), ignored);
}

/// Under writing_. What does not go out in time stays.
void connection::send_due(deadline until, std::error_code& ec) {
  while (!is_cut_ && !(due_.empty() && sending_.empty())) {
    if (sending_.empty()) sending_ = std::exchange(due_, {});
    net::detail::expire_writes_at(wire_, until);
    sent_ += wire_.write_some(const_buffer(sending_).from(sent_), ec);
    if (ec) return;
    if (sent_ < sending_.size()) continue;
    sending_.clear();
    sent_ = 0;
  }
}

mask_key connection::next_mask() {
  mask_key key;
  if (random_.size() < key.size()) random_ = random_bytes(random_bytes_at_once);
  std::memcpy(key.data(), random_.data() + random_.size() - key.size(), key.size());
  random_.resize(random_.size() - key.size());
  return key;
}

// --- the end -------------------------------------------------------------------------------------

bool connection::close(std::uint16_t code, std::string_view reason) {
  struct at_end {
    connection& self;
    ~at_end() { self.end(); }
  };
  if (has_ended_) return has_met_close_;
  const at_end ended{*this};
  const deadline until = after(how_.close_timeout);
  put_close(code, reason);
  std::error_code ec;
  {
    const auto lock = lock_writing(until);
    if (!lock.owns_lock() || is_cut_) return false;
    send_due(until, ec);
  }
  while (!has_ended_ && !ec && now_ns() < until) {
    if (is_reading_) {
      changed_.clear();
      changed_.wait_for(net::detail::time_left(until));
    } else {
      read(until, ec);
    }
  }
  return has_met_close_;
}

/// Ends the connection because of what the peer sent; returns false.
bool connection::fail(web_socket_errc why, std::error_code& ec) {
  failure_ = ec = why;
  put_close(code_for(why), {});
  end_orderly(true);
  return false;
}

/// Sends the close, and lets the peer read it: closing a socket that has still something to read
/// resets the connection. The server ends its half first, as RFC 6455 has it.
void connection::end_orderly(bool is_failure) {
  struct at_end {
    connection& self;
    ~at_end() { self.end(); }
  };
  const at_end ended{*this};
  const deadline until = after(how_.close_timeout);
  std::error_code ec;
  {
    const auto lock = lock_writing(until);
    if (!lock.owns_lock() || is_cut_) return;
    send_due(until, ec);
  }
  if (!ec && (is_failure || side_ == role::server)) wire_.shutdown(direction::write, ec);
  net::detail::expire_reads_at(wire_, until);
  char thrown_away[4096];
  for (std::size_t bytes = 0; !ec && bytes < drained_bytes_max;) {
    const std::size_t count = wire_.read_some(thrown_away, ec);
    if (count == 0) break;
    bytes += count;
  }
}

void connection::end() noexcept {
  if (has_ended_) return;
  has_ended_ = true;
  std::error_code ignored;
  wire_.close(ignored);
  changed_.set();
}

}  // namespace coir::net::websocket
