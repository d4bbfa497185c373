/// OpenSSL's objects with owners, and its errors as codes. Nothing here parks.
///
/// OpenSSL collects its errors in a queue of the thread. Fibers of one worker share a thread, so
/// each sequence of calls clears the queue first and reads it before anything may park
/// (drop_errors, then take_error). No call into OpenSSL below net parks: its I/O is a BIO that only
/// tries (tls_bio.cpp), and its callbacks only note.
#pragma once

#include <memory>
#include <string>
#include <system_error>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace coir::net::detail {

/// Frees what OpenSSL made.
template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

using bio_ptr = std::unique_ptr<BIO, freed_by<BIO_free>>;
using key_ptr = std::unique_ptr<EVP_PKEY, freed_by<EVP_PKEY_free>>;
using session_ptr = std::unique_ptr<SSL_SESSION, freed_by<SSL_SESSION_free>>;
using ssl_ptr = std::unique_ptr<SSL, freed_by<SSL_free>>;
using ssl_ctx_ptr = std::unique_ptr<SSL_CTX, freed_by<SSL_CTX_free>>;
using x509_ptr = std::unique_ptr<X509, freed_by<X509_free>>;

inline void free_certificates(STACK_OF(X509) * chain) noexcept {
  sk_X509_pop_free(chain, X509_free);
}
using x509_chain_ptr = std::unique_ptr<STACK_OF(X509), freed_by<free_certificates>>;

/// To be called before anything else of OpenSSL: keeps it from cleaning up at exit, when fibers and
/// other threads may still use it. Any thread.
void prepare_openssl() noexcept;

/// Empties the thread's queue of errors.
void drop_errors() noexcept;
/// The code of the oldest error in the thread's queue, which is empty afterwards: of the system's
/// category where a system call failed, else of tls_category.
std::error_code take_error() noexcept;
/// The code for what X509_verify_cert found; none for X509_V_OK.
std::error_code code_of_verification(long result) noexcept;

/// A name as RFC 2253 writes it: "CN=example.org,O=Example".
std::string text_of(const X509_NAME* name);

}  // namespace coir::net::detail
