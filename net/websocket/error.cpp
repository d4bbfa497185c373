#include <coir/net/web_socket.hpp>

namespace coir::net {
namespace {

class web_socket_errors final : public std::error_category {
  const char* name() const noexcept override { return "coir.websocket"; }
  std::string message(int code) const override {
    switch (static_cast<web_socket_errc>(code)) {
      case web_socket_errc::refused:
        return "The server refused the WebSocket";
      case web_socket_errc::bad_handshake:
        return "The server's handshake is wrong";
      case web_socket_errc::protocol_error:
        return "The peer broke the WebSocket protocol";
      case web_socket_errc::bad_text:
        return "The peer sent text that is not UTF-8";
      case web_socket_errc::too_big:
        return "The peer's message is too long";
      case web_socket_errc::vanished:
        return "The peer went away without closing the WebSocket";
      case web_socket_errc::closing:
        return "The WebSocket is closed";
      case web_socket_errc::broken:
        return "An earlier message on the WebSocket was cut off";
    }
    return "Unknown error";
  }
};

}  // namespace

const std::error_category& web_socket_category() noexcept {
  static const web_socket_errors category;
  return category;
}

std::error_code make_error_code(web_socket_errc e) noexcept {
  return {static_cast<int>(e), web_socket_category()};
}

}  // namespace coir::net
