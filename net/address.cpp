#include <coir/net/address.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace coir::net {
namespace {

constexpr std::size_t path_offset = offsetof(sockaddr_un, sun_path);
constexpr std::size_t path_size_max = sizeof(sockaddr_un::sun_path) - 1;  // room for a NUL
constexpr std::string_view unix_prefix = "unix:";

/// The address as the family's own structure. memcpy and not a cast: the storage is of another
/// type.
template <class Native>
Native as(const address& a) noexcept {
  Native native{};
  std::memcpy(&native, a.data(), std::min<std::size_t>(a.size(), sizeof native));
  return native;
}

template <class Native>
address from(const Native& native) noexcept {
  return address::from_native(reinterpret_cast<const sockaddr*>(&native), sizeof native);
}

/// The only way to fail on text: bad literals.
std::error_code invalid() noexcept { return std::make_error_code(std::errc::invalid_argument); }

template <class Number>
std::optional<Number> number(std::string_view text) noexcept {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

/// inet_pton of text that does not end in NUL.
bool to_binary(int family, std::string_view host, void* out) noexcept {
  char text[INET6_ADDRSTRLEN];
  if (host.size() >= sizeof text || host.find('\0') != host.npos) return false;
  *std::copy(host.begin(), host.end(), text) = '\0';
  return inet_pton(family, text, out) == 1;
}

/// The interface index behind the '%' of an IPv6 address: a number, or the name of an interface. 0
/// when it is neither.
std::uint32_t scope_of(std::string_view text) noexcept {
  if (const auto index = number<std::uint32_t>(text)) return *index;
  char name[IF_NAMESIZE];
  if (text.empty() || text.size() >= sizeof name || text.find('\0') != text.npos) return 0;
  *std::copy(text.begin(), text.end(), name) = '\0';
  return if_nametoindex(name);
}

address ipv4_of(std::uint32_t host_order, std::uint16_t port) noexcept {
  sockaddr_in native{};
  native.sin_family = AF_INET;
  native.sin_port = htons(port);
  native.sin_addr.s_addr = htonl(host_order);
  return from(native);
}

address ipv6_of(const in6_addr& host, std::uint16_t port) noexcept {
  sockaddr_in6 native{};
  native.sin6_family = AF_INET6;
  native.sin6_port = htons(port);
  native.sin6_addr = host;
  return from(native);
}

/// `bytes` as they go into sun_path; checked by the caller.
address unix_of(std::string_view before, std::string_view bytes,
                std::size_t zeros_behind) noexcept {
  sockaddr_un native{};
  native.sun_family = AF_UNIX;
  char* const end = std::copy(before.begin(), before.end(), native.sun_path);
  std::copy(bytes.begin(), bytes.end(), end);
  const std::size_t size = path_offset + before.size() + bytes.size() + zeros_behind;
  return address::from_native(reinterpret_cast<const sockaddr*>(&native),
                              static_cast<socklen_t>(size));
}

bool fits_unix(std::string_view text, std::error_code& ec) noexcept {
  ec.clear();
  if (text.empty()) ec = invalid();
  if (text.size() > path_size_max) ec = std::make_error_code(std::errc::filename_too_long);
  return !ec;
}

/// "host:port" cut in two; nothing when there is no port.
std::optional<std::pair<std::string_view, std::uint16_t>> split_port(
    std::string_view text) noexcept {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return {};
  const auto port = number<std::uint16_t>(text.substr(colon + 1));
  if (!port) return {};
  return std::pair(text.substr(0, colon), *port);
}

/// The twin that throws, of a factory `make` that takes text.
template <class Make>
address or_throw(std::string_view kind, std::string_view text, Make make) {
  std::error_code ec;
  const address made = make(ec);
  if (ec) throw std::system_error(ec, std::string(kind) + " \"" + std::string(text) + "\"");
  return made;
}

std::string host_text(int family, const void* binary) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, binary, text, sizeof text);
  return text;
}

/// The bytes of the host or path, without port and scope.
std::string_view host_bytes(const address& a) noexcept {
  const char* const start = reinterpret_cast<const char*>(a.data());
  if (a.is_ipv4()) return {start + offsetof(sockaddr_in, sin_addr), sizeof(in_addr)};
  if (a.is_ipv6()) return {start + offsetof(sockaddr_in6, sin6_addr), sizeof(in6_addr)};
  return a.path();
}

}  // namespace

address address::parse(std::string_view literal) {
  return or_throw("address", literal, [&](std::error_code& ec) { return parse(literal, ec); });
}

address address::parse(std::string_view literal, std::error_code& ec) {
  if (literal.starts_with(unix_prefix)) {
    const std::string_view rest = literal.substr(unix_prefix.size());
    return rest.starts_with('@') ? unix_abstract(rest.substr(1), ec) : unix_path(rest, ec);
  }
  const auto parts = split_port(literal);
  if (!parts) {
    ec = invalid();
    return {};
  }
  const auto [host, port] = *parts;
  if (host.starts_with('[') && host.ends_with(']')) {
    return ipv6(host.substr(1, host.size() - 2), port, ec);
  }
  return ipv4(host, port, ec);
}

address address::ipv4(std::string_view host, std::uint16_t port) {
  return or_throw("IPv4 address", host, [&](std::error_code& ec) { return ipv4(host, port, ec); });
}

