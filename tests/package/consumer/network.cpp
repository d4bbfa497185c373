// Uses TLS, so that what coir_net stands on must be found and linked, too.
#include <coir/net.hpp>

#include <cstdio>

int main() {
  const auto context = coir::net::tls_context::client();
  const std::error_code ec = coir::net::tls_errc::certificate_expired;
  std::printf("%s\n", ec.message().c_str());
  return context && ec.message() == "certificate has expired" ? 0 : 1;
}
