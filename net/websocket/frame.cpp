#include "net/websocket/frame.hpp"

#include <cstring>

namespace coir::net::websocket {
namespace {

constexpr unsigned final_bit = 0x80;
constexpr unsigned compressed_bit = 0x40;
constexpr unsigned reserved_bits = 0x30;
constexpr unsigned mask_bit = 0x80;
constexpr unsigned two_byte_size = 126;
constexpr unsigned eight_byte_size = 127;

constexpr bool is_known(unsigned op) noexcept { return op <= 2 || (op >= 8 && op <= 10); }

std::uint64_t big_endian(const char* bytes, std::size_t count) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

void put_big_endian(char* into, std::size_t count, std::uint64_t value) noexcept {
  for (std::size_t i = count; i-- > 0; value >>= 8) into[i] = static_cast<char>(value & 0xff);
}

/// A size must be written in the shortest way, and not be negative.
constexpr bool is_size_right(std::uint64_t size, std::size_t size_bytes) noexcept {
  if (size_bytes == 2) return size >= two_byte_size;
  if (size_bytes == 8) return size > 0xffff && size >> 63 == 0;
  return true;
}

}  // namespace

head_state parse_head(std::string_view bytes, frame_head& into) noexcept {
  if (bytes.size() < 2) return head_state::incomplete;
  const unsigned first = static_cast<unsigned char>(bytes[0]);
  const unsigned second = static_cast<unsigned char>(bytes[1]);
  into.is_final = (first & final_bit) != 0;
  into.is_compressed = (first & compressed_bit) != 0;
  into.is_masked = (second & mask_bit) != 0;
  const unsigned op = first & 0xf;
  if ((first & reserved_bits) != 0 || !is_known(op)) return head_state::invalid;
  into.op = static_cast<opcode>(op);
  const unsigned short_size = second & 0x7f;
  const std::size_t size_bytes =
      short_size == two_byte_size ? 2 : (short_size == eight_byte_size ? 8 : 0);
  if (is_control(into.op) && (!into.is_final || into.is_compressed || size_bytes != 0)) {
    return head_state::invalid;
  }
  into.head_bytes = 2 + size_bytes + (into.is_masked ? into.mask.size() : 0);
  if (bytes.size() < into.head_bytes) return head_state::incomplete;
  into.size = size_bytes == 0 ? short_size : big_endian(bytes.data() + 2, size_bytes);
  if (!is_size_right(into.size, size_bytes)) return head_state::invalid;
  if (into.is_masked) {
    std::memcpy(into.mask.data(), bytes.data() + 2 + size_bytes, into.mask.size());
  }
  return head_state::complete;
}

std::size_t put_head(const frame_head& head, char (&into)[head_bytes_max]) noexcept {
  const unsigned first = static_cast<unsigned>(head.op) | (head.is_final ? final_bit : 0) |
                         (head.is_compressed ? compressed_bit : 0);
  into[0] = static_cast<char>(first);
  const unsigned mask = head.is_masked ? mask_bit : 0;
  std::size_t end = 2;
  if (head.size < two_byte_size) {
    into[1] = static_cast<char>(mask | static_cast<unsigned>(head.size));
  } else {
    const std::size_t size_bytes = head.size <= 0xffff ? 2 : 8;
    into[1] = static_cast<char>(mask | (size_bytes == 2 ? two_byte_size : eight_byte_size));
    put_big_endian(into + 2, size_bytes, head.size);
    end += size_bytes;
  }
  if (!head.is_masked) return end;
  std::memcpy(into + end, head.mask.data(), head.mask.size());
  return end + head.mask.size();
}

void apply_mask(char* data, std::size_t size, const mask_key& mask, std::uint64_t offset) noexcept {
  unsigned char turned[8];
  for (std::size_t i = 0; i < sizeof turned; ++i) turned[i] = mask[(offset + i) & 3];
  std::uint64_t key;
  std::memcpy(&key, turned, sizeof key);
  std::size_t i = 0;
  for (; i + sizeof key <= size; i += sizeof key) {
    std::uint64_t word;
    std::memcpy(&word, data + i, sizeof word);
    word ^= key;
    std::memcpy(data + i, &word, sizeof word);
  }
  for (; i < size; ++i) data[i] = static_cast<char>(data[i] ^ turned[i & 7]);
}

bool is_close_code(unsigned code) noexcept {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

bool is_utf8(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char first = at(i);
    if (first < 0x80) {
      std::uint64_t word;
      while (i + sizeof word <= text.size()) {  // most text is ASCII
        std::memcpy(&word, text.data() + i, sizeof word);
        if ((word & 0x8080808080808080u) != 0) break;
        i += sizeof word;
      }
      if (i < text.size() && at(i) < 0x80) ++i;
      continue;
    }
    const std::size_t size = first >= 0xf0 ? 4 : (first >= 0xe0 ? 3 : 2);
    if (first < 0xc2 || first > 0xf4 || text.size() - i < size) return false;
    const unsigned char second = at(i + 1);
    // Neither overlong forms, nor surrogates, nor what is above U+10FFFF.
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
      return false;
    }
    for (std::size_t j = 1; j < size; ++j) {
      if ((at(i + j) & 0xc0) != 0x80) return false;
    }
    i += size;
  }
  return true;
}

}  // namespace coir::net::websocket
