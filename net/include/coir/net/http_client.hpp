/// An HTTP client: what requests and urllib3 are to users of gevent.
#pragma once

#include <coir/export.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>
#include <coir/net/http_exchange.hpp>
#include <coir/net/http_headers.hpp>
#include <coir/net/stream.hpp>
#include <coir/net/tls_context.hpp>
#include <coir/net/url.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace coir::net {

/// What an HTTP client is to ask.
struct http_call {
  std::string method = "GET";     ///< in capital letters, as servers compare it
  std::string url;                ///< "http://host/path"; "user:password@" becomes Authorization
  http_headers headers{};         ///< in the place of the client's own of the same names
  std::string body{};             ///< sent with its length
  bool expects_continue = false;  ///< asks the server, before the body is sent, if it wants it
  time_limit limit{};             ///< of the whole, besides options::total_timeout
};

/// A whole answer.
struct http_answer {
  int status = 0;          ///< 200
  std::string reason;      ///< what the server wrote behind it: "OK"
  http_headers headers{};  ///< its header fields
  std::string body;        ///< as it came: the client asks for no compression
  std::string url;         ///< which URL answered, after redirects, without userinfo

  /// True from 200 to 299.
  bool is_success() const noexcept { return status >= 200 && status <= 299; }
};

/// Opens the connection that a request for `where` goes over. Parks; null, with `ec` set, when that
/// is impossible or takes longer than `limit`.
using http_transport =
    std::function<std::unique_ptr<stream>(const url& where, time_limit limit, std::error_code& ec)>;

