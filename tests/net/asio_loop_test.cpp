// Asio's loop as the one that waits: fibers run between its handlers.
#include "tests/net/support.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <thread>

namespace coir::net::test {
namespace {

namespace asio = boost::asio;

/// An io_context that runs the fibers of its thread, as a program would have it.
class asio_loop {
 public:
  asio_loop() : events_(context_, pollable_fd()) { watch(); }
  asio_loop(const asio_loop&) = delete;
  asio_loop& operator=(const asio_loop&) = delete;
  ~asio_loop() { events_.release(); }  // the descriptor is coir's

  asio::io_context& context() { return context_; }

  /// False when `is_over()` has not come in time.
  bool run_until(const std::function<bool()>& is_over) {
    const stopwatch watch;
    for (;;) {
      const std::chrono::nanoseconds limit = run_once();
      if (is_over()) return true;
      if (watch.elapsed() > patience) return false;
      context_.run_one_for(std::min<std::chrono::nanoseconds>(limit, patience));
    }
  }

 private:
  void watch() {
    events_.async_wait(events_.wait_read, [this](const boost::system::error_code& ec) {
      if (!ec) watch();
    });
  }

  asio::io_context context_;
  asio::posix::stream_descriptor events_;
};

TEST(asio_loop_test, fibers_serve_clients_that_are_handlers_of_asio) {
  asio_loop loop;
  stream_server server(address::ipv4_loopback(), [](stream& connection) {
    std::array<char, 100> data;
    while (const std::size_t size = connection.read_some(data))
      connection.write_all(const_buffer(data.data(), size));
  });
  server.start();
  const asio::ip::tcp::endpoint where(asio::ip::address_v4::loopback(),
                                      server.local_address().port());
  struct client {
    explicit client(asio::io_context& context) : socket(context) {}
    asio::ip::tcp::socket socket;
    std::array<char, 5> answer{};
  };
  std::vector<std::unique_ptr<client>> clients;
  int answered = 0;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(std::make_unique<client>(loop.context()));
    client& c = *clients.back();
    c.socket.async_connect(where, [&](const boost::system::error_code& ec) {
      ASSERT_FALSE(ec) << ec.message();
      asio::async_write(
          c.socket, asio::buffer("hello", 5), [&](const boost::system::error_code&, std::size_t) {
            c.socket.async_read_some(asio::buffer(c.answer),
                                     [&](const boost::system::error_code&, std::size_t size) {
                                       answered += size == 5 && c.answer[4] == 'o';
                                     });
          });
    });
  }
  EXPECT_TRUE(loop.run_until([&] { return answered == 50; })) << answered;
  clients.clear();
  fiber<> stopping = spawn([&] { server.stop(); });
  EXPECT_TRUE(loop.run_until([&] { return stopping.ready(); }));
}

TEST(asio_loop_test, timers_of_both_fire_in_order) {
  asio_loop loop;
  std::string order;
  asio::steady_timer first(loop.context(), 20ms);
  asio::steady_timer third(loop.context(), 60ms);
  first.async_wait([&](const auto&) { order += '1'; });
  third.async_wait([&](const auto&) { order += '3'; });
  spawn([&] {
    sleep(40ms);
    order += '2';
    sleep(40ms);
    order += '4';
  });
  EXPECT_TRUE(loop.run_until([&] { return order.size() == 4; }));
  EXPECT_EQ(order, "1234");
}

TEST(asio_loop_test, a_handler_and_another_thread_wake_fibers) {
  asio_loop loop;
  queue<int> q;
  fiber<int> sum = spawn([&] { return q.get() + q.get(); });
  asio::post(loop.context(), [&] { q.put(1); });
  std::thread other([&] { q.put(2); });
  EXPECT_TRUE(loop.run_until([&] { return sum.ready(); }));
  EXPECT_EQ(sum.get(), 3);
  other.join();
}

}  // namespace
}  // namespace coir::net::test
