/// What the handshake computes: SHA-1 (RFC 3174) and Base64 (RFC 4648). SHA-1 protects nothing
/// here; it only shows that the server understood the request.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace coir::net::websocket {

std::array<unsigned char, 20> sha1(std::string_view text);

std::string base64(std::string_view bytes);

/// True for the Base64 of 16 bytes.
bool is_base64_of_16_bytes(std::string_view text) noexcept;

}  // namespace coir::net::websocket
