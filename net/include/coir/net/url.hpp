/// URLs (RFC 3986): their parts, and what a reference means beside them.
#pragma once

#include <coir/export.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace coir::net {

/// Why a text is no URL.
enum class url_errc {
  too_long = 1,       ///< more than 1 MiB
  control_character,  ///< one below U+0020, or U+007F
  bad_percent,        ///< a '%' without two hexadecimal digits behind it
  bad_scheme,         ///< not a letter, then letters, digits, '+', '-' and '.'
  bad_userinfo,       ///< a character that may not stand before the '@'
  bad_host,           ///< a character that may not stand in a host; other alphabets are punycode
  bad_ipv6,           ///< what stands in brackets is no IPv6 address
  bad_port,           ///< not a number from 0 to 65535
  no_host,            ///< an http or https URL without one
};

/// The category of url_errc. Any thread; never parks.
COIR_API const std::error_category& url_category() noexcept;
/// Makes a code of url_errc; found by std::error_code's constructor. Any thread; never parks.
COIR_API std::error_code make_error_code(url_errc e) noexcept;

/// A URL, or a reference to one ("../a?b"), taken apart. A value; never parks.
///
/// The parts stay percent-encoded, since decoding them would lose what separates them;
/// percent_decoded() is for that. Scheme and host are in small letters. What may not stand in a
/// path, query or fragment (a space, a quote, a byte of UTF-8) is percent-encoded when it is
/// parsed, as browsers do. Nothing else is changed: a parsed URL keeps its "." and "..", and
/// resolve() takes them out.
class COIR_API url {
 public:
  /// Of nothing: an empty reference, which means the document itself.
  url() = default;

  /// Takes `text` apart; white space around it is not part of it. Throws std::system_error with a
  /// url_errc, saying what is wrong with what. Depends on nothing but `text`.
  static url parse(std::string_view text);
  /// Its twin; empty when `ec` is set.
  static url parse(std::string_view text, std::error_code& ec);

  /// "http"; empty in a relative reference.
  const std::string& scheme() const noexcept { return scheme_; }
  /// True when there is a host, be it empty: "//" stands in the URL.
  bool has_authority() const noexcept { return has_authority_; }
  /// "user:password", encoded; nothing when there is no '@'.
  const std::optional<std::string>& userinfo() const noexcept { return userinfo_; }
  /// The same from now on; nothing takes it away. Throws std::system_error with
  /// url_errc::bad_userinfo.
  void set_userinfo(std::optional<std::string> userinfo);
  /// A name, an IPv4 address, or an IPv6 address without its brackets.
  const std::string& host() const noexcept { return host_; }
  /// The port, if the URL says it.
  std::optional<std::uint16_t> port() const noexcept { return port_; }
  /// The port, or that of the scheme: 80, 443; 0 for other schemes.
  std::uint16_t effective_port() const noexcept;
  /// "/a/b"; may be empty.
  const std::string& path() const noexcept { return path_; }
  /// What stands between '?' and '#'; nothing without a '?'.
  const std::optional<std::string>& query() const noexcept { return query_; }
  /// What stands behind '#'; nothing without one.
  const std::optional<std::string>& fragment() const noexcept { return fragment_; }
  /// The same from now on; nothing takes it away. Characters that may not stand there are encoded.
  void set_fragment(std::optional<std::string_view> fragment);

  /// "host:port" with the brackets of IPv6, and without the port that goes without saying: what an
  /// HTTP client sends as Host.
  std::string host_and_port() const;
  /// "http://host:port", always with the port: the same for all that one server serves.
  std::string origin() const;
  /// What an HTTP client asks the server for: the path, or "/", and the query.
  std::string target() const;

  /// What `reference` means in a document at this URL, which must have a scheme: RFC 3986, section
  /// 5.2. Throws std::system_error with url_errc when that is an http or https URL without a host.
  url resolve(const url& reference) const;
  /// The same with a reference that is still a text.
  url resolve(std::string_view reference) const;
  /// Its twin; empty when `ec` is set.
  url resolve(std::string_view reference, std::error_code& ec) const;

  /// The whole as text.
  std::string to_string() const;
  /// The same without userinfo, for logs and messages.
  std::string to_public_string() const;
  /// True when they are the same text.
  bool operator==(const url&) const = default;

 private:
  void take_authority(std::string_view text, std::error_code& ec);
  void take_host(std::string_view text, std::error_code& ec);
  void take_port(std::string_view text, std::error_code& ec);
  void take(std::string_view text, std::error_code& ec);
  void require_host(std::error_code& ec) const;
  url resolved(const url& reference, std::error_code& ec) const;
  void append_authority(std::string& out, bool with_userinfo) const;
  std::string text(bool with_userinfo) const;

  std::string scheme_;
  std::optional<std::string> userinfo_;
  std::string host_;
  std::string path_;
  std::optional<std::string> query_;
  std::optional<std::string> fragment_;
  std::optional<std::uint16_t> port_;
  bool has_authority_ = false;
  bool is_ipv6_ = false;
};

}  // namespace coir::net

template <>
struct std::is_error_code_enum<coir::net::url_errc> : std::true_type {};
