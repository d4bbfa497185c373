#include "net/http/http2_connection.hpp"

#include "net/deadlines.hpp"
#include "net/socket_calls.hpp"

#include <coir/net/stream.hpp>
#include <coir/no_kill.hpp>

#include <algorithm>
#include <new>
#include <utility>

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

namespace coir::net::http {
namespace {

constexpr std::size_t read_bytes = 16 * 1024;  // what a frame holds
// Enough for one write, in which frames of many streams go.
constexpr std::size_t sent_together_bytes = 64 * 1024;
// The buffer of a connection that has nothing to send need not be longer.
constexpr std::size_t kept_bytes_max = 16 * 1024;
// What all streams together may have on their way to us. Each has 64 KiB for itself.
constexpr std::int32_t connection_window = 1024 * 1024;
// Answers with more in their head are none.
constexpr std::size_t answer_head_bytes_max = 1024 * 1024;
// Clients may well cancel all that they have asked for, but not all the time (CVE-2023-44487).
constexpr unsigned resets_at_once = 500;
constexpr unsigned resets_per_second = 30;
// Settings, pings, priorities and empty parts of bodies; some send a ping with each few parts.
constexpr unsigned idle_frames_at_once = 2000;
constexpr unsigned idle_frames_per_second = 200;

std::string_view text_of(nghttp2_rcbuf* bytes) noexcept {
  const nghttp2_vec all = nghttp2_rcbuf_get_buf(bytes);
  return {reinterpret_cast<const char*>(all.base), all.len};
}

/// What a client has to hear that made nghttp2 give up, or exceeded an allowance.
std::uint32_t code_of_failure(ssize_t result) noexcept {
  if (result >= 0) return NGHTTP2_ENHANCE_YOUR_CALM;
  switch (result) {
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
      return NGHTTP2_PROTOCOL_ERROR;
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
      return NGHTTP2_ENHANCE_YOUR_CALM;
    default:
      return NGHTTP2_INTERNAL_ERROR;
  }
}

/// The end of a time that began then.
coir::detail::deadline limit_from(coir::detail::deadline since,
                                  std::chrono::milliseconds limit) noexcept {
  const coir::detail::deadline end = coir::detail::deadline_after(limit);
  return end == coir::detail::never ? end : end - (coir::detail::now_ns() - since);
}

}  // namespace

bool allowance::take() noexcept {
  const coir::detail::deadline now = coir::detail::now_ns();
  const double seconds = since_ == 0 ? 0 : static_cast<double>(now - since_) / 1e9;
  since_ = now;
  left_ = std::min(at_once_, left_ + seconds * per_second_);
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

/// What nghttp2 calls; `self` is the connection. Memory that runs out ends the session.
struct http2_connection::callbacks {
  using connection = http2_connection;

  static connection& of(void* self) noexcept { return *static_cast<connection*>(self); }

  template <class Function>
  static int guarded(Function f) noexcept {
    try {
      f();
      return 0;
    } catch (const std::exception&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }

  static bool is_request(const nghttp2_frame& frame) noexcept {
    return frame.hd.type == NGHTTP2_HEADERS && frame.headers.cat == NGHTTP2_HCAT_REQUEST;
  }

  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* self) noexcept {
    if (head->type != NGHTTP2_CONTINUATION && of(self).arriving_) of(self).head_since_ = 0;
    return 0;
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self) noexcept {
    if (!is_request(*frame)) return 0;
    return guarded([&] { of(self).begin_request(frame->hd.stream_id); });
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                    nghttp2_rcbuf* value, std::uint8_t, void* self) noexcept {
    http2_exchange* const to = of(self).arriving_.get();
    if (!is_request(*frame) || !to || to->stream_id() != frame->hd.stream_id) return 0;
    return guarded([&] { to->add_field(text_of(name), text_of(value)); });
  }

  static int invalid_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf*, nghttp2_rcbuf*,
                            std::uint8_t, void*) noexcept {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* self) noexcept {
    connection& c = of(self);
    const nghttp2_frame_hd& head = frame->hd;
    c.note_frame(head.type, head.flags, head.length);
    const bool is_end = (head.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (is_request(*frame)) return guarded([&] { c.begin_answer(!is_end); });
    const bool is_of_body = head.type == NGHTTP2_DATA || head.type == NGHTTP2_HEADERS;
    http2_exchange* const to = is_of_body && is_end ? c.exchange_of(head.stream_id) : nullptr;
    if (to) to->end_body();
    return 0;
  }

  static int data(nghttp2_session* session, std::uint8_t, std::int32_t stream,
                  const std::uint8_t* bytes, std::size_t size, void* self) noexcept {
    nghttp2_session_consume_connection(session, size);
    http2_exchange* const to = of(self).exchange_of(stream);
    if (!to) return 0;  // its window stays closed; it is being reset
    return guarded([&] { to->add_body({reinterpret_cast<const char*>(bytes), size}); });
  }

  static int stream_closed(nghttp2_session*, std::int32_t stream, std::uint32_t,
                           void* self) noexcept {
    connection& c = of(self);
    http2_exchange* const to = c.exchange_of(stream);
    if (!to) return 0;
    to->end();
    if (c.arriving_.get() == to) c.arriving_.reset();
    std::erase_if(c.waiting_, [to](const auto& each) { return each.get() == to; });
    return 0;
  }

  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* self) noexcept {
    const bool is_reset = frame->hd.type == NGHTTP2_RST_STREAM;
    if (is_reset && frame->rst_stream.error_code != NGHTTP2_NO_ERROR) of(self).note_reset();
    return 0;
  }

  static int frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int,
                            void*) noexcept {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                     NGHTTP2_INTERNAL_ERROR);
  }

  static ssize_t send(nghttp2_session*, const std::uint8_t* bytes, std::size_t size, int,
                      void* self) noexcept {
    std::string& out = of(self).out_;
    if (out.size() >= sent_together_bytes) return NGHTTP2_ERR_WOULDBLOCK;
    const int error = guarded([&] { out.append(reinterpret_cast<const char*>(bytes), size); });
    return error != 0 ? error : static_cast<ssize_t>(size);
  }

  static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head,
                       std::size_t size, nghttp2_data_source*, void* self) noexcept {
    std::string& out = of(self).out_;
    if (out.size() >= sent_together_bytes) return NGHTTP2_ERR_WOULDBLOCK;
    http2_exchange* const from = of(self).exchange_of(frame->hd.stream_id);
    bool is_there = from != nullptr;
    const int error = guarded([&] {
      if (!is_there) return;
      constexpr std::size_t head_bytes = 9;
      out.append(reinterpret_cast<const char*>(head), head_bytes);
      is_there = from->take(size, out);
      if (!is_there) out.resize(out.size() - head_bytes);
    });
    return is_there ? error : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  /// The table of them, made once.
  static const nghttp2_session_callbacks* table() {
    static nghttp2_session_callbacks* const made = [] {
      nghttp2_session_callbacks* all = nullptr;
      if (nghttp2_session_callbacks_new(&all) != 0) throw std::bad_alloc();
      nghttp2_session_callbacks_set_on_begin_frame_callback(all, begin_frame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(all, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback2(all, header);
      nghttp2_session_callbacks_set_on_invalid_header_callback2(all, invalid_header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(all, frame_received);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, data);
      nghttp2_session_callbacks_set_on_stream_close_callback(all, stream_closed);
      nghttp2_session_callbacks_set_on_frame_send_callback(all, frame_sent);
      nghttp2_session_callbacks_set_on_frame_not_send_callback(all, frame_not_sent);
      nghttp2_session_callbacks_set_send_callback(all, send);
      nghttp2_session_callbacks_set_send_data_callback(all, send_data);
      return all;
    }();
    return made;
  }
};

http2_connection::http2_connection(stream& client, const address& peer, const service& with)
    : served_connection(client),
      peer_(peer),
      with_(with),
      resets_(resets_at_once, resets_per_second),
      idle_frames_(idle_frames_at_once, idle_frames_per_second) {
  make_session();
}

http2_connection::~http2_connection() {
  const this_fiber::no_kill to_the_end;  // its fibers use this object
  end_exchanges();
  handlers_.kill();
  if (sender_.valid() && !sender_.ready()) sender_.kill();
  arriving_.reset();
  nghttp2_session_del(line_.session);
}

void http2_connection::make_session() {
  nghttp2_option* how = nullptr;
  if (nghttp2_option_new(&how) != 0) throw std::bad_alloc();
  nghttp2_option_set_no_auto_window_update(how, 1);
  nghttp2_option_set_no_closed_streams(how, 1);
  nghttp2_option_set_max_send_header_block_length(how, answer_head_bytes_max);
  const int error = nghttp2_session_server_new2(&line_.session, callbacks::table(), this, how);
  nghttp2_option_del(how);
  if (error != 0) throw std::bad_alloc();
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, with_.options.http2_streams_max},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<std::uint32_t>(with_.options.header_bytes_max)}};
  nghttp2_submit_settings(line_.session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(line_.session, NGHTTP2_FLAG_NONE, 0, connection_window);
}

