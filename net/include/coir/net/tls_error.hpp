/// How TLS fails.
#pragma once

#include <coir/export.hpp>

#include <system_error>

namespace coir::net {

/// Errors of TLS. Those that programs ask for have names here; others occur too, and message()
/// explains each. There are three kinds: net's own; what the verification of a certificate found
/// (is_verification_failure() knows all of them); and OpenSSL's reasons, among them the alerts that
/// the peer sent.
enum class tls_errc {
  truncated = 1,          ///< the connection ended without TLS's end: perhaps somebody cut it
  no_handshake = 2,       ///< read or written before handshake() had succeeded
  no_server_name = 3,     ///< a client that verifies its server needs the server's name
  no_certificate = 4,     ///< the text or file holds no certificate in PEM
  no_private_key = 5,     ///< the text or file holds no private key in PEM
  wrong_password = 6,     ///< the private key is encrypted, and the password does not open it
  key_mismatch = 7,       ///< the private key does not belong to the certificate
  unsuitable_option = 8,  ///< an option that this kind of context cannot have
  unknown_host = 9,       ///< a client asked for a name that the server does not have
  unexplained = 10,       ///< OpenSSL failed and gave no reason

  certificate_not_yet_valid = 1009,  ///< or the clock of this machine is slow
  certificate_expired = 1010,        ///< or the clock of this machine is fast
  self_signed_certificate = 1018,    ///< the peer's certificate is its own issuer, not trusted
  self_signed_issuer = 1019,         ///< the chain ends in an issuer that is not trusted
  unknown_issuer = 1020,             ///< nobody who is trusted has signed the chain
  certificate_revoked = 1023,        ///< as a revocation list says
  unsuitable_purpose = 1026,         ///< for instance a client's certificate on a server
  host_mismatch = 1062,              ///< the certificate is for other host names
  address_mismatch = 1064,           ///< the certificate is for other IP addresses

  not_tls = 167772427,                     ///< what the peer sent is no TLS
  plain_http = 167772316,                  ///< a client spoke HTTP without TLS
  no_client_certificate = 167772359,       ///< the client has none, and the server requires one
  no_shared_cipher = 167772353,            ///< the two sides have no cipher in common
  unsupported_version = 167772418,         ///< the two sides have no version of TLS in common
  alert_handshake_failure = 167773200,     ///< the peer found no common ground
  alert_bad_certificate = 167773202,       ///< the peer does not accept our certificate
  alert_certificate_expired = 167773205,   ///< the peer says that our certificate has expired
  alert_unknown_issuer = 167773208,        ///< the peer does not trust the issuer of ours
  alert_version = 167773230,               ///< the peer does not speak the version of TLS
  alert_unrecognized_name = 167773272,     ///< the server does not have the name asked for
  alert_certificate_required = 167773276,  ///< the server requires a client's certificate
  alert_no_protocol = 167773280,           ///< the server speaks none of our protocols (ALPN)
};

/// The category of tls_errc. Any thread; never parks.
COIR_API const std::error_category& tls_category() noexcept;
/// Makes a code of tls_errc; found by std::error_code's constructor. Any thread; never parks.
COIR_API std::error_code make_error_code(tls_errc e) noexcept;

/// True for what the verification of the peer's certificate can find: expired, another host, an
/// unknown issuer and so on. Any thread; never parks.
COIR_API bool is_verification_failure(const std::error_code& ec) noexcept;

}  // namespace coir::net

template <>
struct std::is_error_code_enum<coir::net::tls_errc> : std::true_type {};
