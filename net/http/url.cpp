// Own code and not Boost.URL, which takes longer to compile than all of this library's HTTP, and
// refuses what browsers forgive (a space, a quote, UTF-8).
#include "net/cooperative.hpp"
#include "net/http/text.hpp"

#include <coir/net/url.hpp>

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>

namespace coir::net {
namespace {

constexpr std::size_t bytes_max = 1024 * 1024;

constexpr std::string_view marks = "-._~";
constexpr std::string_view sub_delimiters = "!$&'()*+,;=";

class url_errors final : public std::error_category {
  const char* name() const noexcept override { return "coir.url"; }
  std::string message(int code) const override {
    switch (static_cast<url_errc>(code)) {
      case url_errc::too_long:
        return "It is longer than 1 MiB";
      case url_errc::control_character:
        return "There is a control character in it";
      case url_errc::bad_percent:
        return "A '%' must be followed by two hexadecimal digits";
      case url_errc::bad_scheme:
        return "A scheme is a letter and then letters, digits, '+', '-' and '.'";
      case url_errc::bad_userinfo:
        return "There is a character before '@' that must be encoded";
      case url_errc::bad_host:
        return "There is a character in the host that no host has (other alphabets are written "
               "as punycode)";
      case url_errc::bad_ipv6:
        return "What stands in brackets is no IPv6 address";
      case url_errc::bad_port:
        return "The port must be a number from 0 to 65535";
      case url_errc::no_host:
        return "It has no host";
    }
    return "Unknown error";
  }
};

bool is_one_of(char c, std::string_view set) noexcept {
  return set.find(c) != std::string_view::npos;
}

bool is_plain(char c) noexcept {
  return http::is_letter(c) || http::is_digit(c) || is_one_of(c, marks) ||
         is_one_of(c, sub_delimiters);
}

bool is_encoded_at(std::string_view text, std::size_t i) noexcept {
  return text.size() - i >= 3 && http::hex_value(text[i + 1]) >= 0 &&
         http::hex_value(text[i + 2]) >= 0;
}

/// `text` with all encoded that is neither plain, nor encoded already, nor in `kept`.
std::string encoded(std::string_view text, std::string_view kept) {
  constexpr char hex_digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (is_plain(c) || c == '%' || is_one_of(c, kept)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', hex_digits[byte / 16], hex_digits[byte % 16]};
    }
  }
  return out;
}

constexpr std::string_view kept_in_path = ":@/";
constexpr std::string_view kept_in_query = ":@/?";

std::string in_small_letters(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), http::lower);
  return out;
}

bool is_scheme(std::string_view text) noexcept {
  return !text.empty() && http::is_letter(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return http::is_letter(c) || http::is_digit(c) || is_one_of(c, "+-.");
         });
}

bool is_userinfo(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_plain(c) || c == ':' || c == '%'; });
}

/// What is wrong with `text` wherever it stands.
std::error_code check_characters(std::string_view text) {
  if (text.size() > bytes_max) return url_errc::too_long;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) < ' ' || text[i] == '\x7f') {
      return url_errc::control_character;
    }
    if (text[i] == '%' && !is_encoded_at(text, i)) return url_errc::bad_percent;
  }
  return {};
}

std::string_view without_space_around(std::string_view text) noexcept {
  constexpr std::string_view space = " \t\r\n\f";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

/// RFC 3986, section 5.2.4.
std::string without_dots(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    if (path.starts_with("../")) {
      path.remove_prefix(3);
    } else if (path.starts_with("./") || path.starts_with("/./")) {
      path.remove_prefix(2);
    } else if (path == "/.") {
      path = "/";
    } else if (path.starts_with("/../") || path == "/..") {
      path = path.size() == 3 ? std::string_view("/") : path.substr(3);
      out.resize(out.find_last_of('/') == std::string::npos ? 0 : out.find_last_of('/'));
    } else if (path == "." || path == "..") {
      path = {};
    } else {
      const std::size_t end = std::min(path.find('/', 1), path.size());
      out.append(path.substr(0, end));
      path.remove_prefix(end);
    }
  }
  return out;
}

