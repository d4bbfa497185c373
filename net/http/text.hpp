/// Small things about the characters of HTTP (RFC 9110, section 5.6).
#pragma once

#include <string_view>

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

namespace tables {
struct char_table {
  bool is_token[256] = {};
};
constexpr char_table token_chars = [] {
  char_table table;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789")) {
    table.is_token[static_cast<unsigned char>(c)] = true;
  }
  for (char c = 'a'; c <= 'z'; ++c) {
    table.is_token[static_cast<unsigned char>(c)] = true;
    table.is_token[static_cast<unsigned char>(c - ('a' - 'A'))] = true;
  }
  return table;
}();
}  // namespace tables

constexpr bool is_token(std::string_view text) noexcept {
  for (const char c : text) {
    if (!tables::token_chars.is_token[static_cast<unsigned char>(c)]) return false;
  }
  return !text.empty();
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

/// The value of a hexadecimal digit, or -1.
constexpr int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

}  // namespace coir::net::http
