#include "net/http/text.hpp"

#include <coir/net/uri.hpp>

namespace coir::net {
namespace {

constexpr char hex_digits[] = "0123456789ABCDEF";

std::optional<std::string> decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = http::hex_value(text[i + 1]);
      const int low = http::hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool needs_no_encoding(char c) noexcept {
  return http::is_letter(c) || http::is_digit(c) ||
         std::string_view("-._~").find(c) != std::string_view::npos;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text) { return decoded(text, false); }

std::string percent_encoded(std::string_view text, std::string_view kept) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (needs_no_encoding(c) || kept.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', hex_digits[byte / 16], hex_digits[byte % 16]};
    }
  }
  return out;
}

std::optional<std::vector<std::pair<std::string, std::string>>> query_values(
    std::string_view query) {
  std::vector<std::pair<std::string, std::string>> found;
  while (!query.empty()) {
    std::string_view value = http::take_until(query, '&');
    if (value.empty()) continue;
    auto name = decoded(http::take_until(value, '='), true);
    auto rest = decoded(value, true);
    if (!name || !rest) return std::nullopt;
    found.emplace_back(std::move(*name), std::move(*rest));
  }
  return found;
}

std::optional<std::string> normal_path(std::string_view path) {
  if (!path.starts_with('/') || path.find('\0') != std::string_view::npos) return std::nullopt;
  std::string out;
  while (!path.empty()) {
    const bool is_last = path.find('/') == std::string_view::npos;
    const std::string_view segment = http::take_until(path, '/');
    if (segment == "..") {
      if (out.size() <= 1) return std::nullopt;
      out.resize(out.rfind('/', out.size() - 2) + 1);
    } else if (!segment.empty() && segment != ".") {
      if (out.empty()) out = '/';
      out.append(segment);
      if (!is_last) out += '/';
    }
    if (out.empty()) out = '/';
  }
  return out;
}

}  // namespace coir::net
