/// Standard input and output over a connection.
#pragma once

#include <coir/export.hpp>
#include <coir/net/stream.hpp>

#include <cstddef>
#include <istream>
#include <memory>
#include <system_error>

namespace coir::net {
namespace detail {
class stream_buffer;
}

/// A std::iostream over a stream, with a buffer for each direction:
///
///     net::iostream io(connection);
///     io << "HELO " << name << "\r\n" << std::flush;
///     std::getline(io, line);
///
/// What is written waits in the buffer until that is full, the stream is flushed, something must be
/// read that has not come yet, or the object ends. Reading and writing park. The end of the stream
/// is eofbit, as with files. An error, a deadline among them, is badbit, and error() says which; or
/// std::system_error where exceptions() has badbit. What was put into the buffer before an error of
/// writing is lost. A kill, or the end of a timeout_scope, passes through as the exception that it
/// is.
///
/// Used by one fiber at a time.
class COIR_API iostream : public std::iostream {
 public:
  /// How large each buffer is, unless one says otherwise.
  static constexpr std::size_t default_buffer_bytes = 4096;

  /// Over `connection`, which must outlive it. `buffer_bytes` (at least 1) for each direction.
  /// Throws std::bad_alloc. Never parks.
  explicit iostream(stream& connection, std::size_t buffer_bytes = default_buffer_bytes);
  /// Owns `connection`, which must not be null. Throws std::bad_alloc. Never parks.
  explicit iostream(std::unique_ptr<stream> connection,
                    std::size_t buffer_bytes = default_buffer_bytes);
  iostream(const iostream&) = delete;
  iostream& operator=(const iostream&) = delete;
  /// Writes what the buffer holds, unless there was an error or an exception is under way; parks
  /// meanwhile, until the write deadline at the latest, and keeps a kill back. Closes a stream that
  /// it owns.
  ~iostream() override;

  /// The error that set badbit; none before. clear() does not take it back, the next error replaces
  /// it. Never parks.
  std::error_code error() const noexcept;
  /// The stream below, for its deadlines and the like. What was read into the buffer is not there
  /// any more.
  stream& connection() const noexcept;

 private:
  std::unique_ptr<stream> owned_;
  std::unique_ptr<detail::stream_buffer> buffer_;
  const int uncaught_;  ///< exceptions that were under way when it was made
};

}  // namespace coir::net
