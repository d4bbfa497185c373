// Waiting for several descriptors: poll, select, and the program's own epoll.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <cstring>

#include <sys/epoll.h>
#include <sys/resource.h>

namespace coir::test {
namespace {

using poll_test = runtime_test;
using detail::deadline_after;
using detail::never;

TEST_F(poll_test, it_parks_until_one_descriptor_is_ready) {
  const pipe_ends idle = make_pipe();
  const pipe_ends busy = make_pipe();
  fiber<> writer = spawn([&] {
    sleep(10ms);
    EXPECT_EQ(::write(busy.writer.get(), "x", 1), 1);
  });
  pollfd fds[] = {{idle.reader.get(), POLLIN, 0}, {busy.reader.get(), POLLIN, 0}};
  const stopwatch watch;
  EXPECT_EQ(io::poll(fds, 2, never), 1);
  expect_took(watch, 10ms);
  EXPECT_EQ(fds[0].revents, 0);
  EXPECT_EQ(fds[1].revents, POLLIN);
  writer.join();
}

TEST_F(poll_test, it_ends_with_zero_when_its_deadline_passes) {
  const pipe_ends idle = make_pipe();
  pollfd fds[] = {{idle.reader.get(), POLLIN, 77}};
  const stopwatch watch;
  EXPECT_EQ(io::poll(fds, 1, deadline_after(20ms)), 0);
  expect_took(watch, 20ms);
  EXPECT_EQ(fds[0].revents, 0);
}

TEST_F(poll_test, without_a_time_it_only_looks) {
  const pipe_ends idle = make_pipe();
  pollfd fds[] = {{idle.reader.get(), POLLIN, 0}, {idle.writer.get(), POLLOUT, 0}};
  const stopwatch watch;
  EXPECT_EQ(io::poll(fds, 2, 0), 1);
  EXPECT_EQ(io::poll(fds, 1, 0), 0);
  expect_prompt(watch);
}

TEST_F(poll_test, without_descriptors_it_sleeps_and_lets_others_run) {
  bool other_has_run = false;
  fiber<> other = spawn([&] { other_has_run = true; });
  const stopwatch watch;
  EXPECT_EQ(io::poll(nullptr, 0, deadline_after(20ms)), 0);
  expect_took(watch, 20ms);
  EXPECT_TRUE(other_has_run);
}

TEST_F(poll_test, negative_descriptors_are_ignored) {
  const pipe_ends pipe = make_pipe();
  pollfd fds[] = {{-1, POLLIN, 55}, {pipe.writer.get(), POLLOUT, 0}, {-7, POLLIN, 55}};
  EXPECT_EQ(io::poll(fds, 3, never), 1);
  EXPECT_EQ(fds[0].revents, 0);
  EXPECT_EQ(fds[2].revents, 0);
  const stopwatch watch;
  EXPECT_EQ(io::poll(fds, 1, deadline_after(10ms)), 0);
  expect_took(watch, 10ms);
}

TEST_F(poll_test, a_descriptor_that_is_not_open_is_reported_at_once) {
  const pipe_ends pipe = make_pipe();
  const int closed = ::dup(pipe.reader.get());
  ::close(closed);
  pollfd fds[] = {{pipe.reader.get(), POLLIN, 0}, {closed, POLLIN, 0}};
  EXPECT_EQ(io::poll(fds, 2, never), 1);
  EXPECT_EQ(fds[1].revents, POLLNVAL);
  EXPECT_EQ(io::wait_ready(closed, POLLIN, never), -EBADF);
}

TEST_F(poll_test, ten_sockets_ready_at_once_are_all_reported) {
  std::vector<socket_ends> pairs;
  std::vector<pollfd> fds;
  for (int i = 0; i < 10; ++i) {
    pairs.push_back(make_socket_pair());
    fds.push_back({pairs.back().one.get(), POLLIN, 0});
  }
  fiber<> writer = spawn([&] {
    for (const socket_ends& pair : pairs) EXPECT_EQ(::write(pair.other.get(), "x", 1), 1);
  });
  EXPECT_EQ(io::poll(fds.data(), fds.size(), never), 10);
  for (const pollfd& p : fds) EXPECT_EQ(p.revents, POLLIN);
  writer.join();
}

TEST_F(poll_test, one_descriptor_may_stand_in_it_twice) {
  const socket_ends pair = make_socket_pair();
  fill(pair.one.get());
  pollfd fds[] = {{pair.one.get(), POLLIN, 0}, {pair.one.get(), POLLOUT, 0}};
  fiber<> writer = spawn([&] {
    sleep(1ms);
    EXPECT_EQ(::write(pair.other.get(), "x", 1), 1);
  });
  EXPECT_EQ(io::poll(fds, 2, never), 1);
  EXPECT_EQ(fds[0].revents, POLLIN);
  EXPECT_EQ(fds[1].revents, 0);
  writer.join();
}

TEST_F(poll_test, two_fibers_may_poll_one_descriptor) {
  const pipe_ends pipe = make_pipe();
  auto wait = [&] {
    pollfd one{pipe.reader.get(), POLLIN, 0};
    return io::poll(&one, 1, never);
  };
  fiber<int> first = spawn(wait);
  fiber<int> second = spawn(wait);
  sleep(1ms);
  EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  EXPECT_EQ(first.get_for(10s), 1);
  EXPECT_EQ(second.get_for(10s), 1);
}

TEST_F(poll_test, a_reader_and_a_poller_and_a_writer_share_one_socket) {
  const socket_ends pair = make_socket_pair();
  fill(pair.one.get());
  fiber<int> poller = spawn([&] {
    pollfd one{pair.one.get(), POLLIN | POLLOUT, 0};
    return io::poll(&one, 1, deadline_after(10s));
  });
  fiber<ssize_t> writer = spawn([&] { return io::write(pair.one.get(), "y", 1, {}); });
  sleep(1ms);
  EXPECT_FALSE(writer.ready());
  EXPECT_EQ(::write(pair.other.get(), "x", 1), 1);
  EXPECT_EQ(poller.get_for(10s), 1);
  std::vector<char> drain(1 << 20);
  while (!writer.ready() &&
         io::read(pair.other.get(), drain.data(), drain.size(), {deadline_after(5s)}) > 0) {
  }
  EXPECT_EQ(writer.get_for(10s), 1);
}

TEST_F(poll_test, a_hangup_is_reported_unasked) {
  pipe_ends pipe = make_pipe();
  fiber<> closer = spawn([&] {
    sleep(1ms);
    pipe.writer.reset();
  });
  pollfd one{pipe.reader.get(), 0, 0};
  EXPECT_EQ(io::poll(&one, 1, deadline_after(10s)), 1);
  EXPECT_EQ(one.revents, POLLHUP);
  closer.join();
}

TEST_F(poll_test, a_regular_file_is_ready_at_once) {
  const descriptor file = make_file();
  pollfd one{file.get(), POLLIN | POLLOUT, 0};
  EXPECT_EQ(io::poll(&one, 1, never), 1);
  EXPECT_EQ(one.revents, POLLIN | POLLOUT);
  EXPECT_GT(io::wait_ready(file.get(), POLLIN, never), 0);
}

TEST_F(poll_test, wait_ready_says_what_the_descriptor_has) {
  const pipe_ends pipe = make_pipe();
  EXPECT_EQ(io::wait_ready(pipe.writer.get(), POLLOUT, never), POLLOUT);
  EXPECT_EQ(io::wait_ready(pipe.reader.get(), POLLIN, deadline_after(5ms)), -ETIMEDOUT);
  fiber<int> waiter = spawn([&] { return io::wait_ready(pipe.reader.get(), POLLIN, never); });
  yield();
  EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  EXPECT_EQ(waiter.get_for(10s), POLLIN);
}

TEST_F(poll_test, many_descriptors_in_one_call_work) {
  std::vector<pipe_ends> pipes;
  std::vector<pollfd> fds;
  for (int i = 0; i < 300; ++i) {
    pipes.push_back(make_pipe());
    fds.push_back({pipes.back().reader.get(), POLLIN, 0});
  }
  fiber<> writer = spawn([&] {
    sleep(1ms);
    EXPECT_EQ(::write(pipes[250].writer.get(), "x", 1), 1);
  });
  for (int round = 0; round < 3; ++round)
    EXPECT_EQ(io::poll(fds.data(), fds.size(), deadline_after(10s)), 1);
  EXPECT_EQ(fds[250].revents, POLLIN);
  writer.join();
}

using select_test = runtime_test;

TEST_F(select_test, without_descriptors_it_sleeps_and_lets_others_run) {
  bool other_has_run = false;
  fiber<> other = spawn([&] { other_has_run = true; });
  const stopwatch watch;
  EXPECT_EQ(io::select(0, nullptr, nullptr, nullptr, deadline_after(20ms)), 0);
  expect_took(watch, 20ms);
  EXPECT_TRUE(other_has_run);
}

TEST_F(select_test, it_says_which_are_readable_and_writable) {
  const pipe_ends idle = make_pipe();
  const pipe_ends busy = make_pipe();
  ASSERT_EQ(::write(busy.writer.get(), "x", 1), 1);
  fd_set readable;
  fd_set writable;
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_SET(idle.reader.get(), &readable);
  FD_SET(busy.reader.get(), &readable);
  FD_SET(busy.writer.get(), &writable);
  EXPECT_EQ(io::select(busy.writer.get() + 1, &readable, &writable, nullptr, never), 2);
  EXPECT_FALSE(FD_ISSET(idle.reader.get(), &readable));
  EXPECT_TRUE(FD_ISSET(busy.reader.get(), &readable));
  EXPECT_TRUE(FD_ISSET(busy.writer.get(), &writable));
}

TEST_F(select_test, an_idle_pipe_ends_it_after_its_time_with_empty_sets) {
  const pipe_ends idle = make_pipe();
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(idle.reader.get(), &readable);
  const stopwatch watch;
  EXPECT_EQ(io::select(idle.reader.get() + 1, &readable, nullptr, nullptr, deadline_after(20ms)),
            0);
  expect_took(watch, 20ms);
  EXPECT_FALSE(FD_ISSET(idle.reader.get(), &readable));
}

TEST_F(select_test, the_end_of_a_pipe_is_readable) {
  pipe_ends pipe = make_pipe();
  fiber<> closer = spawn([&] { pipe.writer.reset(); });
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(pipe.reader.get(), &readable);
  EXPECT_EQ(io::select(pipe.reader.get() + 1, &readable, nullptr, nullptr, deadline_after(10s)), 1);
  EXPECT_TRUE(FD_ISSET(pipe.reader.get(), &readable));
  closer.join();
}

TEST_F(select_test, a_closed_descriptor_is_a_bad_one) {
  const pipe_ends pipe = make_pipe();
  const int closed = ::dup(pipe.reader.get());
  ::close(closed);
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(closed, &readable);
  EXPECT_EQ(io::select(closed + 1, &readable, nullptr, nullptr, never), -EBADF);
  EXPECT_EQ(io::select(-1, nullptr, nullptr, nullptr, never), -EINVAL);
}

TEST_F(select_test, descriptors_past_the_size_of_a_set_work_in_longer_sets) {
  const pipe_ends pipe = make_pipe();
  const descriptor high(::fcntl(pipe.reader.get(), F_DUPFD_CLOEXEC, FD_SETSIZE + 100));
  if (high.get() < 0) GTEST_SKIP() << "RLIMIT_NOFILE is too low";
  std::vector<fd_set> sets(2);
  for (fd_set& part : sets) FD_ZERO(&part);
  auto* bits = reinterpret_cast<unsigned char*>(sets.data());
  const auto at = static_cast<std::size_t>(high.get());
  bits[at / 8] = static_cast<unsigned char>(1u << at % 8);
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  EXPECT_EQ(io::select(high.get() + 1, sets.data(), nullptr, nullptr, deadline_after(10s)), 1);
  EXPECT_TRUE(bits[at / 8] >> at % 8 & 1);
}

using epoll_test = runtime_test;

descriptor make_epoll() { return descriptor(::epoll_create1(EPOLL_CLOEXEC)); }

void add(const descriptor& epoll, int fd, std::uint32_t events) {
  epoll_event event{events, {.fd = fd}};
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), 0);
}

