/// What a certificate says.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace coir::net {

/// A certificate of a TLS peer, as plain values.
struct tls_certificate {
  std::string subject{};             ///< whose it is, as RFC 2253 has it: "CN=example.org,O=…"
  std::string issuer{};              ///< who signed it
  std::string serial{};              ///< its number, in hexadecimal
  std::vector<std::string> hosts{};  ///< the host names that it is for; "*.example.org" occurs
  std::vector<std::string> addresses{};                 ///< the IP addresses that it is for
  std::chrono::system_clock::time_point valid_from{};   ///< not valid before
  std::chrono::system_clock::time_point valid_until{};  ///< not valid after
  std::string sha256{};                                 ///< the fingerprint, in hexadecimal
  std::string pem{};                                    ///< all of it, in PEM
};

}  // namespace coir::net
