/// permessage-deflate (RFC 7692) without memory between messages: each is packed by itself.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace coir::net::websocket {

inline constexpr int window_bits_min = 9;  // the packer knows no smaller window
inline constexpr int window_bits_max = 15;

/// `message` packed, for a peer that keeps so large a window.
std::string packed(std::string_view message, int window_bits);

enum class unpack_result { done, invalid, too_big };

/// Appends to `out` what a message was before it was packed; at most `bytes_max`.
unpack_result unpack(std::string_view message, std::size_t bytes_max, std::string& out);

}  // namespace coir::net::websocket
