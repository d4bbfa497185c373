/// Small things about the characters of HTTP (RFC 9110, section 5.6).
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace coir::net::http {

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

/// Compares without regard to the case of ASCII letters.
constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr bool is_letter(char c) noexcept { return lower(c) >= 'a' && lower(c) <= 'z'; }

/// Some characters, as a table.
class char_set {
 public:
  constexpr explicit char_set(std::string_view chars) noexcept {
    for (const char c : chars) has_[static_cast<unsigned char>(c)] = true;
  }
  constexpr bool has_any_of(std::string_view text) const noexcept {
    for (const char c : text) {
      if (has_[static_cast<unsigned char>(c)]) return true;
    }
    return false;
  }
  constexpr bool has_all_of(std::string_view text) const noexcept {
    for (const char c : text) {
      if (!has_[static_cast<unsigned char>(c)]) return false;
    }
    return true;
  }

 private:
  bool has_[256] = {};
};

inline constexpr char_set token_chars(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

constexpr bool is_token(std::string_view text) noexcept {
  return !text.empty() && token_chars.has_all_of(text);
}

/// True when `text` may be the value of a field: no control characters but the tab.
constexpr bool is_field_value(std::string_view text) noexcept {
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f') return false;
  }
  return true;
}

constexpr std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t";
  const auto begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

/// Takes the text before the next `separator`, or all of it, off the front of `rest`.
constexpr std::string_view take_until(std::string_view& rest, char separator) noexcept {
  const auto end = rest.find(separator);
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return taken;
}

/// The number that `text` is in decimal digits; nothing for another text, and past 64 bits.
inline std::optional<std::uint64_t> whole_number(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The value of a hexadecimal digit, or -1.
constexpr int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

}  // namespace coir::net::http
