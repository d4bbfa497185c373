/// Where a socket is: an IPv4, IPv6 or unix address.
#pragma once

#include <coir/export.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>

#include <sys/socket.h>

namespace coir::net {

/// One address with its port or path, as a value; a sockaddr_storage that knows its length. Never
/// parks; distinct objects may be used by distinct threads. The functions that take text throw
/// std::system_error (std::errc::invalid_argument; std::errc::filename_too_long for a unix path)
/// which names the text, or set `ec` and return an empty address.
class COIR_API address {
 public:
  /// No address: family() is AF_UNSPEC, size() is 0.
  address() noexcept = default;

  /// Reads "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "unix:/run/x.sock" or "unix:@abstract":
  /// what to_string() writes. Names are not looked up: that is resolve().
  static address parse(std::string_view literal);
  static address parse(std::string_view literal, std::error_code& ec);
  /// An IPv4 address in dotted form, four numbers.
  static address ipv4(std::string_view host, std::uint16_t port);
  static address ipv4(std::string_view host, std::uint16_t port, std::error_code& ec);
  /// An IPv6 address, without brackets; "%eth0" or "%2" behind it gives the scope.
  static address ipv6(std::string_view host, std::uint16_t port);
  static address ipv6(std::string_view host, std::uint16_t port, std::error_code& ec);
  /// A path in the file system, at most 107 bytes, not empty, without NUL. Relative paths stay
  /// relative.
  static address unix_path(std::string_view path);
  static address unix_path(std::string_view path, std::error_code& ec);
  /// A name outside the file system (Linux' abstract namespace), at most 107 bytes; it may hold any
  /// byte.
  static address unix_abstract(std::string_view name);
  static address unix_abstract(std::string_view name, std::error_code& ec);

  /// 0.0.0.0: to listen on every IPv4 address of the machine.
  static address ipv4_any(std::uint16_t port = 0) noexcept;
  /// 127.0.0.1.
  static address ipv4_loopback(std::uint16_t port = 0) noexcept;
  /// 255.255.255.255: every machine of the local network.
  static address ipv4_broadcast(std::uint16_t port) noexcept;
  /// [::]: to listen on every address of the machine, IPv4 too unless the listener says otherwise.
  static address ipv6_any(std::uint16_t port = 0) noexcept;
  /// [::1].
  static address ipv6_loopback(std::uint16_t port = 0) noexcept;
  /// A copy of what a system call gave; more than capacity() bytes are cut off.
  static address from_native(const sockaddr* data, socklen_t size) noexcept;

  /// AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC.
  int family() const noexcept { return storage_.ss_family; }
  /// True for AF_INET.
  bool is_ipv4() const noexcept { return family() == AF_INET; }
  /// True for AF_INET6.
  bool is_ipv6() const noexcept { return family() == AF_INET6; }
  /// True for AF_UNIX.
  bool is_unix() const noexcept { return family() == AF_UNIX; }
  /// The port; 0 for addresses that have none.
  std::uint16_t port() const noexcept;
  /// The same address with another port; a unix address is returned unchanged.
  address with_port(std::uint16_t port) const noexcept;
  /// The address without port and brackets, "127.0.0.1" or "fe80::1%2"; empty for others.
  std::string host() const;
  /// The scope id of an IPv6 address (an interface index); 0 where there is none.
  std::uint32_t scope_id() const noexcept;
  /// The path of a unix address, or its abstract name; empty for an unnamed one and for other
  /// families. Views this object.
  std::string_view path() const noexcept;
  /// True for a unix address in the abstract namespace.
  bool is_abstract() const noexcept;

  /// The form that parse() reads; "unix:" for an unnamed unix address, "unspecified" for none.
  std::string to_string() const;

  /// For system calls that read an address: its first byte.
  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
  /// How many bytes the address has; 0 when there is none.
  socklen_t size() const noexcept { return size_; }
  /// For system calls that write an address: where to put it. Then resize() must follow.
  sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
  /// How many bytes fit at data().
  static constexpr socklen_t capacity() noexcept { return sizeof(sockaddr_storage); }
  /// Says how many bytes were written to data(); more than capacity() count as capacity().
  void resize(socklen_t size) noexcept { size_ = size < capacity() ? size : capacity(); }

  /// Equal when family, host, scope and port, or the path, are the same. The order is total but
  /// means nothing.
  friend bool operator==(const address& a, const address& b) noexcept { return (a <=> b) == 0; }
  friend std::strong_ordering operator<=>(const address& a, const address& b) noexcept {
    return a.compare(b);
  }

 private:
  std::strong_ordering compare(const address& other) const noexcept;

  sockaddr_storage storage_{};
  socklen_t size_ = 0;  ///< how many bytes of storage_ count
};

}  // namespace coir::net

/// Equal addresses have equal hashes.
template <>
struct std::hash<coir::net::address> {
  COIR_API std::size_t operator()(const coir::net::address& a) const noexcept;
};
