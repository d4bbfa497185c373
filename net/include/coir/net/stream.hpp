/// Connections that carry bytes in order, whatever they are made of.
#pragma once

#include <coir/export.hpp>
#include <coir/net/address.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

namespace coir::net {

/// Which half of a connection.
enum class direction {
  read,   ///< what comes from the peer
  write,  ///< what goes to the peer
  both,   ///< the whole connection
};

/// A connection that carries bytes in order: what tcp_stream, unix_stream and tls_stream have in
/// common, so that servers and protocols need not know which it is. An object that was moved from,
/// or made without arguments, is empty, and its calls fail with std::errc::bad_file_descriptor.
///
/// One fiber may read while another writes. Several readers (or writers) are served one after
/// another, each call for itself. All fibers that use one stream must belong to one worker: the
/// thread of the first call that waits, which becomes a worker if it is none. close() may come
/// while others wait; moving, assigning and destroying may not, until those have returned.
///
/// Calls that read keep to the read deadline of expiry, calls that write and open to its write
/// deadline. A call that moves many bytes counts its deadline over the whole call. Errors are
/// reported as <coir/net/error.hpp> says. No call raises SIGPIPE: writing to a stream that the peer
/// has closed fails with std::errc::broken_pipe.
class COIR_API stream : public expiry {
 public:
  virtual ~stream() = default;

  /// Reads what there is, at least one byte and at most the size of `into`; parks until there is
  /// something. Returns how many bytes it was: 0 at the end of the stream, or when `into` is empty.
  /// Throws fiber_exit when killed.
  std::size_t read_some(mutable_buffer into);
  std::size_t read_some(mutable_buffer into, std::error_code& ec);
  /// Reads until `into` is full; parks meanwhile. Returns its size. An end of the stream before
  /// that is net::errc::end_of_stream; the exception is a partial_transfer, and the twin returns
  /// how many bytes were read before the error. Throws fiber_exit when killed; what was read before
  /// is then lost.
  std::size_t read_exactly(mutable_buffer into);
  std::size_t read_exactly(mutable_buffer into, std::error_code& ec);

  /// Parks until there is something to read, and leaves it there. True for bytes; false at the end
  /// of the stream. What only the protocol below has to say, as TLS does, is dealt with and does
  /// not count. After reads_expire_after(0s) it does not wait: std::errc::timed_out says that the
  /// connection stands and is silent. Fails as read_some, and with
  /// std::errc::operation_not_supported for a stream that cannot look without taking. Throws
  /// fiber_exit when killed.
  bool wait_readable();
  bool wait_readable(std::error_code& ec);

  /// Writes at least one byte of `from`, and as many as fit without waiting further; parks while
  /// none fits. Returns how many bytes it was: 0 only when `from` is empty. Throws fiber_exit when
  /// killed.
  std::size_t write_some(const_buffer from);
  std::size_t write_some(const_buffer from, std::error_code& ec);
  /// Writes all of `from`; parks as often as the peer is slow. Returns its size; an empty buffer
  /// succeeds at once. The exception is a partial_transfer, and the twin returns how many bytes
  /// were written before the error. Throws fiber_exit when killed; a part may have been written.
  std::size_t write_all(const_buffer from);
  std::size_t write_all(const_buffer from, std::error_code& ec);
  /// write_all of several buffers, one behind the other, without copying them together:
  /// `write_parts({head, body})`.
  std::size_t write_parts(std::span<const const_buffer> parts);
  std::size_t write_parts(std::span<const const_buffer> parts, std::error_code& ec);
  std::size_t write_parts(std::initializer_list<const_buffer> parts) {
    return write_parts(std::span(parts.begin(), parts.size()));
  }
  std::size_t write_parts(std::initializer_list<const_buffer> parts, std::error_code& ec) {
    return write_parts(std::span(parts.begin(), parts.size()), ec);
  }

  /// Ends one half of the connection, or both; a socket never parks. After `write` the peer reads
  /// what was written before and then the end of the stream. After `read` the calls that read get
  /// what has come already, then the end.
  void shutdown(direction which);
  virtual void shutdown(direction which, std::error_code& ec) = 0;
  /// Closes the descriptor; never parks. Fibers that wait in this object wake with
  /// std::errc::bad_file_descriptor. Closing an empty or closed stream does nothing. The destructor
  /// does the same and drops the error.
  void close();
  virtual void close(std::error_code& ec) noexcept = 0;
  /// False for an empty or closed stream. Never parks.
  virtual bool is_open() const noexcept = 0;

  /// The address of this end; never parks.
  address local_address() const;
  virtual address local_address(std::error_code& ec) const noexcept = 0;
  /// The address of the other end; std::errc::not_connected when the peer has reset the connection.
  /// Never parks.
  address peer_address() const;
  virtual address peer_address(std::error_code& ec) const noexcept = 0;

  /// The descriptor, for getsockopt and the like; -1 when closed. The stream still owns it: it must
  /// not be closed, and not be made blocking. Never parks.
  virtual int native_handle() const noexcept = 0;

 protected:
  stream() noexcept = default;
  stream(stream&&) noexcept = default;
  stream& operator=(stream&&) noexcept = default;

  /// Throws `ec` with "`what` PEER".
  [[noreturn]] void fail(const char* what, const std::error_code& ec) const;

 private:
  /// Each reads into, or writes from, memory that is not empty, until `until`; parks until at least
  /// one byte has moved. Returns how many did; a read, 0 at the end of the stream. Sets or clears
  /// `ec`.
  virtual std::size_t do_read(mutable_buffer into, coir::detail::deadline until,
                              std::error_code& ec) = 0;
  virtual std::size_t do_write(const_buffer from, coir::detail::deadline until,
                               std::error_code& ec) = 0;
  /// As wait_readable(), until `until`. Sets or clears `ec`.
  virtual bool do_wait_readable(coir::detail::deadline until, std::error_code& ec);
  /// Writes all parts, one behind the other; returns how many bytes went out before an error.
  virtual std::size_t do_write_parts(std::span<const const_buffer> parts,
                                     coir::detail::deadline until, std::error_code& ec) = 0;

  bool begin_call(std::size_t size, std::error_code& ec) const;
  [[noreturn]] void fail_after(std::size_t bytes, const char* what,
                               const std::error_code& ec) const;
  std::string message(const char* what, const std::error_code& ec) const;
};

}  // namespace coir::net
