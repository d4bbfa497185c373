/// The frames of RFC 6455, section 5: their heads, masks and texts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace coir::net::websocket {

enum class opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

inline constexpr std::size_t control_bytes_max = 125;
inline constexpr std::size_t reason_bytes_max = control_bytes_max - 2;

constexpr bool is_control(opcode op) noexcept { return (static_cast<unsigned>(op) & 8) != 0; }

using mask_key = std::array<unsigned char, 4>;

struct frame_head {
  opcode op = opcode::continuation;
  bool is_final = true;
  bool is_compressed = false;  ///< RSV1
  bool is_masked = false;
  mask_key mask{};
  std::uint64_t size = 0;      ///< of the payload
  std::size_t head_bytes = 0;  ///< of the head itself
};

enum class head_state { incomplete, complete, invalid };

/// Understands the head of a frame at the front of `bytes`; invalid: what no frame of RFC 6455 is,
/// whoever sends it.
head_state parse_head(std::string_view bytes, frame_head& into) noexcept;

inline constexpr std::size_t head_bytes_max = 14;
/// Writes a head; returns its size.
std::size_t put_head(const frame_head& head, char (&into)[head_bytes_max]) noexcept;

/// Puts the mask on `size` bytes, or takes it off; `offset` is their place in the payload.
void apply_mask(char* data, std::size_t size, const mask_key& mask, std::uint64_t offset) noexcept;

/// True for a code that may stand in a close frame.
bool is_close_code(unsigned code) noexcept;

bool is_utf8(std::string_view text) noexcept;

}  // namespace coir::net::websocket
