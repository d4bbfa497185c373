// Boost's own algorithms, unchanged, over streams of coir.
#include "tests/net/support.hpp"

#include <coir/net/asio.hpp>

#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <array>
#include <memory>

namespace coir::net::test {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;

static_assert(beast::is_sync_stream<asio_stream>::value);

struct ends {
  std::unique_ptr<stream> near;
  std::unique_ptr<stream> far;
};

ends tcp_ends() {
  auto both = tcp_connection();
  return {std::make_unique<tcp_stream>(std::move(both.near)),
          std::make_unique<tcp_stream>(std::move(both.far))};
}

ends unix_ends() {
  auto both = unix_stream::pair();
  return {std::make_unique<unix_stream>(std::move(both.first)),
          std::make_unique<unix_stream>(std::move(both.second))};
}

/// The same over both kinds of streams.
class asio_adapter : public testing::TestWithParam<ends (*)()> {
 protected:
  asio_adapter() : both(GetParam()()) {
    both.near->expires_after(patience);
    both.far->expires_after(patience);
  }
  ends both;
};

INSTANTIATE_TEST_SUITE_P(streams, asio_adapter, testing::Values(tcp_ends, unix_ends),
                         [](const auto& each) { return each.index == 0 ? "tcp" : "unix"; });

TEST_P(asio_adapter, read_until_and_write_carry_lines) {
  asio_stream near(*both.near), far(*both.far);
  auto peer = spawn([&] {
    const std::array<asio::const_buffer, 4> parts{asio::buffer("fir", 3), asio::const_buffer(),
                                                  asio::buffer("st\r\nsec", 7),
                                                  asio::buffer("ond\r\n", 5)};
    EXPECT_EQ(15u, asio::write(far, parts));
    both.far->shutdown(direction::write);
  });
  std::string text;
  EXPECT_EQ(7u, asio::read_until(near, asio::dynamic_buffer(text), "\r\n"));
  EXPECT_EQ("first\r\n", text.substr(0, 7));
  text.erase(0, 7);
  EXPECT_EQ(8u, asio::read_until(near, asio::dynamic_buffer(text), "\r\n"));
  text.erase(0, 8);
  boost::system::error_code ec;
  asio::read_until(near, asio::dynamic_buffer(text), "\r\n", ec);
  EXPECT_EQ(asio::error::eof, ec);
  EXPECT_EQ(std::error_code(errc::end_of_stream), to_std(ec));
  EXPECT_THROW(asio::read_until(near, asio::dynamic_buffer(text), '\n'),
               boost::system::system_error);
  peer.get();
}

TEST_P(asio_adapter, more_buffers_than_one_call_takes_arrive_in_order) {
  asio_stream near(*both.near), far(*both.far);
  const std::vector<unsigned char> sent = pattern(3).take(3'000'000);
  std::vector<asio::const_buffer> parts;
  for (std::size_t begin = 0; begin < sent.size(); begin += 30'000) {
    parts.push_back(asio::buffer(sent.data() + begin, 30'000));
  }
  auto peer = spawn([&] { EXPECT_EQ(sent.size(), asio::write(far, parts)); });
  std::vector<unsigned char> got(sent.size());
  const std::array<asio::mutable_buffer, 3> places{
      asio::mutable_buffer(), asio::buffer(got.data(), 1'000'001),
      asio::buffer(got.data() + 1'000'001, got.size() - 1'000'001)};
  EXPECT_EQ(got.size(), asio::read(near, places));
  EXPECT_TRUE(got == sent);
  peer.get();
}

TEST_P(asio_adapter, beasts_http_messages_pass) {
  asio_stream near(*both.near), far(*both.far);
  auto server = spawn([&] {
    beast::flat_buffer buffer;
    http::request<http::string_body> asked;
    http::read(far, buffer, asked);
    http::response<http::string_body> answer{http::status::ok, 11};
    answer.body() = "you asked " + std::string(asked.target());
    answer.chunked(true);
    http::write(far, answer);
  });
  http::request<http::string_body> ask{http::verb::get, "/it", 11};
  http::write(near, ask);
  beast::flat_buffer buffer;
  http::response<http::string_body> answer;
  http::read(near, buffer, answer);
  EXPECT_EQ("you asked /it", answer.body());
  server.get();
}

TEST_P(asio_adapter, beasts_websocket_shakes_hands_talks_and_closes) {
  auto server = spawn([&] {
    websocket::stream<asio_stream> ws{asio_stream(*both.far)};
    ws.accept();
    beast::flat_buffer buffer;
    ws.read(buffer);
    ws.text(ws.got_text());
    ws.write(buffer.data());
    boost::system::error_code ec;
    buffer.clear();
    ws.read(buffer, ec);
    EXPECT_EQ(websocket::error::closed, ec);
    EXPECT_EQ(websocket::close_code::going_away, ws.reason().code);
  });
  websocket::stream<asio_stream> ws{asio_stream(*both.near)};
  ws.handshake("localhost", "/");
  const std::string sent(100'000, 'x');
  auto writer = spawn([&] { ws.write(asio::buffer(sent)); });
  beast::flat_buffer buffer;
  ws.read(buffer);
  EXPECT_EQ(sent, beast::buffers_to_string(buffer.data()));
  writer.get();
  ws.close(websocket::close_code::going_away);
  server.get();
  EXPECT_FALSE(both.near->is_open());
  EXPECT_FALSE(both.far->is_open());
}

TEST_P(asio_adapter, a_deadline_is_asios_timed_out) {
  both.near->reads_expire_after(50ms);
  asio_stream near(*both.near);
  char byte;
  boost::system::error_code ec;
  const stopwatch since;
  EXPECT_EQ(0u, asio::read(near, asio::buffer(&byte, 1), ec));
  expect_lasted(since, 50ms);
  EXPECT_EQ(asio::error::timed_out, ec);
  EXPECT_EQ(std::errc::timed_out, to_std(ec));
}

TEST_P(asio_adapter, a_peer_that_has_gone_is_asios_broken_pipe) {
  both.far->close();
  asio_stream near(*both.near);
  boost::system::error_code ec;
  const std::vector<char> block(1 << 20);
  for (int i = 0; i < 100 && !ec; ++i) asio::write(near, asio::buffer(block), ec);
  EXPECT_TRUE(ec == asio::error::broken_pipe || ec == asio::error::connection_reset)
      << ec.message();
}

TEST_P(asio_adapter, a_kill_passes_through_boosts_algorithms) {
  asio_stream near(*both.near);
  bool was_killed = false;
  auto reader = spawn([&] {
    std::string text;
    try {
      asio::read_until(near, asio::dynamic_buffer(text), '\n');
    } catch (const fiber_exit&) {
      was_killed = true;
      throw;
    }
  });
  this_fiber::yield();
  reader.kill();
  EXPECT_TRUE(was_killed);
}

TEST_P(asio_adapter, a_closed_stream_is_asios_bad_descriptor) {
  both.near->close();
  asio_stream near(*both.near);
  boost::system::error_code ec;
  char byte = 0;
  asio::write(near, asio::buffer(&byte, 1), ec);
  EXPECT_EQ(asio::error::bad_descriptor, ec);
}

}  // namespace
}  // namespace coir::net::test