TEST_F(epoll_test, the_programs_own_epoll_parks_only_the_fiber) {
  const descriptor epoll = make_epoll();
  const pipe_ends pipe = make_pipe();
  add(epoll, pipe.reader.get(), EPOLLIN);
  fiber<> writer = spawn([&] {
    sleep(10ms);
    EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  });
  epoll_event events[4];
  const stopwatch watch;
  ASSERT_EQ(io::epoll_wait(epoll.get(), events, 4, never), 1);
  expect_took(watch, 10ms);
  EXPECT_EQ(events[0].data.fd, pipe.reader.get());
  EXPECT_EQ(events[0].events, static_cast<std::uint32_t>(EPOLLIN));
  writer.join();
}

TEST_F(epoll_test, it_ends_with_zero_when_its_deadline_passes) {
  const descriptor epoll = make_epoll();
  epoll_event events[4];
  const stopwatch watch;
  EXPECT_EQ(io::epoll_wait(epoll.get(), events, 4, deadline_after(20ms)), 0);
  expect_took(watch, 20ms);
  EXPECT_EQ(io::epoll_wait(epoll.get(), events, 4, 0), 0);
}

TEST_F(epoll_test, edges_come_once) {
  const descriptor epoll = make_epoll();
  const pipe_ends pipe = make_pipe();
  add(epoll, pipe.reader.get(), EPOLLIN | EPOLLET);
  epoll_event events[4];
  for (int round = 0; round < 3; ++round) {
    fiber<> writer = spawn([&] { EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1); });
    EXPECT_EQ(io::epoll_wait(epoll.get(), events, 4, deadline_after(10s)), 1);
    EXPECT_EQ(io::epoll_wait(epoll.get(), events, 4, deadline_after(2ms)), 0);
    writer.join();
  }
}

