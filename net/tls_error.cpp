// Where the codes come from. OpenSSL packs the library that failed and the reason into an int that
// is at least 1 << 23; below that is room for our own: 1 to 999 are net's, and what the
// verification of a certificate found is added to 1000.
#include <coir/net/tls_error.hpp>

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>

namespace coir::net {
namespace {

constexpr int verification_first = 1000;
constexpr int packed_first = 1 << 23;

constexpr bool is_packed(tls_errc e, int reason) {
  return static_cast<int>(e) == ((ERR_LIB_SSL << 23) | reason);
}
constexpr bool is_found(tls_errc e, int result) {
  return static_cast<int>(e) == verification_first + result;
}
static_assert(is_found(tls_errc::certificate_not_yet_valid, X509_V_ERR_CERT_NOT_YET_VALID));
static_assert(is_found(tls_errc::certificate_expired, X509_V_ERR_CERT_HAS_EXPIRED));
static_assert(is_found(tls_errc::self_signed_certificate, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT));
static_assert(is_found(tls_errc::self_signed_issuer, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN));
static_assert(is_found(tls_errc::unknown_issuer, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY));
static_assert(is_found(tls_errc::certificate_revoked, X509_V_ERR_CERT_REVOKED));
static_assert(is_found(tls_errc::unsuitable_purpose, X509_V_ERR_INVALID_PURPOSE));
static_assert(is_found(tls_errc::host_mismatch, X509_V_ERR_HOSTNAME_MISMATCH));
static_assert(is_found(tls_errc::address_mismatch, X509_V_ERR_IP_ADDRESS_MISMATCH));
static_assert(is_packed(tls_errc::not_tls, SSL_R_WRONG_VERSION_NUMBER));
static_assert(is_packed(tls_errc::plain_http, SSL_R_HTTP_REQUEST));
static_assert(is_packed(tls_errc::no_client_certificate, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE));
static_assert(is_packed(tls_errc::no_shared_cipher, SSL_R_NO_SHARED_CIPHER));
static_assert(is_packed(tls_errc::unsupported_version, SSL_R_UNSUPPORTED_PROTOCOL));
static_assert(is_packed(tls_errc::alert_handshake_failure, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE));
static_assert(is_packed(tls_errc::alert_bad_certificate, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE));
static_assert(is_packed(tls_errc::alert_certificate_expired,
                        SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED));
static_assert(is_packed(tls_errc::alert_unknown_issuer, SSL_R_TLSV1_ALERT_UNKNOWN_CA));
static_assert(is_packed(tls_errc::alert_version, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION));
static_assert(is_packed(tls_errc::alert_unrecognized_name, SSL_R_TLSV1_UNRECOGNIZED_NAME));
static_assert(is_packed(tls_errc::alert_certificate_required,
                        SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED));
static_assert(is_packed(tls_errc::alert_no_protocol, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL));

const char* own_message(tls_errc e) noexcept {
  switch (e) {
    case tls_errc::truncated:
      return "the connection ended without the end of TLS (close_notify)";
    case tls_errc::no_handshake:
      return "the TLS handshake has not succeeded yet";
    case tls_errc::no_server_name:
      return "to verify a server its name is needed, or its address";
    case tls_errc::no_certificate:
      return "there is no certificate in PEM";
    case tls_errc::no_private_key:
      return "there is no private key in PEM";
    case tls_errc::wrong_password:
      return "the password does not open the private key";
    case tls_errc::key_mismatch:
      return "the private key does not belong to the certificate";
    case tls_errc::unsuitable_option:
      return "this TLS context cannot have this option";
    case tls_errc::unknown_host:
      return "the client asked for a host name that is not served";
    default:
      return "OpenSSL gave no reason";
  }
}

class tls_errors final : public std::error_category {
  const char* name() const noexcept override { return "coir.tls"; }
  std::string message(int code) const override {
    if (code < verification_first) return own_message(static_cast<tls_errc>(code));
    if (code < packed_first) return X509_verify_cert_error_string(code - verification_first);
    const auto error = static_cast<unsigned long>(code);
    const char* const reason = ERR_reason_error_string(error);
    if (reason) return reason;
    char text[128];
    ERR_error_string_n(error, text, sizeof text);
    return text;
  }
};

}  // namespace

const std::error_category& tls_category() noexcept {
  static const tls_errors category;
  return category;
}

std::error_code make_error_code(tls_errc e) noexcept {
  return {static_cast<int>(e), tls_category()};
}

bool is_verification_failure(const std::error_code& ec) noexcept {
  return ec.category() == tls_category() && ec.value() >= verification_first &&
         ec.value() < packed_first;
}

}  // namespace coir::net