/// Asks HTTP/1.1 and 1.0 servers. Connections are kept and used again; redirects are followed; what
/// a server may say is bounded in size and time.
///
///     net::http_client client;
///     const net::http_answer page = client.get("http://127.0.0.1:8000/");
///
/// Any number of fibers may use one client at a time. They must all belong to one worker, that of
/// the first call, since connections do: a program with several workers has a client for each.
/// Another worker's call throws std::logic_error.
///
/// An answer with a status of 400 or more is an answer and no error. Errors are std::system_error,
/// whose text names method and URL (without userinfo), or the code alone in the twins: url_errc for
/// the URL; std::errc::timed_out; net::errc::malformed_answer, answer_too_long, too_many_redirects,
/// scheme_not_supported; net::errc::end_of_stream when the connection ended before the answer did;
/// std::errc::invalid_argument for a method or header that cannot be sent; and what resolving,
/// connecting, reading and writing report. All calls park, and throw fiber_exit when their fiber is
/// killed. A connection is kept only when its answer has been read to the end: not after an error,
/// a kill or a time-out of any kind.
///
/// A kept connection may have been closed by the server, which is seen when it is used: a request
/// that may be repeated (GET, HEAD, PUT, DELETE, OPTIONS, TRACE) is then sent once more on a new
/// connection, if nothing of an answer has come. The whole request goes out before the answer is
/// read, so a server that answers a long body while it reads it must not wait for its answer to be
/// taken. There are no cookies, no proxies and no compression. Who asks for another protocol, by
/// Connection and Upgrade among the headers of open(), may get a 101 and then the connection:
/// http_exchange::take_connection().
class COIR_API http_client {
 public:
  /// Limits, and what all requests have in common. A time of std::chrono::milliseconds::max() is
  /// none.
  struct options {
    std::chrono::milliseconds connect_timeout{10'000};  ///< to look the name up and to connect
    /// From the end of the request to the end of the answer's head.
    std::chrono::milliseconds response_timeout{30'000};
    std::chrono::milliseconds read_timeout{30'000};   ///< of the body: until more of it comes
    std::chrono::milliseconds write_timeout{30'000};  ///< until more of the request goes out
    /// Of a request with all its redirects, until the body has been read.
    std::chrono::milliseconds total_timeout{300'000};
    /// How long a call that expects_continue waits for the server's opinion before it sends the
    /// body all the same.
    std::chrono::milliseconds continue_timeout{1'000};

    /// How often one request may be sent on. 0: redirects are answers like others. After 301 and
    /// 302 a POST goes on as GET, after 303 all but HEAD do, without the body; 307 and 308 keep
    /// both. Authorization, Cookie and a Host of the caller's stay with the scheme, host and port
    /// they were meant for.
    unsigned redirects_max = 10;

    /// How many connections to one scheme, host and port there may be; further requests wait, in
    /// order.
    std::size_t connections_per_host_max = 10;
    /// How many connections without a request are kept, of all hosts; 0: none.
    std::size_t idle_connections_max = 100;
    /// How long; the first call after that closes them.
    std::chrono::milliseconds idle_timeout{15'000};

    std::size_t header_bytes_max = 64 * 1024;         ///< of an answer's head
    std::size_t header_fields_max = 200;              ///< of an answer, trailers included
    std::uint64_t body_bytes_max = 64 * 1024 * 1024;  ///< of a body that is read as a whole

    std::string user_agent = "coir";  ///< empty: none is sent
    http_headers headers{};           ///< of all requests
    /// How TLS is made for https. Nothing: as tls_stream::connect does without a context, with the
    /// system's certificates.
    std::optional<tls_context> tls{};
    /// How connections are opened. Empty: by TCP for http, by TLS over TCP for https.
    http_transport connect{};
  };

  /// With the usual options. Never parks.
  http_client();
  /// Throws std::invalid_argument when no request could be sent, or no answer be understood, under
  /// these limits. Never parks.
  explicit http_client(options how);
  http_client(http_client&&) noexcept;
  http_client& operator=(http_client&&) noexcept;
  /// Closes the connections that are idle. No call may be under way.
  ~http_client();

  /// Asks, and reads the whole answer.
  http_answer request(const http_call& call);
  http_answer request(const http_call& call, std::error_code& ec);
  /// Asks for what is at a URL.
  http_answer get(std::string_view url, const http_headers& headers = {});
  http_answer get(std::string_view url, const http_headers& headers, std::error_code& ec);
  http_answer get(std::string_view url, std::error_code& ec) { return get(url, {}, ec); }
  /// Asks for the head alone of what get() would bring.
  http_answer head(std::string_view url, const http_headers& headers = {});
  http_answer head(std::string_view url, const http_headers& headers, std::error_code& ec);
  /// Hands `body` to what is at a URL; `headers` should say its Content-Type.
  http_answer post(std::string_view url, std::string body, const http_headers& headers = {});
  http_answer post(std::string_view url, std::string body, const http_headers& headers,
                   std::error_code& ec);
  /// Puts `body` at a URL; `headers` should say its Content-Type.
  http_answer put(std::string_view url, std::string body, const http_headers& headers = {});
  http_answer put(std::string_view url, std::string body, const http_headers& headers,
                  std::error_code& ec);
  /// DELETE, which C++ keeps for itself.
  http_answer del(std::string_view url, const http_headers& headers = {});
  http_answer del(std::string_view url, const http_headers& headers, std::error_code& ec);

  /// Asks, and reads the head of the answer; the body is the caller's to read.
  http_exchange open(const http_call& call);
  http_exchange open(const http_call& call, std::error_code& ec);
  /// Sends the head of a request; the body, of any length, is the caller's to write. It goes in
  /// chunks, or as it is when `call.headers` has its Content-Length. It has a new connection,
  /// in the place of an idle one where there are too many, and redirects are not followed: the body
  /// could not be sent twice. `call.body` must be empty and `call.expects_continue` false, else
  /// std::errc::invalid_argument.
  http_upload upload(const http_call& call);
  http_upload upload(const http_call& call, std::error_code& ec);

  /// Closes the connections that are idle. Never parks.
  void close_idle() noexcept;
  /// How many connections are idle. Never parks.
  std::size_t idle_connections() const noexcept;

  /// The transport for http: TCP; net::errc::scheme_not_supported for anything else. Transports of
  /// a program's own may call it for the schemes that they leave to it.
  static std::unique_ptr<stream> connect_tcp(const url& where, time_limit limit,
                                             std::error_code& ec);

 private:
  std::unique_ptr<http::client_core> core_;
};

}  // namespace coir::net