void http2_connection::serve(std::string_view received) {
  received_ = std::make_unique_for_overwrite<char[]>(read_bytes);
  head_since_ = line_.idle_since = coir::detail::now_ns();
  line_.to_send.set();
  sender_ =
      spawn({.name = "http2 sender", .stack_bytes = with_.stack_bytes}, [this] { send_all(); });
  bool goes_on = understand(received);
  while (goes_on) goes_on = read_more();
  end_exchanges();
  handlers_.join();
  is_ending_ = true;
  line_.to_send.set();
  sender_.join();
  if (!is_over_) linger();
}

/// False when the connection is to end.
bool http2_connection::read_more() {
  detail::expire_reads_at(client_, patience_ends());
  std::error_code ec;
  const std::size_t count = client_.read_some({received_.get(), read_bytes}, ec);
  if (count != 0) return understand({received_.get(), count});
  if (ec == std::errc::timed_out) return !is_out_of_patience();
  is_over_ = true;
  return false;
}

bool http2_connection::understand(std::string_view bytes) {
  nghttp2_session* const session = line_.session;
  const ssize_t done = nghttp2_session_mem_recv(
      session, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (done < 0 || is_exceeding_) {
    terminate(code_of_failure(done));
    return false;
  }
  if (nghttp2_session_want_write(session)) line_.to_send.set();
  this_fiber::yield();  // to the handlers that have begun, and to the sender
  return nghttp2_session_want_read(session) != 0;
}

/// Until when more must have come; with open streams, when to look again.
coir::detail::deadline http2_connection::patience_ends() const noexcept {
  if (head_since_ != 0) return limit_from(head_since_, with_.options.header_timeout);
  const bool is_idle = line_.exchanges.empty();
  return limit_from(is_idle ? line_.idle_since : coir::detail::now_ns(),
                    with_.options.idle_timeout);
}

bool http2_connection::is_out_of_patience() {
  if (head_since_ == 0 && !line_.exchanges.empty()) return false;
  if (coir::detail::now_ns() < patience_ends()) return false;
  terminate(head_since_ != 0 ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR);
  return true;
}

void http2_connection::terminate(std::uint32_t why) noexcept {
  nghttp2_session_terminate_session(line_.session, why);
  line_.to_send.set();
}

/// Lets what handlers still do with their streams fail.
void http2_connection::end_exchanges() noexcept {
  waiting_.clear();
  for (http2_exchange* each : line_.exchanges) each->end();
}

void http2_connection::begin_request(std::int32_t stream) {
  if (head_since_ == 0) head_since_ = coir::detail::now_ns();
  arriving_.reset();
  arriving_ = std::make_unique<http2_exchange>(line_, stream, peer_, with_);
}

/// The request that has come gets a fiber, or waits for one.
void http2_connection::begin_answer(bool has_body) {
  head_since_ = 0;
  if (!arriving_) return;
  arriving_->end_head(has_body);
  waiting_.push_back(std::move(arriving_));
  start_waiting();
}

/// Starts handlers for those that wait, while there are not too many.
void http2_connection::start_waiting() {
  while (!waiting_.empty() && line_.exchanges.size() < with_.options.http2_streams_max) {
    std::unique_ptr<http2_exchange> next = std::move(waiting_.front());
    waiting_.pop_front();
    line_.exchanges.push_back(next.get());
    try {
      handlers_.spawn({.name = "http2 stream", .stack_bytes = with_.stack_bytes},
                      [this, exchange = std::move(next)]() mutable {
                        exchange->run();
                        exchange.reset();
                        start_waiting();
                      });
    } catch (const std::exception&) {  // the exchange has gone with the function: a reset stream
    }
  }
}

void http2_connection::note_frame(std::uint8_t type, std::uint8_t flags,
                                  std::size_t length) noexcept {
  switch (type) {
    case NGHTTP2_RST_STREAM:
      return note_reset();
    case NGHTTP2_SETTINGS:
      head_since_ = 0;
      break;
    case NGHTTP2_PING:
    case NGHTTP2_PRIORITY:
      break;
    case NGHTTP2_DATA:
      if (length == 0 && (flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
      return;
    default:
      return;
  }
  if (!idle_frames_.take()) is_exceeding_ = true;
}

void http2_connection::note_reset() noexcept {
  if (!resets_.take()) is_exceeding_ = true;
}

http2_exchange* http2_connection::exchange_of(std::int32_t stream) const noexcept {
  return static_cast<http2_exchange*>(nghttp2_session_get_stream_user_data(line_.session, stream));
}

/// The life of the sender.
void http2_connection::send_all() {
  for (;;) {
    line_.to_send.wait();
    line_.to_send.clear();
    if (with_.is_stopping.load() && !is_stop_told_) begin_stop();
    const bool is_sent = flush();
    if (is_sent && is_ending_) return;
    const bool is_done = is_stop_told_ && line_.exchanges.empty();
    if (is_sent && !is_done) continue;
    is_over_ = true;  // and wakes the reader
    std::error_code ignored;
    detail::shutdown_socket(client_.native_handle(), is_sent ? SHUT_RD : SHUT_RDWR, ignored);
    if (!is_sent) return;
  }
}

/// Sends what nghttp2 has; false when that cannot be done.
bool http2_connection::flush() {
  for (;;) {
    if (nghttp2_session_send(line_.session) != 0) return false;
    if (out_.empty()) break;
    std::error_code ec;
    client_.writes_expire_after(with_.options.write_timeout);
    client_.write_all(out_, ec);
    out_.clear();
    if (ec) return false;
  }
  if (out_.capacity() > kept_bytes_max && line_.exchanges.empty()) out_ = {};
  return true;
}

void http2_connection::begin_stop() {
  is_stop_told_ = true;
  nghttp2_submit_goaway(line_.session, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(line_.session), NGHTTP2_NO_ERROR,
                        nullptr, 0);
}

}  // namespace coir::net::http