address address::ipv4(std::string_view host, std::uint16_t port, std::error_code& ec) {
  in_addr binary{};
  if (!to_binary(AF_INET, host, &binary)) {
    ec = invalid();
    return {};
  }
  ec.clear();
  return ipv4_of(ntohl(binary.s_addr), port);
}

address address::ipv6(std::string_view host, std::uint16_t port) {
  return or_throw("IPv6 address", host, [&](std::error_code& ec) { return ipv6(host, port, ec); });
}

address address::ipv6(std::string_view host, std::uint16_t port, std::error_code& ec) {
  const std::size_t percent = host.find('%');
  const bool has_scope = percent != host.npos;
  const std::uint32_t scope = has_scope ? scope_of(host.substr(percent + 1)) : 0;
  in6_addr binary{};
  if ((has_scope && scope == 0) || !to_binary(AF_INET6, host.substr(0, percent), &binary)) {
    ec = invalid();
    return {};
  }
  ec.clear();
  auto native = as<sockaddr_in6>(ipv6_of(binary, port));
  native.sin6_scope_id = scope;
  return from(native);
}

address address::unix_path(std::string_view path) {
  return or_throw("unix path", path, [&](std::error_code& ec) { return unix_path(path, ec); });
}

address address::unix_path(std::string_view path, std::error_code& ec) {
  if (!fits_unix(path, ec)) return {};
  if (path.find('\0') != path.npos) {
    ec = invalid();
    return {};
  }
  return unix_of("", path, 1);
}

address address::unix_abstract(std::string_view name) {
  return or_throw("abstract name", name,
                  [&](std::error_code& ec) { return unix_abstract(name, ec); });
}

address address::unix_abstract(std::string_view name, std::error_code& ec) {
  if (!fits_unix(name, ec)) return {};
  return unix_of(std::string_view("\0", 1), name, 0);
}

address address::ipv4_any(std::uint16_t port) noexcept { return ipv4_of(INADDR_ANY, port); }
address address::ipv4_loopback(std::uint16_t port) noexcept {
  return ipv4_of(INADDR_LOOPBACK, port);
}
address address::ipv4_broadcast(std::uint16_t port) noexcept {
  return ipv4_of(INADDR_BROADCAST, port);
}
address address::ipv6_any(std::uint16_t port) noexcept { return ipv6_of(in6addr_any, port); }
address address::ipv6_loopback(std::uint16_t port) noexcept {
  return ipv6_of(in6addr_loopback, port);
}

address address::from_native(const sockaddr* data, socklen_t size) noexcept {
  address made;
  made.resize(size);
  std::memcpy(&made.storage_, data, made.size_);
  return made;
}

std::uint16_t address::port() const noexcept {
  if (is_ipv4()) return ntohs(as<sockaddr_in>(*this).sin_port);
  if (is_ipv6()) return ntohs(as<sockaddr_in6>(*this).sin6_port);
  return 0;
}

address address::with_port(std::uint16_t port) const noexcept {
  if (is_ipv4()) {
    auto native = as<sockaddr_in>(*this);
    native.sin_port = htons(port);
    return from(native);
  }
  if (is_ipv6()) {
    auto native = as<sockaddr_in6>(*this);
    native.sin6_port = htons(port);
    return from(native);
  }
  return *this;
}

std::string address::host() const {
  if (is_ipv4()) {
    const auto native = as<sockaddr_in>(*this);
    return host_text(AF_INET, &native.sin_addr);
  }
  if (!is_ipv6()) return {};
  const auto native = as<sockaddr_in6>(*this);
  const std::string text = host_text(AF_INET6, &native.sin6_addr);
  return native.sin6_scope_id ? text + '%' + std::to_string(native.sin6_scope_id) : text;
}

std::uint32_t address::scope_id() const noexcept {
  return is_ipv6() ? as<sockaddr_in6>(*this).sin6_scope_id : 0;
}

std::string_view address::path() const noexcept {
  if (!is_unix() || size_ <= path_offset) return {};
  const char* const start = reinterpret_cast<const char*>(&storage_) + path_offset;
  const std::size_t length = size_ - path_offset;
  if (is_abstract()) return {start + 1, length - 1};
  return {start, strnlen(start, length)};
}

bool address::is_abstract() const noexcept {
  const char* const start = reinterpret_cast<const char*>(&storage_) + path_offset;
  return is_unix() && size_ > path_offset + 1 && *start == '\0';
}

std::string address::to_string() const {
  if (is_ipv4()) return host() + ':' + std::to_string(port());
  if (is_ipv6()) return '[' + host() + "]:" + std::to_string(port());
  if (is_unix()) return std::string(unix_prefix).append(is_abstract() ? "@" : "").append(path());
  return "unspecified";
}

std::strong_ordering address::compare(const address& other) const noexcept {
  if (const auto order = family() <=> other.family(); order != 0) return order;
  if (const auto order = port() <=> other.port(); order != 0) return order;
  if (const auto order = scope_id() <=> other.scope_id(); order != 0) return order;
  if (const auto order = is_abstract() <=> other.is_abstract(); order != 0) return order;
  return host_bytes(*this) <=> host_bytes(other);
}

}  // namespace coir::net

std::size_t std::hash<coir::net::address>::operator()(const coir::net::address& a) const noexcept {
  return std::hash<std::string_view>()(coir::net::host_bytes(a)) * 31 + a.port();
}
