// HTTP over TLS: an http_server whose connections are wrapped, and an http_client that is told
// whom to trust.
#include "tests/net/support.hpp"
#include "tests/net/tls_support.hpp"

#include <coir/net/http_client.hpp>
#include <coir/net/http_server.hpp>

#include <memory>
#include <string>

namespace coir::net::test {
namespace {

class HttpOverTls : public testing::Test {
 protected:
  void SetUp() override {
    http_server::options how;
    how.connections.wrap = serve_tls(tls_context::server(server_options()), 1s);
    how.connections.on_error = [this](std::exception_ptr, const address&) { ++failures_; };
    server_ = std::make_unique<http_server>(
        address::ipv4_loopback(),
        [this](http_request& request, http_response& response) {
          clients_.push_back(request.peer());
          response.send("text/plain", request.has_body() ? request.read_body() : "secret");
        },
        how);
    server_->start();
  }
  http_client client_that_trusts(const tls_options& whom) const {
    http_client::options how;
    how.tls = tls_context::client(whom);
    return http_client(how);
  }
  std::string url_of(const std::string& host) const {
    return "https://" + host + ":" + std::to_string(server_->local_address().port()) + "/";
  }

  std::unique_ptr<http_server> server_;
  std::vector<address> clients_;
  int failures_ = 0;
};

TEST_F(HttpOverTls, RequestsAndAnswersPassOnOneConnection) {
  http_client client = client_that_trusts(client_options());
  EXPECT_EQ(client.get(url_of("localhost")).body, "secret");
  const std::string body(300'000, 'x');
  EXPECT_TRUE(client.post(url_of("localhost"), body).body == body);
  ASSERT_EQ(clients_.size(), 2u);
  EXPECT_EQ(clients_[0], clients_[1]);
}

/// Answers requests on one TLS connection, and sends a session ticket after each answer, when it
/// is told to.
class LateTickets {
 public:
  LateTickets(tls_stream& client, counting_semaphore& told) : client_(client), told_(told) {}

  void serve() {
    client_.expires_after(patience);
    try {
      for (;;) answer();
    } catch (const std::system_error&) {  // the client is gone
    }
  }

 private:
  void answer() {
    for (std::string head; !head.ends_with("\r\n\r\n");) {
      char c;
      client_.read_exactly({&c, 1});
      head += c;
    }
    client_.write_all("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    ASSERT_TRUE(told_.try_acquire_for(patience));
    ASSERT_EQ(1, SSL_new_session_ticket(client_.native_tls()));
    ASSERT_EQ(1, SSL_do_handshake(client_.native_tls()));
  }

  tls_stream& client_;
  counting_semaphore& told_;
};

TEST(HttpOverTlsByHand, ALateSessionTicketDoesNotEndAGoodConnection) {
  tls_options serving = server_options();
  serving.version_min = tls_version::tls13;
  const tls_context context = tls_context::server(serving);
  int connections = 0;
  counting_semaphore told(0);
  stream_server server(address::ipv4_loopback(), [&](stream& plain) {
    ++connections;
    tls_stream client(std::move(dynamic_cast<socket_stream&>(plain)), context);
    client.handshake(patience);
    LateTickets(client, told).serve();
  });
  server.start();
  http_client::options how;
  how.tls = tls_context::client(client_options());
  int fd = -1;
  how.connect = [&, tls = *how.tls](const url& where, time_limit limit, std::error_code& ec) {
    auto made = std::make_unique<tls_stream>(
        tls_stream::connect(where.host(), where.effective_port(), tls, limit, ec));
    fd = made->native_handle();
    return made;
  };
  http_client client(how);
  const std::string url =
      "https://localhost:" + std::to_string(server.local_address().port()) + "/";
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_EQ(client.get(url).body, "ok");
    told.release();
    char byte;  // the ticket is to lie there
    for (stopwatch since; recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1;) {
      ASSERT_LE(since.elapsed(), patience);
      yield();
    }
  }
  EXPECT_EQ(connections, 1);
}

TEST_F(HttpOverTls, AServerThatNobodyVouchesForIsNotAsked) {
  http_client client;
  EXPECT_THROW(client.get(url_of("localhost")), std::system_error);
  http_client wrong_name = client_that_trusts(client_options());
  EXPECT_THROW(wrong_name.get(url_of("127.0.0.2")), std::system_error);
  EXPECT_TRUE(clients_.empty());
}

TEST_F(HttpOverTls, AClientThatSpeaksNoTlsOrNothingIsSentAway) {
  tcp_stream plain = tcp_stream::connect(server_->local_address());
  tcp_stream silent = tcp_stream::connect(server_->local_address());
  plain.expires_after(patience);
  silent.expires_after(patience);
  plain.write_all("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  char buffer[100];
  std::error_code ec;
  while (plain.read_some(buffer, ec) != 0) {
  }
  EXPECT_NE(ec, std::errc::timed_out);
  while (silent.read_some(buffer, ec) != 0) {
  }
  EXPECT_NE(ec, std::errc::timed_out);
  EXPECT_TRUE(clients_.empty());
  EXPECT_EQ(failures_, 2);
}

}  // namespace
}  // namespace coir::net::test
