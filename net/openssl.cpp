#include "net/openssl.hpp"

#include <coir/net/tls_error.hpp>

#include <openssl/err.h>

namespace coir::net::detail {

void prepare_openssl() noexcept {
  static const int once = OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr);
  static_cast<void>(once);
}

void drop_errors() noexcept { ERR_clear_error(); }

std::error_code take_error() noexcept {
  const unsigned long error = ERR_peek_error();
  ERR_clear_error();
  if (error == 0) return tls_errc::unexplained;
  const int reason = ERR_GET_REASON(error);
  if (ERR_SYSTEM_ERROR(error)) return {reason, std::system_category()};
  if (reason == ERR_R_MALLOC_FAILURE) return std::make_error_code(std::errc::not_enough_memory);
  return {static_cast<int>(error), tls_category()};
}

std::error_code code_of_verification(long result) noexcept {
  if (result == X509_V_OK) return {};
  constexpr int found = 1000;  // see tls_error.cpp
  return {found + static_cast<int>(result), tls_category()};
}

std::string text_of(const X509_NAME* name) {
  const bio_ptr text(BIO_new(BIO_s_mem()));
  if (!text) return {};
  X509_NAME_print_ex(text.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* begin = nullptr;
  const long size = BIO_get_mem_data(text.get(), &begin);
  return {begin, static_cast<std::size_t>(size)};
}

}  // namespace coir::net::detail
