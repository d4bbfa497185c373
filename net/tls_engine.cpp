// An engine from its beginning to its end; what its calls have in common. The calls are in
// tls_handshake.cpp and tls_transfer.cpp, what OpenSSL calls for bytes in tls_bio.cpp.
#include "net/tls_engine.hpp"

#include "net/cooperative.hpp"
#include "runtime/kernel/calls.hpp"

#include <cerrno>
#include <new>

#include <openssl/err.h>

namespace coir::net::detail {
namespace {

/// A host name or address as certificates have it: without the dot that ends a full name, and
/// without the zone of an address ("%eth0").
std::string name_to_verify(std::string_view given) {
  if (given.find(':') != given.npos) given = given.substr(0, given.find('%'));
  if (given.ends_with('.')) given.remove_suffix(1);
  return std::string(given);
}

}  // namespace

tls_engine::tls_engine(socket_stream&& socket, const tls_context& context, bool is_server,
                       std::string_view server_name)
    : transport_(std::move(socket)),
      is_server_(is_server),
      process_(kernel::call(SYS_getpid)),
      server_name_(is_server ? "" : name_to_verify(server_name)) {
  prepare(context);
}

void tls_engine::prepare(const tls_context& context) {
  setup_ = chosen_ = context.setup_;
  if (!setup_ || setup_->is_server != is_server_) {
    unusable_ = tls_errc::unsuitable_option;
    return;
  }
  drop_errors();
  ssl_.reset(SSL_new(setup_->context.get()));
  if (!ssl_) throw std::bad_alloc();
  SSL_set_app_data(ssl_.get(), static_cast<tls_observer*>(this));
  attach_bio();
  SSL_set_verify(ssl_.get(), SSL_CTX_get_verify_mode(setup_->context.get()), note_verification);
  if (is_server_) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
    prepare_client();
  }
  drop_errors();
}

/// What a client's handshake says, and checks, of the server's name.
void tls_engine::prepare_client() {
  if (server_name_.empty()) {
    if (setup_->verifies) unusable_ = tls_errc::no_server_name;
    return;
  }
  SSL* const ssl = ssl_.get();
  X509_VERIFY_PARAM* const checked = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(checked, server_name_.c_str()) == 1) return;
  X509_VERIFY_PARAM_set_hostflags(checked, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool is_sayable = server_name_.find('\0') == server_name_.npos;
  if (!is_sayable || X509_VERIFY_PARAM_set1_host(checked, server_name_.c_str(), 0) != 1 ||
      SSL_set_tlsext_host_name(ssl, server_name_.c_str()) != 1) {
    unusable_ = std::make_error_code(std::errc::invalid_argument);
  }
}

void tls_engine::attach_bio() {
  BIO* const bio = BIO_new(bio_methods());
  if (!bio) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

void tls_engine::abandon() noexcept {
  std::error_code ignored;
  close(ignored);
  release();
}

void tls_engine::release() noexcept {
  if (users_.drop()) delete this;
}

// --- steps ---------------------------------------------------------------------------------------

/// The socket's error comes first, since OpenSSL's is then only that it got nothing; and a
/// certificate's, since OpenSSL's is then only that there was one.
std::error_code tls_engine::reason_of_failure() const noexcept {
  const std::error_code by_openssl = take_error();
  if (choice_ == host_choice::refused) return tls_errc::unknown_host;
  if (receive_error_) return receive_error_;
  if (has_eof_) return tls_errc::truncated;
  constexpr int verify_failed = (ERR_LIB_SSL << 23) | SSL_R_CERTIFICATE_VERIFY_FAILED;
  const bool is_certificate = by_openssl == std::error_code(verify_failed, tls_category());
  return is_certificate && verification_ != X509_V_OK ? code_of_verification(verification_)
                                                      : by_openssl;
}

/// True when a call that moves bytes is to go on; else `ec` is set.
bool tls_engine::begin(std::error_code& ec) const noexcept {
  if (!is_open()) {
    ec = code_of(-EBADF);
  } else if (!is_secure_) {
    ec = tls_errc::no_handshake;
  } else {
    ec = failure_;
  }
  return !ec;
}

/// Waits for the socket. False when the call is over, with `ec` set. After a deadline there is one
/// more try: what has come meanwhile counts.
bool tls_engine::await_input(deadline until, bool& is_last_try, std::error_code& ec) {
  if (is_last_try) {
    ec = code_of(-ETIMEDOUT);
    return false;
  }
  const int error = transport_.socket().wait_readable(until);
  is_last_try = error == -ETIMEDOUT;
  if (!is_last_try) finish(error, ec);
  return !ec;
}

/// Sends what the socket takes now; 0 when all is gone, else -EAGAIN or the error of the socket.
int tls_engine::try_backlog() noexcept {
  while (backlog_sent_ < backlog_.size()) {
    const ssize_t sent = transport_.socket().try_send(backlog_.data() + backlog_sent_,
                                                      backlog_.size() - backlog_sent_, 0);
    if (sent < 0) return static_cast<int>(sent);
    backlog_sent_ += static_cast<std::size_t>(sent);
  }
  backlog_ = std::vector<char>();  // gives its memory back, as = {} would not
  backlog_sent_ = 0;
  return 0;
}

/// Parks until the backlog is gone.
void tls_engine::send_backlog(deadline until, std::error_code& ec) {
  bool is_last_try = false;
  while (!send_error_) {
    const int error = try_backlog();
    if (error == 0) break;
    if (error != -EAGAIN) {
      send_error_ = code_of(error);
      break;
    }
    const int waited = is_last_try ? -ETIMEDOUT : transport_.socket().wait_writable(until);
    if (is_last_try || (waited < 0 && waited != -ETIMEDOUT)) {
      finish(waited, ec);
      return;
    }
    is_last_try = waited == -ETIMEDOUT;
  }
  ec = is_open() ? send_error_ : code_of(-EBADF);
}

}  // namespace coir::net::detail