[[noreturn]] void fail(const std::error_code& ec, std::string_view text) {
  constexpr std::size_t shown_max = 200;
  std::string shown;
  for (const char c : text.substr(0, shown_max)) {
    shown += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  }
  if (text.size() > shown_max) shown += "...";
  // Who logs this should not log a password.
  if (const std::size_t at = shown.find('@'); at != std::string::npos) {
    const std::size_t begin = shown.find("//");
    if (begin < at) shown.replace(begin + 2, at - begin - 2, "...");
  }
  detail::throw_error(ec, "the URL \"" + shown + '"');
}

}  // namespace

const std::error_category& url_category() noexcept {
  static const url_errors category;
  return category;
}

std::error_code make_error_code(url_errc e) noexcept {
  return {static_cast<int>(e), url_category()};
}

url url::parse(std::string_view text) {
  std::error_code ec;
  url parsed = parse(text, ec);
  if (ec) fail(ec, text);
  return parsed;
}

url url::parse(std::string_view text, std::error_code& ec) {
  url parsed;
  text = without_space_around(text);
  ec = check_characters(text);
  if (!ec) parsed.take(text, ec);
  if (ec) parsed = {};
  return parsed;
}

void url::take(std::string_view text, std::error_code& ec) {
  const std::size_t hash = text.find('#');
  if (hash != std::string_view::npos) {
    fragment_ = encoded(text.substr(hash + 1), kept_in_query);
    text = text.substr(0, hash);
  }
  const std::size_t question = text.find('?');
  if (question != std::string_view::npos) {
    query_ = encoded(text.substr(question + 1), kept_in_query);
    text = text.substr(0, question);
  }
  const std::size_t colon = text.find_first_of(":/");
  if (colon != std::string_view::npos && text[colon] == ':') {
    if (!is_scheme(text.substr(0, colon))) {
      ec = url_errc::bad_scheme;
      return;
    }
    scheme_ = in_small_letters(text.substr(0, colon));
    text.remove_prefix(colon + 1);
  }
  if (text.starts_with("//")) {
    text.remove_prefix(2);
    const std::size_t end = std::min(text.find('/'), text.size());
    take_authority(text.substr(0, end), ec);
    text.remove_prefix(end);
  }
  path_ = encoded(text, kept_in_path);
  if (!ec) require_host(ec);
}

void url::take_authority(std::string_view text, std::error_code& ec) {
  has_authority_ = true;
  const std::size_t at = text.rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view userinfo = text.substr(0, at);
    if (!is_userinfo(userinfo)) {
      ec = url_errc::bad_userinfo;
      return;
    }
    userinfo_ = userinfo;
    text.remove_prefix(at + 1);
  }
  std::size_t host_end = std::min(text.find(':'), text.size());
  if (text.starts_with('[')) {
    const std::size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) {
      ec = url_errc::bad_ipv6;
      return;
    }
    host_end = bracket + 1;
  }
  take_host(text.substr(0, host_end), ec);
  if (!ec) take_port(text.substr(host_end), ec);
}

void url::take_host(std::string_view text, std::error_code& ec) {
  is_ipv6_ = text.starts_with('[');
  if (is_ipv6_) {
    host_ = in_small_letters(text.substr(1, text.size() - 2));
    in6_addr unused;
    if (inet_pton(AF_INET6, host_.c_str(), &unused) != 1) ec = url_errc::bad_ipv6;
    return;
  }
  if (!std::all_of(text.begin(), text.end(), is_plain)) ec = url_errc::bad_host;
  host_ = in_small_letters(text);
}

/// Of ":80"; ":" and nothing at all mean that none is given.
void url::take_port(std::string_view text, std::error_code& ec) {
  if (text.size() <= 1) {
    if (text == ":" || text.empty()) return;
    ec = url_errc::bad_host;
    return;
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), port);
  if (text[0] != ':' || error != std::errc() || end != text.data() + text.size()) {
    ec = url_errc::bad_port;
    return;
  }
  port_ = port;
}

