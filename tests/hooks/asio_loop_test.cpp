// Asio's loop as it is, in a fiber: its wait parks.
#include "tests/hooks/support.hpp"

#include <coir/clock.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace coir::testing;

TEST(AsioLoop, RunsInAFiberBesideOthers) {
  asio::io_context context;
  int left = 10;
  asio::steady_timer timer(context);
  std::function<void(const boost::system::error_code&)> tick = [&](const auto&) {
    if (--left == 0) return;
    timer.expires_after(5ms);
    timer.async_wait(tick);
  };
  timer.expires_after(5ms);
  timer.async_wait(tick);
  auto loop = coir::spawn([&] { context.run(); });
  int turns_of_others = 0;
  while (!loop.ready()) {
    coir::sleep(1ms);
    ++turns_of_others;
  }
  EXPECT_EQ(left, 0);
  EXPECT_GE(turns_of_others, 10);
}

TEST(AsioLoop, SeveralLoopsOfOneThreadTalkToEachOther) {
  using socket = asio::local::stream_protocol::socket;
  asio::io_context contexts[2];
  socket ends[2] = {socket(contexts[0]), socket(contexts[1])};
  asio::local::connect_pair(ends[0], ends[1]);
  int passes[2] = {};
  char ball[2] = {};
  std::function<void(int)> play = [&](int side) {
    asio::async_read(ends[side], asio::buffer(&ball[side], 1), [&, side](auto ec, auto) {
      if (ec || ++passes[side] == 100) return ends[side].close();
      asio::async_write(ends[side], asio::buffer(&ball[side], 1), [&, side](auto failed, auto) {
        if (!failed) play(side);
      });
    });
  };
  play(0);
  play(1);
  asio::write(ends[0], asio::buffer("b", 1));
  auto one = coir::spawn([&] { contexts[0].run(); });
  auto other = coir::spawn([&] { contexts[1].run(); });
  EXPECT_TRUE(one.join_for(patience));
  EXPECT_TRUE(other.join_for(patience));
  EXPECT_GE(passes[0] + passes[1], 199);
}

TEST(AsioLoop, AThreadThatPostsWakesIt) {
  asio::io_context context;
  asio::steady_timer any(
      context);  // without a timer or a socket Asio waits at a condition variable
  auto work = asio::make_work_guard(context);
  int handled = 0;
  auto loop = coir::spawn([&] { context.run(); });
  coir::yield();
  std::thread plain([&] {
    for (int i = 0; i < 100; ++i) asio::post(context, [&] { ++handled; });
    asio::post(context, [&] { work.reset(); });
  });
  EXPECT_TRUE(loop.join_for(patience));
  plain.join();
  EXPECT_EQ(handled, 100);
}

}  // namespace
