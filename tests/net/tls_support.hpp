/// What the tests of TLS share: connections with both ends here.
#pragma once

#include "tests/net/support.hpp"
#include "tests/support/certificates.hpp"

#include <openssl/ssl.h>

namespace coir::net::test {

using coir::test::authority;
using coir::test::credential;
using coir::test::local_server;
using coir::test::make_credential;
using coir::test::pem_text;

inline tls_identity identity_of(const credential& who) {
  return {.certificate_pem = who.certificate_pem, .key_pem = who.key_pem};
}

inline tls_options server_options(const credential& who = local_server()) {
  tls_options options;
  options.identities = {identity_of(who)};
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
