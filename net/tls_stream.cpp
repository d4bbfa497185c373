#include <coir/net/tls_stream.hpp>

#include <coir/net/tcp_stream.hpp>

#include "net/certificate_reader.hpp"
#include "net/cooperative.hpp"
#include "net/tls_engine.hpp"

#include <cerrno>
#include <stdexcept>
#include <utility>

namespace coir::net {
namespace {

/// For programs that make no context of their own. Never destroyed: fibers may use it until the
/// process has gone.
const tls_context& context_of_process() {
  static const tls_context& kept = *new tls_context(tls_context::client());
  return kept;
}

}  // namespace

tls_stream::tls_stream() noexcept = default;

tls_stream::tls_stream(socket_stream&& socket, const tls_context& context,
                       std::string_view server_name)
    : stream(static_cast<stream&&>(socket)),  // its deadlines
      engine_(new detail::tls_engine(std::move(socket), context, false, server_name)) {}

tls_stream::tls_stream(socket_stream&& socket, const tls_context& context)
    : stream(static_cast<stream&&>(socket)),  // its deadlines
      engine_(new detail::tls_engine(std::move(socket), context, true, {})) {}

tls_stream::tls_stream(tls_stream&& other) noexcept
    : stream(static_cast<stream&&>(other)), engine_(std::exchange(other.engine_, nullptr)) {}

tls_stream& tls_stream::operator=(tls_stream&& other) noexcept {
  if (this == &other) return *this;
  if (engine_) engine_->abandon();
  stream::operator=(static_cast<stream&&>(other));
  engine_ = std::exchange(other.engine_, nullptr);
  return *this;
}

tls_stream::~tls_stream() {
  if (engine_) engine_->abandon();
}

tls_stream tls_stream::connect(std::string_view host, const service& port,
                               const tls_context& context, time_limit limit) {
  tls_stream made(tcp_stream::connect(host, port, limit), context, host);
  made.handshake(limit);
  return made;
}

tls_stream tls_stream::connect(std::string_view host, const service& port, time_limit limit) {
  return connect(host, port, context_of_process(), limit);
}

tls_stream tls_stream::connect(std::string_view host, const service& port,
                               const tls_context& context, time_limit limit, std::error_code& ec) {
  tcp_stream socket = tcp_stream::connect(host, port, limit, ec);
  if (ec) return {};
  tls_stream made(std::move(socket), context, host);
  made.handshake(limit, ec);
  return ec ? tls_stream() : std::move(made);
}

tls_stream tls_stream::connect(std::string_view host, const service& port, time_limit limit,
                               std::error_code& ec) {
  return connect(host, port, context_of_process(), limit, ec);
}

void tls_stream::handshake(time_limit limit) {
  const std::string what = handshake_text();  // a failure closes the socket: ask it before
  std::error_code ec;
  handshake(limit, ec);
  if (!ec) return;
  if (ec == std::errc::bad_file_descriptor) detail::throw_error(ec, "TLS handshake: closed stream");
  const std::string& whose = engine_->unverified_subject();
  const bool is_certificate = is_verification_failure(ec) && !whose.empty();
  detail::throw_error(ec, is_certificate ? what + ", certificate of " + whose : what);
}

void tls_stream::handshake(time_limit limit, std::error_code& ec) {
  ec = detail::code_of(-EBADF);
  if (engine_) engine_->handshake(limit.until(), ec);
}

/// "TLS handshake with PEER", and as whom a client wants it.
std::string tls_stream::handshake_text() const {
  std::error_code unknown;
  const address peer = peer_address(unknown);
  std::string text = "TLS handshake with " + (unknown ? std::string("?") : peer.to_string());
  if (const std::string name = server_name(); !name.empty()) text += " (" + name + ')';
  return text;
}

void tls_stream::resume(const tls_session& earlier) {
  if (engine_) engine_->resume(earlier);
}

void tls_stream::shutdown(direction which, std::error_code& ec) {
  ec = detail::code_of(-EBADF);
  if (engine_) engine_->shutdown(which, write_until(), ec);
}

void tls_stream::close(std::error_code& ec) noexcept {
  ec.clear();
  if (engine_) engine_->close(ec);
}

bool tls_stream::is_open() const noexcept { return engine_ && engine_->is_open(); }

address tls_stream::local_address(std::error_code& ec) const noexcept {
  if (engine_) return engine_->transport().local_address(ec);
  ec = detail::code_of(-EBADF);
  return {};
}

address tls_stream::peer_address(std::error_code& ec) const noexcept {
  if (engine_) return engine_->transport().peer_address(ec);
  ec = detail::code_of(-EBADF);
  return {};
}

int tls_stream::native_handle() const noexcept {
  return engine_ ? engine_->transport().native_handle() : -1;
}

bool tls_stream::is_secure() const noexcept { return engine_ && engine_->is_secure(); }

std::string tls_stream::version() const {
  return is_secure() ? SSL_get_version(native_tls()) : std::string();
}

std::string tls_stream::cipher() const {
  return is_secure() ? SSL_get_cipher_name(native_tls()) : std::string();
}

std::string tls_stream::alpn() const {
  if (!is_secure()) return {};
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(native_tls(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string tls_stream::server_name() const {
  return engine_ ? engine_->server_name() : std::string();
}

bool tls_stream::is_resumed() const noexcept {
  return is_secure() && SSL_session_reused(native_tls()) == 1;
}

std::optional<tls_certificate> tls_stream::peer_certificate() const {
  const X509* const shown = is_secure() ? SSL_get0_peer_certificate(native_tls()) : nullptr;
  if (!shown) return {};
  return detail::read_certificate(shown);
}

std::error_code tls_stream::verification() const noexcept {
  return engine_ ? engine_->verification() : std::error_code();
}

tls_session tls_stream::session() const { return engine_ ? engine_->session() : tls_session(); }

ssl_st* tls_stream::native_tls() const noexcept { return engine_ ? engine_->ssl() : nullptr; }

std::size_t tls_stream::do_read(mutable_buffer into, coir::detail::deadline until,
                                std::error_code& ec) {
  return engine_->read(into, until, ec);
}

bool tls_stream::do_wait_readable(coir::detail::deadline until, std::error_code& ec) {
  return engine_->wait_readable(until, ec);
}

std::size_t tls_stream::do_write(const_buffer from, coir::detail::deadline until,
                                 std::error_code& ec) {
  return engine_->write(from, until, ec);
}

std::size_t tls_stream::do_write_parts(std::span<const const_buffer> parts,
                                       coir::detail::deadline until, std::error_code& ec) {
  return engine_->write_parts(parts, until, ec);
}

std::function<std::unique_ptr<stream>(std::unique_ptr<stream>)> serve_tls(
    const tls_context& context, std::chrono::milliseconds limit) {
  return [context, limit](std::unique_ptr<stream> accepted) -> std::unique_ptr<stream> {
    auto* const socket = dynamic_cast<socket_stream*>(accepted.get());
    if (!socket) throw std::invalid_argument("TLS for servers goes over sockets only");
    auto made = std::make_unique<tls_stream>(std::move(*socket), context);
    made->handshake(limit);
    return made;
  };
}

}  // namespace coir::net
