/// Streams of coir in algorithms that were written for Boost.Asio and Boost.Beast: the one header
/// of coir that needs Boost (1.81, headers only), and is therefore not part of <coir/net.hpp>.
#pragma once

#include <coir/net/stream.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <system_error>
#include <utility>

namespace coir::net {

/// The error as Asio spells it: codes of the system compare equal to those of boost::asio::error,
/// net::errc::end_of_stream becomes boost::asio::error::eof; others keep their category. Any
/// thread; never parks.
inline boost::system::error_code to_boost(const std::error_code& ec) noexcept {
  if (!ec) return {};
  if (ec == make_error_code(errc::end_of_stream)) return boost::asio::error::eof;
  if (ec.category() == std::system_category())
    return {ec.value(), boost::system::system_category()};
  if (ec.category() == std::generic_category()) {
    return {ec.value(), boost::system::generic_category()};
  }
  return ec;
}

/// The way back: boost::asio::error::eof becomes net::errc::end_of_stream. Any thread; never parks.
inline std::error_code to_std(const boost::system::error_code& ec) noexcept {
  if (!ec) return {};
  if (ec == boost::asio::error::eof) return errc::end_of_stream;
  return ec;
}

/// A reference to a stream that is a SyncReadStream and a SyncWriteStream: what boost::asio::read,
/// read_until and write, boost::beast::http::read and write, and boost::beast::websocket::stream
/// take. They then park the calling fiber where they would block a thread.
///
///     net::asio_stream wire(connection);
///     beast::http::write(wire, request);
///     beast::http::read(wire, buffer, answer);
///
/// The stream must outlive it; deadlines, kills and which fibers may call are the stream's. It has
/// no asynchronous calls: a fiber waits instead. Copies refer to the same stream.
class asio_stream {
 public:
  /// What get_executor() returns.
  using executor_type = boost::asio::any_io_executor;
  /// There is nothing below it that Asio knows.
  using lowest_layer_type = asio_stream;

  /// Refers to `wrapped`. The executor is for classes that keep timers beside their stream, as
  /// Beast's websocket does; synchronous calls never run anything on it.
  explicit asio_stream(stream& wrapped, executor_type executor = boost::asio::system_executor())
      : stream_(&wrapped), executor_(std::move(executor)) {}

  /// The stream it refers to.
  stream& wrapped() const noexcept { return *stream_; }
  /// The executor it was made with.
  executor_type get_executor() const noexcept { return executor_; }
  /// Itself.
  lowest_layer_type& lowest_layer() noexcept { return *this; }
  /// Itself.
  const lowest_layer_type& lowest_layer() const noexcept { return *this; }

  /// Reads at least one byte into the first buffer that is not empty; parks. 0 when all of them
  /// are. Throws boost::system::system_error, with boost::asio::error::eof at the end of the
  /// stream, and fiber_exit when the fiber is killed.
  template <class MutableBufferSequence>
  std::size_t read_some(const MutableBufferSequence& into) {
    boost::system::error_code ec;
    const std::size_t count = read_some(into, ec);
    if (ec) throw boost::system::system_error(ec, "read_some");
    return count;
  }
  /// Its twin.
  template <class MutableBufferSequence>
  std::size_t read_some(const MutableBufferSequence& into, boost::system::error_code& ec) {
    ec = {};
    const auto end = boost::asio::buffer_sequence_end(into);
    for (auto each = boost::asio::buffer_sequence_begin(into); each != end; ++each) {
      const boost::asio::mutable_buffer place(*each);
      if (place.size() == 0) continue;
      std::error_code failure;
      const std::size_t count =
          stream_->read_some(mutable_buffer(place.data(), place.size()), failure);
      if (count == 0 && !failure) failure = errc::end_of_stream;
      ec = to_boost(failure);
      return count;
    }
    return 0;
  }

  /// Writes at least one byte; parks. Several buffers go out together, the first 16 of them whole.
  /// 0 when all are empty. Throws boost::system::system_error, and fiber_exit when the fiber is
  /// killed.
  template <class ConstBufferSequence>
  std::size_t write_some(const ConstBufferSequence& from) {
    boost::system::error_code ec;
    const std::size_t count = write_some(from, ec);
    if (ec) throw boost::system::system_error(ec, "write_some");
    return count;
  }
  /// Its twin.
  template <class ConstBufferSequence>
  std::size_t write_some(const ConstBufferSequence& from, boost::system::error_code& ec) {
    const_buffer none(nullptr, 0);
    std::array<const_buffer, parts_max> parts{none, none, none, none, none, none, none, none,
                                              none, none, none, none, none, none, none, none};
    std::size_t count = 0;
    const auto end = boost::asio::buffer_sequence_end(from);
    for (auto each = boost::asio::buffer_sequence_begin(from); each != end; ++each) {
      const boost::asio::const_buffer part(*each);
      if (part.size() == 0) continue;
      parts[count++] = const_buffer(part.data(), part.size());
      if (count == parts_max) break;
    }
    ec = {};
    if (count == 0) return 0;
    std::error_code failure;
    const std::size_t written =
        count == 1
            ? stream_->write_some(parts[0], failure)
            : stream_->write_parts(std::span<const const_buffer>(parts.data(), count), failure);
    ec = to_boost(failure);
    return written;
  }

 private:
  static constexpr std::size_t parts_max = 16;  // as many as Asio itself hands to one call

  stream* stream_;
  executor_type executor_;
};

/// Ends a connection as boost::beast::websocket::stream asks for it: the server first ends its
/// half, then what the peer still sends is read and thrown away up to its end, and the stream is
/// closed. Parks, no longer than the stream's read deadline. Throws fiber_exit when killed.
inline void teardown(boost::beast::role_type role, asio_stream& wire,
                     boost::system::error_code& ec) {
  stream& s = wire.wrapped();
  std::error_code failure;
  if (role == boost::beast::role_type::server) s.shutdown(direction::write, failure);
  std::array<char, 2048> thrown_away;
  while (!failure && s.read_some(thrown_away, failure) != 0) {
  }
  if (!failure && role == boost::beast::role_type::client) s.shutdown(direction::write, failure);
  std::error_code ignored;
  s.close(ignored);
  ec = to_boost(failure);
}

/// boost::beast::close_socket: closes the stream. Never parks.
inline void beast_close_socket(asio_stream& wire) {
  std::error_code ignored;
  wire.wrapped().close(ignored);
}

}  // namespace coir::net
