#include "net/certificate_reader.hpp"

#include <array>
#include <cstring>
#include <ctime>

#include <arpa/inet.h>
#include <openssl/pem.h>

namespace coir::net::detail {
namespace {

using clock = std::chrono::system_clock;

std::string hex_of(const unsigned char* bytes, std::size_t size) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

clock::time_point time_of(const ASN1_TIME* when) {
  std::tm parts{};
  if (!when || ASN1_TIME_to_tm(when, &parts) != 1) return {};
  return clock::from_time_t(timegm(&parts));
}

std::string text_of(const ASN1_STRING* text) {
  const auto* const begin = reinterpret_cast<const char*>(ASN1_STRING_get0_data(text));
  return {begin, static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string address_of(const ASN1_OCTET_STRING* bytes) {
  const int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(bytes) != 16) return {};
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, ASN1_STRING_get0_data(bytes), text, sizeof text);
  return text;
}

void read_alternative_names(const X509* from, tls_certificate& into) {
  const std::unique_ptr<GENERAL_NAMES, freed_by<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(from, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const each = sk_GENERAL_NAME_value(names.get(), i);
    if (each->type == GEN_DNS) into.hosts.push_back(text_of(each->d.dNSName));
    if (each->type == GEN_IPADD) into.addresses.push_back(address_of(each->d.iPAddress));
  }
}

std::string fingerprint_of(const X509* from) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (X509_digest(from, EVP_sha256(), digest.data(), &size) != 1) return {};
  return hex_of(digest.data(), size);
}

std::string pem_of(const X509* from) {
  const bio_ptr text(BIO_new(BIO_s_mem()));
  if (!text || PEM_write_bio_X509(text.get(), from) != 1) return {};
  char* begin = nullptr;
  const long size = BIO_get_mem_data(text.get(), &begin);
  return {begin, static_cast<std::size_t>(size)};
}

}  // namespace

tls_certificate read_certificate(const X509* from) {
  tls_certificate into;
  into.subject = text_of(X509_get_subject_name(from));
  into.issuer = text_of(X509_get_issuer_name(from));
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(from);
  into.serial =
      hex_of(ASN1_STRING_get0_data(serial), static_cast<std::size_t>(ASN1_STRING_length(serial)));
  into.valid_from = time_of(X509_get0_notBefore(from));
  into.valid_until = time_of(X509_get0_notAfter(from));
  read_alternative_names(from, into);
  into.sha256 = fingerprint_of(from);
  into.pem = pem_of(from);
  drop_errors();
  return into;
}

}  // namespace coir::net::detail
