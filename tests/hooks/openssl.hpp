/// OpenSSL over sockets, as the tests of the hooks use it.
#pragma once

#include "tests/support/certificates.hpp"

#include <memory>

#include <openssl/ssl.h>

namespace coir::testing {

using coir::test::authority;
using coir::test::credential;
using coir::test::local_server;
using coir::test::make_credential;

using context_ptr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using ssl_ptr = std::unique_ptr<SSL, decltype(&SSL_free)>;

/// Of clients that trust the authority of the tests.
inline context_ptr client_context() {
  context_ptr made(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_verify(made.get(), SSL_VERIFY_PEER, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(made.get()), authority().certificate.get());
  return made;
}

/// A connection over the socket, which stays the caller's.
inline ssl_ptr over(SSL_CTX* context, int fd) {
  ssl_ptr made(SSL_new(context), SSL_free);
  SSL_set_fd(made.get(), fd);
  return made;
}

}  // namespace coir::testing
