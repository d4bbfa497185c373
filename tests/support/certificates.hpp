/// Certificates, made on the spot: quick ones, by elliptic curves.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace coir::test {

/// A certificate and its key, as objects and in PEM.
struct credential {
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;
  std::string certificate_pem;
  std::string key_pem;
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

}  // namespace coir::test
