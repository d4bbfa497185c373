// Certificates in DER, as a TLS peer shows them. Checked beside crashes: what is read of one is the
// same when it is read of its PEM, and is text that can be shown.
#include "net/certificate_reader.hpp"
#include "tests/fuzz/support.hpp"

#include <cstdint>
#include <memory>
#include <string>

#include <openssl/pem.h>
#include <openssl/x509.h>

namespace {

namespace net = coir::net;
using coir::fuzz::demand;
using x509_ptr = std::unique_ptr<X509, decltype(&X509_free)>;

void check_again(const net::tls_certificate& first) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(first.pem.data(), static_cast<int>(first.pem.size())), BIO_free);
  const x509_ptr parsed(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), X509_free);
  demand(parsed != nullptr);
  const net::tls_certificate again = net::detail::read_certificate(parsed.get());
  demand(again.subject == first.subject && again.issuer == first.issuer);
  demand(again.serial == first.serial && again.hosts == first.hosts);
  demand(again.addresses == first.addresses && again.valid_from == first.valid_from);
  demand(again.valid_until == first.valid_until && again.sha256 == first.sha256);
  demand(again.pem == first.pem);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const unsigned char* next = data;
  const x509_ptr parsed(d2i_X509(nullptr, &next, static_cast<long>(size)), X509_free);
  if (!parsed) return 0;
  const net::tls_certificate read = net::detail::read_certificate(parsed.get());
  constexpr std::size_t fingerprint_digits = 64;
  demand(read.sha256.size() == fingerprint_digits);
  demand(read.subject.find('\0') == std::string::npos);
  if (!read.pem.empty()) check_again(read);
  return 0;
}
