/// One client's connection of HTTP/2 (RFC 9113), made of nghttp2's session.
///
/// Terms: an exchange is one stream, with a request and its answer; the sender is the one fiber
/// that writes to the client. Everything belongs to one worker: nothing here is locked, and
/// nghttp2's callbacks never park.
///  1. The connection's own fiber reads, whatever its streams do, and tells nghttp2, whose
///     callbacks tell the exchanges. A request whose head is complete gets a fiber, which calls the
///     handler.
///  2. Whoever has something to send hands it to nghttp2 and sets `to_send`; the sender lets
///     nghttp2 put frames together until it has enough for a write. So what many streams have to
///     say goes out together, and their bodies in turn.
///  3. A stream's window opens when its handler reads, and the connection's when bytes have come: a
///     handler that does not read stops its own stream only. What a connection may keep so is 64
///     KiB for each of http2_streams_max streams.
///  4. A handler outlives its stream when the client resets it, so handlers are counted and not
///     streams: there are never more than http2_streams_max, and requests wait until one has ended
///     (the client may learn of an answer before its handler has gone on). Resets, of both sides,
///     and frames that do nothing are allowed so often; a client that exceeds it is sent away.
///     nghttp2 bounds the rest: acknowledgements that the client does not read, settings,
///     CONTINUATION frames.
///  5. With streams open the connection waits as long as they do, which is bounded by their own
///     time-outs. Without any, nothing but a request prolongs its idle time.
///  6. A stop is told to the client by GOAWAY, which names the last request that will be answered;
///     once that is done the connection ends.
///  7. nghttp2 may speak of a stream whose exchange has gone: it knows exchanges by the stream's
///     user data only, which their end takes away.
///
/// Rejected: a lock around the session and writing by whoever has something to say, which makes one
/// stream wait for another one's socket; a fiber for each connection only, with handlers that
/// answer in turn, which is what the streams of HTTP/2 are to end.
#pragma once

#include "net/http/http2_exchange.hpp"
#include "net/http/served_connection.hpp"

#include <coir/fiber.hpp>
#include <coir/group.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace coir::net::http {

/// So many at once, and so many a second after that.
class allowance {
 public:
  allowance(unsigned at_once, unsigned per_second) noexcept
      : at_once_(at_once), per_second_(per_second), left_(at_once) {}
  /// Uses one; false when there is none left.
  bool take() noexcept;

 private:
  const double at_once_;
  const double per_second_;
  double left_;
  coir::detail::deadline since_ = 0;
};

class http2_connection final : public served_connection {
 public:
  /// Keeps references to all of these.
  http2_connection(stream& client, const address& peer, const service& with);
  ~http2_connection() override;

  /// Serves until the connection ends, which is told to nobody; `received` has been read already.
  /// Throws fiber_exit, and std::bad_alloc.
  void serve(std::string_view received);
  void end_if_idle() noexcept override { line_.to_send.set(); }

 private:
  struct callbacks;

  void make_session();
  bool read_more();
  bool understand(std::string_view bytes);
  coir::detail::deadline patience_ends() const noexcept;
  bool is_out_of_patience();
  void terminate(std::uint32_t why) noexcept;
  void end_exchanges() noexcept;

  void begin_request(std::int32_t stream);
  void begin_answer(bool has_body);
  void start_waiting();
  void note_frame(std::uint8_t type, std::uint8_t flags, std::size_t length) noexcept;
  void note_reset() noexcept;
  http2_exchange* exchange_of(std::int32_t stream) const noexcept;

  void send_all();
  bool flush();
  void begin_stop();

  const address& peer_;
  const service with_;
  http2_line line_;
  std::unique_ptr<char[]> received_;
  std::unique_ptr<http2_exchange> arriving_;             ///< its head is not complete
  std::deque<std::unique_ptr<http2_exchange>> waiting_;  ///< for the end of a handler
  coir::detail::deadline head_since_ = 0;  ///< a head, or the client's first, is under way; 0: no
  allowance resets_;
  allowance idle_frames_;
  std::string out_;            ///< of the sender
  bool is_exceeding_ = false;  ///< an allowance
  bool is_stop_told_ = false;  ///< by GOAWAY
  bool is_ending_ = false;     ///< the sender sends the rest and ends
  bool is_over_ = false;       ///< nothing more can be said, or need be
  group handlers_;
  fiber<> sender_;
};

}  // namespace coir::net::http
