/// Reading certificates.
#pragma once

#include <coir/net/tls_certificate.hpp>

#include "net/openssl.hpp"

namespace coir::net::detail {

/// What `from` says.
tls_certificate read_certificate(const X509* from);

}  // namespace coir::net::detail
