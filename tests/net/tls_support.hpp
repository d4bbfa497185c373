/// What the tests of TLS share: certificates made on the spot, and connections with both ends here.
#pragma once

#include "tests/net/support.hpp"

#include <ctime>
#include <memory>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace coir::net::test {

/// A certificate and its key, as objects and in PEM.
struct credential {
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;
  std::string certificate_pem;
  std::string key_pem;

  tls_identity identity() const { return {.certificate_pem = certificate_pem, .key_pem = key_pem}; }
};

/// What a certificate is to say.
struct wanted {
  std::string name = "localhost";
  std::string alternative_names = "DNS:localhost,IP:127.0.0.1";
  long days_from = -1;
  long days_until = 10;
  bool is_authority = false;
};

inline void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const made = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  ASSERT_NE(made, nullptr) << value;
  X509_add_ext(certificate, made, -1);
  X509_EXTENSION_free(made);
}

template <class Write>
std::string pem_text(Write write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  EXPECT_EQ(1, write(bio));
  char* begin = nullptr;
  const long size = BIO_get_mem_data(bio, &begin);
  std::string text(begin, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

/// A new key with a certificate that `issuer` has signed, or itself.
inline credential make_credential(const wanted& what, const credential* issuer = nullptr) {
  static long serial = 0x1000;
  credential made;
  made.key.reset(EVP_EC_gen("P-256"), EVP_PKEY_free);
  made.certificate.reset(X509_new(), X509_free);
  X509* const x = made.certificate.get();
  X509* const by = issuer ? issuer->certificate.get() : x;
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_time_adj_ex(X509_getm_notBefore(x), static_cast<int>(what.days_from), 0, nullptr);
  X509_time_adj_ex(X509_getm_notAfter(x), static_cast<int>(what.days_until), 0, nullptr);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(what.name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(by));
  X509_set_pubkey(x, made.key.get());
  add_extension(x, by, NID_basic_constraints,
                what.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!what.is_authority && !what.alternative_names.empty()) {
    add_extension(x, by, NID_subject_alt_name, what.alternative_names);
  }
  EXPECT_GT(X509_sign(x, issuer ? issuer->key.get() : made.key.get(), EVP_sha256()), 0);
  made.certificate_pem = pem_text([&](BIO* bio) { return PEM_write_bio_X509(bio, x); });
  made.key_pem = pem_text([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, made.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return made;
}

/// Makers of certificates, each made once.
inline const credential& authority() {
  static const credential made = make_credential({.name = "coir test CA", .is_authority = true});
  return made;
}
inline const credential& local_server() {
  static const credential made = make_credential({}, &authority());
  return made;
}

inline tls_options server_options(const credential& who = local_server()) {
  tls_options options;
  options.identities = {who.identity()};
  return options;
}

inline tls_options client_options() {
  tls_options options;
  options.trust.ca_pem = authority().certificate_pem;
  return options;
}

/// What each side's handshake ended with.
struct handshake_result {
  tls_stream client;
  tls_stream server;
  std::error_code client_error;
  std::error_code server_error;
};

/// Shakes hands over a connection.
inline handshake_result shake_hands_over(socket_stream&& near, socket_stream&& far,
                                         const tls_context& client, const tls_context& server,
                                         std::string_view name = "localhost",
                                         const tls_session& earlier = {}) {
  handshake_result result{
      tls_stream(std::move(near), client, name), tls_stream(std::move(far), server), {}, {}};
  result.client.expires_after(patience);
  result.server.expires_after(patience);
  result.client.resume(earlier);
  auto serving = spawn([&] { result.server.handshake(patience, result.server_error); });
  result.client.handshake(patience, result.client_error);
  serving.get();
  return result;
}

/// The same over a TCP connection of its own.
inline handshake_result shake_hands(const tls_context& client, const tls_context& server,
                                    std::string_view name = "localhost",
                                    const tls_session& earlier = {}) {
  auto ends = tcp_connection();
  return shake_hands_over(std::move(ends.near), std::move(ends.far), client, server, name, earlier);
}

/// A connection that both sides agree on.
inline handshake_result secure_connection(const tls_options& client = client_options(),
                                          const tls_options& server = server_options()) {
  handshake_result made = shake_hands(tls_context::client(client), tls_context::server(server));
  EXPECT_FALSE(made.client_error) << made.client_error.message();
  EXPECT_FALSE(made.server_error) << made.server_error.message();
  return made;
}

/// One message each way, so that what follows the handshake (tickets, refusals) has come.
inline void expect_talk(handshake_result& c) {
  char got[4];
  c.client.write_all("ping");
  c.server.read_exactly({got, 4});
  EXPECT_EQ(std::string_view(got, 4), "ping");
  c.server.write_all("pong");
  c.client.read_exactly({got, 4});
  EXPECT_EQ(std::string_view(got, 4), "pong");
}

}  // namespace coir::net::test
