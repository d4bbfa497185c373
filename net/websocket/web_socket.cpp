#include <coir/net/web_socket.hpp>

#include "net/cooperative.hpp"
#include "net/websocket/connection.hpp"
#include "net/websocket/handshake.hpp"

#include <coir/net/http_request.hpp>
#include <coir/net/http_response.hpp>
#include <coir/net/tcp_stream.hpp>
#include <coir/net/tls_stream.hpp>

#include <stdexcept>
#include <utility>

namespace coir::net {

using websocket::connection;
using websocket::opcode;

class web_socket::core : public connection {
 public:
  using connection::connection;

  static std::unique_ptr<core> of_client(std::unique_ptr<stream> wire, const websocket::target& to,
                                         const web_socket_options& how,
                                         coir::detail::deadline until, std::error_code& ec,
                                         std::string& why) {
    stream& used = *wire;
    auto made = std::make_unique<core>(used, std::move(wire), role::client, how);
    made->shake_hands(to, until, ec, why);
    return ec ? nullptr : std::move(made);
  }

  static std::unique_ptr<core> of_url(std::string_view url, const web_socket_options& how,
                                      std::error_code& ec, std::string& why) {
    const websocket::target to = websocket::parse_url(url);
    const auto until = coir::detail::deadline_after(how.handshake_timeout);
    std::unique_ptr<stream> wire;
    if (to.is_secure) {
      wire = std::make_unique<tls_stream>(
          tls_stream::connect(to.host, to.port, how.handshake_timeout, ec));
    } else {
      wire = std::make_unique<tcp_stream>(
          tcp_stream::connect(to.host, to.port, how.handshake_timeout, ec));
    }
    return ec ? nullptr : of_client(std::move(wire), to, how, until, ec, why);
  }
};

namespace {

[[noreturn]] void fail_to_connect(std::string_view url, const std::error_code& ec,
                                  const std::string& why) {
  std::string what = "connect to " + std::string(url);
  if (!why.empty()) what += ": " + why;
  detail::throw_error(ec, what);
}

/// True when there is a connection; else sets `ec`.
bool is_there(const void* core, std::error_code& ec) {
  ec.clear();
  if (core == nullptr) ec = std::make_error_code(std::errc::bad_file_descriptor);
  return core != nullptr;
}

void check_control(std::string_view payload) {
  if (payload.size() > websocket::control_bytes_max) {
    throw std::invalid_argument("a ping or pong of a WebSocket has at most 125 bytes");
  }
}

const std::string nothing;

}  // namespace

web_socket::web_socket() noexcept = default;
web_socket::web_socket(web_socket&& other) noexcept = default;
web_socket& web_socket::operator=(web_socket&& other) noexcept = default;
web_socket::~web_socket() = default;
web_socket::web_socket(std::unique_ptr<core> open) noexcept : core_(std::move(open)) {}

web_socket web_socket::accept(const http_request& request, http_response& answer,
                              const web_socket_options& how) {
  websocket::agreement agreed = websocket::answer_handshake(request, answer.headers(), how);
  auto made = std::make_unique<core>(answer.upgrade(), nullptr, connection::role::server, how);
  made->agree(std::move(agreed));
  return web_socket(std::move(made));
}

web_socket web_socket::connect(std::string_view url, const web_socket_options& how) {
  std::error_code ec;
  std::string why;
  web_socket made(core::of_url(url, how, ec, why));
  if (ec) fail_to_connect(url, ec, why);
  return made;
}

web_socket web_socket::connect(std::string_view url, const web_socket_options& how,
                               std::error_code& ec) {
  std::string why;
  return web_socket(core::of_url(url, how, ec, why));
}

web_socket::web_socket(std::unique_ptr<stream> wire, std::string_view url,
                       const web_socket_options& how) {
  const websocket::target to = websocket::parse_url(url);
  const auto until = coir::detail::deadline_after(how.handshake_timeout);
  std::error_code ec;
  std::string why;
  core_ = core::of_client(std::move(wire), to, how, until, ec, why);
  if (ec) fail_to_connect(url, ec, why);
}

std::optional<web_socket::message> web_socket::read() {
  std::error_code ec;
  auto result = read(ec);
  if (ec) detail::throw_error(ec, "read from WebSocket");
  return result;
}

std::optional<web_socket::message> web_socket::read(std::error_code& ec) {
  if (!is_there(core_.get(), ec)) return std::nullopt;
  return core_->read(read_until(), ec);
}

void web_socket::write_text(std::string_view text) {
  if (!websocket::is_utf8(text)) throw std::invalid_argument("a text of a WebSocket must be UTF-8");
  std::error_code ec;
  write_text(text, ec);
  if (ec) detail::throw_error(ec, "write to WebSocket");
}

void web_socket::write_text(std::string_view text, std::error_code& ec) {
  if (!is_there(core_.get(), ec)) return;
  if (websocket::is_utf8(text)) return core_->write(opcode::text, text, write_until(), ec);
  ec = std::make_error_code(std::errc::invalid_argument);
}

void web_socket::write_binary(const_buffer bytes) {
  std::error_code ec;
  write_binary(bytes, ec);
  if (ec) detail::throw_error(ec, "write to WebSocket");
}

void web_socket::write_binary(const_buffer bytes, std::error_code& ec) {
  if (is_there(core_.get(), ec)) core_->write(opcode::binary, bytes, write_until(), ec);
}

void web_socket::ping(std::string_view payload) {
  std::error_code ec;
  ping(payload, ec);
  if (ec) detail::throw_error(ec, "ping WebSocket");
}

void web_socket::ping(std::string_view payload, std::error_code& ec) {
  check_control(payload);
  if (is_there(core_.get(), ec)) core_->write(opcode::ping, payload, write_until(), ec);
}

void web_socket::pong(std::string_view payload) {
  std::error_code ec;
  pong(payload, ec);
  if (ec) detail::throw_error(ec, "pong WebSocket");
}

void web_socket::pong(std::string_view payload, std::error_code& ec) {
  check_control(payload);
  if (is_there(core_.get(), ec)) core_->write(opcode::pong, payload, write_until(), ec);
}

bool web_socket::close(std::uint16_t code, std::string_view reason) {
  if (!websocket::is_close_code(code) || reason.size() > websocket::reason_bytes_max ||
      !websocket::is_utf8(reason)) {
    throw std::invalid_argument("no code and reason for closing a WebSocket: " +
                                std::to_string(code) + ' ' + std::string(reason));
  }
  return core_ && core_->close(code, reason);
}

bool web_socket::is_open() const noexcept { return core_ && core_->is_open(); }

std::uint16_t web_socket::peer_code() const noexcept {
  return core_ ? core_->peer_code() : close_code::abnormal;
}

const std::string& web_socket::peer_reason() const noexcept {
  return core_ ? core_->peer_reason() : nothing;
}

const std::string& web_socket::subprotocol() const noexcept {
  return core_ ? core_->agreed().subprotocol : nothing;
}

bool web_socket::is_compressed() const noexcept { return core_ && core_->agreed().compresses; }

const std::string& web_socket::last_pong() const noexcept {
  return core_ ? core_->last_pong() : nothing;
}

const stream& web_socket::connection() const noexcept { return core_->wire(); }

}  // namespace coir::net