TEST_F(epoll_test, mistakes_are_reported_as_by_the_system_call) {
  const descriptor epoll = make_epoll();
  const pipe_ends pipe = make_pipe();
  epoll_event events[1];
  EXPECT_EQ(io::epoll_wait(epoll.get(), events, 0, never), -EINVAL);
  EXPECT_EQ(io::epoll_wait(pipe.reader.get(), events, 1, never), -EINVAL);
  EXPECT_EQ(io::epoll_wait(-1, events, 1, never), -EBADF);
}

TEST_F(epoll_test, a_loop_with_a_wake_pipe_runs_as_one_fiber_among_others) {
  const descriptor epoll = make_epoll();
  const pipe_ends pipe = make_pipe(O_CLOEXEC | O_NONBLOCK);
  add(epoll, pipe.reader.get(), EPOLLIN);
  constexpr int messages = 500;
  int received = 0;
  fiber<> loop = spawn([&] {
    while (received < messages) {
      epoll_event events[8];
      if (io::epoll_wait(epoll.get(), events, 8, never) < 1) break;
      char data[64];
      const ssize_t size = ::read(pipe.reader.get(), data, sizeof data);
      if (size > 0) received += static_cast<int>(size);
    }
  });
  for (int i = 0; i < messages; ++i) {
    ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
    if (i % 10 == 0) yield();
  }
  EXPECT_TRUE(loop.join_for(10s));
  EXPECT_EQ(received, messages);
}

TEST_F(poll_test, a_yield_lets_the_ready_fibers_run_and_returns) {
  int turns = 0;
  fiber<> other = spawn([&] {
    for (int i = 0; i < 3; ++i) {
      ++turns;
      EXPECT_EQ(io::yield(), 0);
    }
  });
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(io::yield(), 0);
    EXPECT_EQ(turns, i);
  }
  other.join();
}

TEST_F(poll_test, yields_do_not_keep_the_worker_from_timers) {
  fiber<> sleeper = spawn([] { sleep(2ms); });
  const stopwatch watch;
  while (!sleeper.ready() && watch.elapsed() < 10s) EXPECT_EQ(io::yield(), 0);
  EXPECT_TRUE(sleeper.ready());
}

}  // namespace
}  // namespace coir::test
