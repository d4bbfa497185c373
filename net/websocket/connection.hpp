/// The open WebSocket: what a web_socket holds.
///
/// All fibers belong to one worker, so whatever does not park is one step. Two things keep a reader
/// and writers apart:
///
/// 1. Whoever writes to the stream holds writing_. A message is written by one holder as a whole,
///    and is_cut_ stays behind when that fails in the middle: no frame may follow then.
/// 2. Control frames that a read answers (pong, close) and pings of its own are put into due_,
///    whole. A reader sends them only if nobody writes; else the writer does, behind its message.
///    So a reader never waits for a writer that waits for the peer, who may wait for the reader.
///
/// What was begun of due_ is kept in sending_ until it is gone, so that neither a deadline nor a
/// kill of the sender cuts a control frame off.
#pragma once

#include "net/http/input.hpp"
#include "net/websocket/frame.hpp"
#include "net/websocket/handshake.hpp"

#include <coir/event.hpp>
#include <coir/mutex.hpp>
#include <coir/net/web_socket.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace coir::net::websocket {

class connection {
 public:
  enum class role { server, client };

  /// Over `wire`, which it owns if `owned` is the same.
  connection(stream& wire, std::unique_ptr<stream> owned, role side, const web_socket_options& how);
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection();

  /// A client's handshake; must succeed before anything else is done. `why` explains `ec`.
  void shake_hands(const target& to, coir::detail::deadline until, std::error_code& ec,
                   std::string& why);
  /// Sets what a server has agreed on.
  void agree(agreement what) { agreed_ = std::move(what); }

  std::optional<web_socket::message> read(coir::detail::deadline until, std::error_code& ec);
  void write(opcode op, const_buffer bytes, coir::detail::deadline until, std::error_code& ec);
  bool close(std::uint16_t code, std::string_view reason);

  bool is_open() const noexcept { return !has_ended_; }
  std::uint16_t peer_code() const noexcept { return peer_code_; }
  const std::string& peer_reason() const noexcept { return peer_reason_; }
  const std::string& last_pong() const noexcept { return last_pong_; }
  const agreement& agreed() const noexcept { return agreed_; }
  const stream& wire() const noexcept { return wire_; }

 private:
  using deadline = coir::detail::deadline;

  bool await_message(deadline until, std::error_code& ec);
  bool begin_frame(deadline until, std::error_code& ec);
  std::error_code problem_of(const frame_head& head) const noexcept;
  bool take_control(deadline until, std::error_code& ec);
  bool take_close(std::string_view payload, std::error_code& ec);
  bool take_payload(deadline until, std::error_code& ec);
  bool finish_message(std::error_code& ec);

  bool fill(deadline until, std::error_code& ec);
  template <class Call>
  std::size_t receive(Call call, deadline until, std::error_code& ec);
  deadline silence_until() const noexcept;

  void put_due(opcode op, std::string_view payload);
  void put_close(std::uint16_t code, std::string_view reason);
  void flush_if_free(deadline until);
  void send_due(deadline until, std::error_code& ec);
  void send_message(opcode op, const_buffer bytes, bool is_packed, deadline until,
                    std::error_code& ec);
  std::unique_lock<mutex> lock_writing(deadline until);
  mask_key next_mask();

  bool fail(web_socket_errc why, std::error_code& ec);
  void end_orderly(bool is_failure);
  void end() noexcept;

  stream& wire_;
  const std::unique_ptr<stream> owned_;
  const role side_;
  const web_socket_options how_;
  agreement agreed_;

  // The reader's.
  http::input input_;
  bool is_reading_ = false;
  frame_head frame_;
  bool in_frame_ = false;
  std::uint64_t taken_ = 0;  ///< of the payload of frame_
  bool in_message_ = false;
  bool is_text_ = false;
  bool is_packed_ = false;
  std::string data_;  ///< of the message; the first data_size_ bytes count
  std::size_t data_size_ = 0;
  deadline heard_at_;       ///< when something came last
  deadline pinged_at_ = 0;  ///< when a silent peer was asked; 0: not since

  // The writers'.
  mutex writing_;
  bool is_cut_ = false;
  std::string masked_;
  std::string random_;
  std::string due_;       ///< whole control frames that nobody has begun to send
  std::string sending_;   ///< the same, begun; guarded by writing_
  std::size_t sent_ = 0;  ///< of sending_; guarded by writing_

  // The end.
  bool is_closing_ = false;  ///< our close is in due_, or further
  bool has_met_close_ = false;
  bool has_ended_ = false;
  std::error_code failure_;  ///< what ended it; none after a close
  event changed_;            ///< it has ended, or nobody is in read() any more
  std::uint16_t peer_code_ = close_code::abnormal;
  std::string peer_reason_;
  std::string last_pong_;
};

}  // namespace coir::net::websocket
