// A C library with state of its own per thread: OpenSSL over blocking sockets, whose reads and
// writes park. What each connection does comes out right, and what OpenSSL keeps for the thread,
// its queue of errors, goes with the fibers that park in such calls (docs/compatibility.md).
#include "tests/hooks/openssl.hpp"
#include "tests/hooks/support.hpp"

#include <coir/group.hpp>
#include <coir/hooks.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <string_view>

#include <poll.h>
#include <unistd.h>

#include <openssl/err.h>

namespace coir::testing {
namespace {

context_ptr server_context(const credential& who) {
  context_ptr made(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  EXPECT_EQ(1, SSL_CTX_use_certificate(made.get(), who.certificate.get()));
  EXPECT_EQ(1, SSL_CTX_use_PrivateKey(made.get(), who.key.get()));
  return made;
}

/// Does what OpenSSL's manual asks for: an empty queue before the call, a look at it behind.
template <class Call>
int error_of(SSL* ssl, Call call) {
  ERR_clear_error();
  return SSL_get_error(ssl, call(ssl));
}

void serve(SSL_CTX* context, int fd) {
  const ssl_ptr ssl = over(context, fd);
  if (error_of(ssl.get(), SSL_accept) != SSL_ERROR_NONE) return;
  char bytes[4096];
  for (int size; (size = SSL_read(ssl.get(), bytes, sizeof bytes)) > 0;) {
    EXPECT_EQ(size, SSL_write(ssl.get(), bytes, size));
  }
  SSL_shutdown(ssl.get());
}

TEST(openssl, blocking_connections_of_many_fibers_take_turns) {
  const context_ptr server = server_context(local_server());
  const context_ptr client = client_context();
  constexpr int connections = 50;
  constexpr int rounds = 20;
  int done = 0;
  group all;
  for (int i = 0; i < connections; ++i) {
    all.spawn([&, i] {
      socket_pair ends;
      auto serving = spawn([&] { serve(server.get(), ends[1]); });
      const ssl_ptr ssl = over(client.get(), ends[0]);
      ASSERT_EQ(SSL_ERROR_NONE, error_of(ssl.get(), SSL_connect));
      for (int round = 0; round < rounds; ++round) {
        const std::string sent = std::to_string(i) + ' ' + std::to_string(round);
        ASSERT_EQ(static_cast<int>(sent.size()),
                  SSL_write(ssl.get(), sent.data(), static_cast<int>(sent.size())));
        char got[64];
        const int size = SSL_read(ssl.get(), got, sizeof got);
        ASSERT_EQ(sent, std::string(got, static_cast<std::size_t>(std::max(size, 0))));
      }
      EXPECT_EQ(0, SSL_shutdown(ssl.get()));
      EXPECT_EQ(1, SSL_shutdown(ssl.get())) << "the server has answered";
      serving.get();
      ++done;
    });
  }
  all.join();
  EXPECT_EQ(done, connections);
}

TEST(openssl, errors_of_handshakes_are_found_by_their_fibers) {
  const credential maker = make_credential({.name = "strange CA", .is_authority = true});
  signal(SIGPIPE, SIG_IGN);  // OpenSSL's sockets write without MSG_NOSIGNAL
  const context_ptr good = server_context(local_server());
  const context_ptr strange = server_context(make_credential({.name = "stranger"}, &maker));
  const context_ptr client = client_context();
  constexpr int connections = 100;
  int right = 0;
  int verified_wrong = 0;
  group all;
  for (int i = 0; i < connections; ++i) {
    all.spawn([&, i] {
      const bool is_good = i % 2 == 0;
      socket_pair ends;
      auto serving = spawn([&] { serve((is_good ? good : strange).get(), ends[1]); });
      {
        const ssl_ptr ssl = over(client.get(), ends[0]);
        const int error = error_of(ssl.get(), SSL_connect);
        const int reason = ERR_GET_REASON(ERR_peek_error());
        if (is_good) {
          right += error == SSL_ERROR_NONE;
        } else {
          right += error == SSL_ERROR_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED;
        }
        // What belongs to the connection is right in any case.
        verified_wrong += (SSL_get_verify_result(ssl.get()) == X509_V_OK) != is_good;
      }
      ::shutdown(ends[0], SHUT_RDWR);
      serving.get();
    });
  }
  all.join();
  EXPECT_EQ(verified_wrong, 0);
  EXPECT_EQ(right, connections);
}

TEST(openssl, an_error_of_another_fiber_is_not_found_by_one_that_waited_in_a_read) {
  const context_ptr server = server_context(local_server());
  const context_ptr client = client_context();
  socket_pair ends;
  socket_pair other;
  socket_pair ending;
  auto serving = spawn([&] {
    const ssl_ptr s = over(server.get(), ends[1]);
    EXPECT_EQ(SSL_ERROR_NONE, error_of(s.get(), SSL_accept));
    char byte = 'x';
    EXPECT_EQ(1, SSL_write(s.get(), &byte, 1));
    EXPECT_EQ(1, ::read(ending[0], &byte, 1));
    SSL_shutdown(s.get());
  });
  const ssl_ptr ssl = over(client.get(), ends[0]);
  ASSERT_EQ(SSL_ERROR_NONE, error_of(ssl.get(), SSL_connect));
  char first;
  ASSERT_EQ(1, SSL_read(ssl.get(), &first, 1)) << "behind what follows a handshake";
  auto reading = spawn([&] {
    char byte;
    return error_of(ssl.get(), [&](SSL* s) { return SSL_read(s, &byte, 1); });
  });
  this_fiber::yield();  // it parks inside SSL_read
  spawn([] { EXPECT_EQ(nullptr, BIO_new_file("/nowhere/at/all", "r")); }).join();  // never looks
  auto failing = spawn([&] {
    ERR_clear_error();
    EXPECT_EQ(nullptr, BIO_new_file("/nowhere/at/all", "r"));
    char byte;
    EXPECT_EQ(1, ::read(other[0], &byte, 1));  // parks before it looks at its error
    return ERR_peek_error();
  });
  this_fiber::yield();
  EXPECT_EQ(1, ::write(ending[1], "x", 1));
  EXPECT_EQ(SSL_ERROR_ZERO_RETURN, reading.get()) << "the server ends as it should";
  ERR_clear_error();
  EXPECT_EQ(1, ::write(other[1], "x", 1));
  EXPECT_EQ(ENOENT, ERR_GET_REASON(failing.get())) << "of the file that is not there";
  serving.get();
  ERR_clear_error();
}

/// What ERR_print_errors says, but for the number of the thread.
std::string errors_printed() {
  std::string all;
  const auto add = [](const char* text, std::size_t size, void* into) {
    const std::string_view line(text, size);
    *static_cast<std::string*>(into) += line.substr(line.find(':'));
    return 1;
  };
  ERR_print_errors_cb(add, &all);
  return all;
}

void make_errors() {
  ERR_clear_error();
  ERR_raise_data(ERR_LIB_USER, 7, "one of %d", 2);
  EXPECT_EQ(nullptr, BIO_new_file("/nowhere/at/all", "r"));
  ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
}

TEST(openssl, errors_keep_their_order_and_texts_while_their_fiber_waits) {
  make_errors();
  const std::string expected = errors_printed();
  EXPECT_NE(expected.find("one of 2"), expected.npos) << expected;
  EXPECT_NE(expected.find("no shared cipher"), expected.npos) << expected;
  constexpr int fibers = 20;
  group all;
  for (int i = 0; i < fibers; ++i) {
    all.spawn([&, i] {
      make_errors();
      if (i % 3 == 0) {
        ::usleep(1000);
      } else if (i % 3 == 1) {
        pollfd none{-1, 0, 0};
        EXPECT_EQ(0, ::poll(&none, 1, 1));
      } else {  // calls that never wait give others a turn now and then
        socket_pair ends;
        for (int call = 0; call < 100; ++call) EXPECT_EQ(1, ::write(ends[0], "x", 1));
      }
      EXPECT_EQ(expected, errors_printed());
    });
  }
  all.join();
  ERR_clear_error();
}

}  // namespace
}  // namespace coir::testing