void url::require_host(std::error_code& ec) const {
  if ((scheme_ == "http" || scheme_ == "https") && host_.empty()) ec = url_errc::no_host;
}

void url::set_userinfo(std::optional<std::string> userinfo) {
  if (userinfo && (!is_userinfo(*userinfo) || check_characters(*userinfo))) {
    detail::throw_error(url_errc::bad_userinfo, "set the userinfo of a URL");
  }
  userinfo_ = std::move(userinfo);
}

void url::set_fragment(std::optional<std::string_view> fragment) {
  fragment_.reset();
  if (!fragment) return;
  if (const std::error_code ec = check_characters(*fragment)) fail(ec, *fragment);
  fragment_ = encoded(*fragment, kept_in_query);
}

std::uint16_t url::effective_port() const noexcept {
  if (port_) return *port_;
  return scheme_ == "http" ? 80 : scheme_ == "https" ? 443 : 0;
}

void url::append_authority(std::string& out, bool with_userinfo) const {
  if (with_userinfo && userinfo_) out.append(*userinfo_).append("@");
  if (is_ipv6_) out += '[';
  out += host_;
  if (is_ipv6_) out += ']';
}

std::string url::host_and_port() const {
  std::string out;
  append_authority(out, false);
  const bool is_usual = (scheme_ == "http" && port_ == 80) || (scheme_ == "https" && port_ == 443);
  if (port_ && !is_usual) out.append(":").append(std::to_string(*port_));
  return out;
}

std::string url::origin() const {
  std::string out = scheme_ + "://";
  append_authority(out, false);
  return out.append(":").append(std::to_string(effective_port()));
}

std::string url::target() const {
  std::string out = path_.empty() ? "/" : path_;
  if (query_) out.append("?").append(*query_);
  return out;
}

url url::resolve(const url& reference) const {
  std::error_code ec;
  url result = resolved(reference, ec);
  if (ec) fail(ec, reference.to_string());
  return result;
}

url url::resolve(std::string_view reference) const { return resolve(parse(reference)); }

url url::resolve(std::string_view reference, std::error_code& ec) const {
  const url parsed = parse(reference, ec);
  return ec ? url() : resolved(parsed, ec);
}

url url::resolved(const url& reference, std::error_code& ec) const {
  ec.clear();
  url result = reference;
  if (!reference.scheme_.empty()) {
    result.path_ = without_dots(reference.path_);
    return result;
  }
  result.scheme_ = scheme_;
  if (reference.has_authority_) {
    result.path_ = without_dots(reference.path_);
    result.require_host(ec);
    return ec ? url() : result;
  }
  result.has_authority_ = has_authority_;
  result.userinfo_ = userinfo_;
  result.host_ = host_;
  result.is_ipv6_ = is_ipv6_;
  result.port_ = port_;
  if (reference.path_.empty()) {
    result.path_ = path_;
    if (!reference.query_) result.query_ = query_;
  } else if (reference.path_.starts_with('/')) {
    result.path_ = without_dots(reference.path_);
  } else if (has_authority_ && path_.empty()) {
    result.path_ = without_dots('/' + reference.path_);
  } else {
    result.path_ = without_dots(path_.substr(0, path_.rfind('/') + 1) + reference.path_);
  }
  return result;
}

std::string url::text(bool with_userinfo) const {
  std::string out;
  if (!scheme_.empty()) out.append(scheme_).append(":");
  if (has_authority_) {
    out += "//";
    append_authority(out, with_userinfo);
    if (port_) out.append(":").append(std::to_string(*port_));
  } else if (path_.starts_with("//")) {
    out += "/.";  // or the path would be taken for a host: RFC 3986, section 5.3
  }
  out += path_;
  if (query_) out.append("?").append(*query_);
  if (fragment_) out.append("#").append(*fragment_);
  return out;
}

std::string url::to_string() const { return text(true); }

std::string url::to_public_string() const { return text(false); }

}  // namespace coir::net
