// A fiber that never needs to wait does not keep its worker for itself.
#include <coir/detail/stream_socket.hpp>

#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <functional>

namespace coir::test {
namespace {

using fairness_test = runtime_test;
using detail::deadline_after;

/// Makes `call`, which always succeeds at once, `calls` times in one fiber; returns how often
/// another one ran meanwhile.
int turns_of_another(int calls, const std::function<void()>& call) {
  int turns = 0;
  bool is_over = false;
  fiber<> other = spawn([&] {
    while (!is_over) {
      ++turns;
      yield();
    }
  });
  fiber<> greedy = spawn([&] {
    for (int i = 0; i < calls; ++i) call();
    is_over = true;
  });
  joinall(std::vector{greedy, other});
  return turns;
}

constexpr int calls = 3200;
constexpr int turns_at_least = calls / 64;  // the budget is smaller; its exact size is not promised

TEST_F(fairness_test, reads_and_writes_that_always_succeed_let_others_run) {
  const pipe_ends pipe = make_pipe();
  char byte = 'x';
  EXPECT_GE(turns_of_another(calls / 2,
                             [&] {
                               ASSERT_EQ(io::write(pipe.writer.get(), &byte, 1, {}), 1);
                               ASSERT_EQ(io::read(pipe.reader.get(), &byte, 1, {}), 1);
                             }),
            turns_at_least);
}

TEST_F(fairness_test, receives_and_sends_that_always_succeed_let_others_run) {
  const socket_ends pair = make_socket_pair();
  char byte = 'x';
  EXPECT_GE(turns_of_another(calls / 2,
                             [&] {
                               ASSERT_EQ(io::send(pair.one.get(), &byte, 1, 0, {}), 1);
                               ASSERT_EQ(io::recv(pair.other.get(), &byte, 1, 0, {}), 1);
                             }),
            turns_at_least);
}

TEST_F(fairness_test, streams_that_are_always_ready_let_others_run) {
  socket_ends pair = make_socket_pair(SOCK_STREAM | SOCK_NONBLOCK);
  io::stream_socket one(pair.one.release());
  io::stream_socket other(pair.other.release());
  char byte = 'x';
  EXPECT_GE(turns_of_another(calls / 2,
                             [&] {
                               ASSERT_EQ(one.send(&byte, 1, 0, detail::never), 1);
                               ASSERT_EQ(other.recv(&byte, 1, 0, detail::never), 1);
                             }),
            turns_at_least);
}

TEST_F(fairness_test, a_loop_of_looks_lets_others_run) {
  const pipe_ends pipe = make_pipe();
  pollfd fds[] = {{pipe.reader.get(), POLLIN, 0}};
  EXPECT_GE(turns_of_another(calls, [&] { ASSERT_EQ(io::poll(fds, 1, 0), 0); }), turns_at_least);
}

TEST_F(fairness_test, timers_fire_beside_a_fiber_whose_calls_always_succeed) {
  const socket_ends pair = make_socket_pair();
  bool is_over = false;
  fiber<> sleeper = spawn([&] {
    sleep(10ms);
    is_over = true;
  });
  char byte = 'x';
  const stopwatch watch;
  while (!is_over && watch.elapsed() < 20s) {
    io::send(pair.one.get(), &byte, 1, 0, {});
    io::recv(pair.other.get(), &byte, 1, 0, {});
  }
  EXPECT_TRUE(is_over);
  expect_took(watch, 10ms);
  sleeper.join();
}

TEST_F(fairness_test, descriptors_are_served_beside_fibers_that_only_yield) {
  const socket_ends pair = make_tcp_pair();
  bool is_over = false;
  std::vector<fiber<>> yielding;
  for (int i = 0; i < 3; ++i) {
    yielding.push_back(spawn([&] {
      while (!is_over) yield();
    }));
  }
  fiber<> echo = spawn([&] {
    char byte;
    while (io::recv(pair.other.get(), &byte, 1, 0, {}) == 1)
      io::send(pair.other.get(), &byte, 1, 0, {});
  });
  for (int i = 0; i < 100; ++i) {
    char byte = 'x';
    ASSERT_EQ(io::send(pair.one.get(), &byte, 1, 0, {}), 1);
    ASSERT_EQ(io::recv(pair.one.get(), &byte, 1, 0, {deadline_after(10s)}), 1);
  }
  is_over = true;
  ::shutdown(pair.one.get(), SHUT_WR);
  joinall(yielding);
  echo.join();
}

TEST_F(fairness_test, no_pair_of_a_hundred_starves) {
  constexpr int pairs = 100;
  constexpr int rounds = 50;
  std::vector<int> done(pairs, 0);
  std::vector<fiber<>> fibers;
  std::vector<socket_ends> sockets;
  for (int p = 0; p < pairs; ++p) sockets.push_back(make_socket_pair());
  int spread_max = 0;
  for (int p = 0; p < pairs; ++p) {
    fibers.push_back(spawn([&, p] {
      char byte;
      while (io::recv(sockets[static_cast<std::size_t>(p)].other.get(), &byte, 1, 0, {}) == 1) {
        io::send(sockets[static_cast<std::size_t>(p)].other.get(), &byte, 1, 0, {});
      }
    }));
    fibers.push_back(spawn([&, p] {
      const int fd = sockets[static_cast<std::size_t>(p)].one.get();
      for (int i = 0; i < rounds; ++i) {
        char byte = 'x';
        ASSERT_EQ(io::send(fd, &byte, 1, 0, {}), 1);
        ASSERT_EQ(io::recv(fd, &byte, 1, 0, {deadline_after(20s)}), 1);
        ++done[static_cast<std::size_t>(p)];
        const auto [least, most] = std::ranges::minmax(done);
        spread_max = std::max(spread_max, most - least);
      }
      ::shutdown(fd, SHUT_WR);
    }));
  }
  joinall(fibers);
  EXPECT_LE(spread_max, 25);
}

}  // namespace
}  // namespace coir::test
