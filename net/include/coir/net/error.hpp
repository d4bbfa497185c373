/// How the network library reports errors.
///
/// As in std::filesystem each operation comes twice. `f(args...)` throws std::system_error, whose
/// what() says what was attempted on what: "connect to 127.0.0.1:1: Connection refused".
/// `f(args..., ec)` sets `ec`, or clears it, and throws nothing but std::bad_alloc and, where its
/// description says that it parks, coir::fiber_exit when the fiber is killed. The end of a stream
/// is no error but a value: 0 bytes.
///
/// Codes come from std::system_category, as the kernel names them, and compare equal to std::errc.
/// Those to know:
///   std::errc::timed_out           the deadline of the call passed
///   std::errc::bad_file_descriptor the object is closed or empty, or another fiber closed it
///   meanwhile net::errc::end_of_stream       read_exactly met the end of the stream
///   net::resolve_errc              resolve could not find an address
///   net::tls_errc                  TLS failed: <coir/net/tls_error.hpp>
#pragma once

#include <coir/export.hpp>

#include <cstddef>
#include <string>
#include <system_error>

namespace coir::net {

/// Errors of net's own, which no system call knows.
enum class errc {
  end_of_stream = 1,     ///< the stream ended before read_exactly, or an HTTP client, had all
  malformed_answer,      ///< an HTTP server's answer breaks the rules, or leads to no URL
  answer_too_long,       ///< an HTTP server's answer is longer than the client allows
  too_many_redirects,    ///< HTTP servers sent the client on more often than it allows
  scheme_not_supported,  ///< an HTTP client was given a URL of a scheme that it cannot speak
};

/// The category of net::errc. Any thread; never parks.
COIR_API const std::error_category& net_category() noexcept;
/// Makes a code of net::errc; found by std::error_code's constructor. Any thread; never parks.
COIR_API std::error_code make_error_code(errc e) noexcept;

/// Why a name has no address: the EAI_ codes of getaddrinfo(3) that programs ask for. Others occur
/// too; message() explains each.
enum class resolve_errc {
  bad_flags = -1,        ///< EAI_BADFLAGS
  host_not_found = -2,   ///< EAI_NONAME: the name, or the service, is not known
  try_again = -3,        ///< EAI_AGAIN: no name server gave an answer, but one may later
  failed = -4,           ///< EAI_FAIL: the name server cannot answer
  no_address = -5,       ///< EAI_NODATA: the name is known but has no address
  service_unknown = -8,  ///< EAI_SERVICE: no such service, or a port that is no number up to 65535
  no_memory = -10,       ///< EAI_MEMORY
};

/// The category of resolve_errc: codes of getaddrinfo(3). Any thread; never parks.
COIR_API const std::error_category& resolve_category() noexcept;
/// Makes a code of resolve_errc; found by std::error_code's constructor. Any thread; never parks.
COIR_API std::error_code make_error_code(resolve_errc e) noexcept;

/// What read_exactly, write_all and write_parts throw: an error that came when a part was done
/// already.
class COIR_API partial_transfer : public std::system_error {
 public:
  /// `ec` came after `bytes` bytes had been read or written.
  partial_transfer(std::error_code ec, const std::string& what, std::size_t bytes)
      : std::system_error(ec, what), bytes_(bytes) {}
  /// How many bytes were read or written before the error.
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::size_t bytes_;
};

/// True for errors that say that the process or the machine is short of descriptors or memory
/// (EMFILE, ENFILE, ENOBUFS, ENOMEM). A server that gets one from accept should wait a little
/// before it accepts again: the connection is still in the queue, so accept would fail at once
/// again. Any thread; never parks.
COIR_API bool is_resource_shortage(const std::error_code& ec) noexcept;

}  // namespace coir::net

template <>
struct std::is_error_code_enum<coir::net::errc> : std::true_type {};
template <>
struct std::is_error_code_enum<coir::net::resolve_errc> : std::true_type {};
