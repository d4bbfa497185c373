// Programs that are written as an event loop, beside fibers.
#include <coir/poller.hpp>

#include "tests/runtime/support.hpp"

#include <functional>
#include <map>
#include <string>
#include <system_error>

#include <sys/eventfd.h>

namespace coir::test {
namespace {

using poller_test = runtime_test;

/// The errno of what `call` throws; 0 when it throws nothing.
template <class Call>
int error_of(Call call) {
  try {
    call();
    return 0;
  } catch (const std::system_error& e) {
    return e.code().value();
  }
}

void put(const descriptor& writer) { ASSERT_EQ(::write(writer.get(), "x", 1), 1); }

void take(int fd) {
  char byte;
  ASSERT_EQ(::read(fd, &byte, 1), 1);
}

TEST_F(poller_test, it_reports_what_is_ready_with_its_data_until_it_is_dealt_with) {
  const pipe_ends first = make_pipe();
  const pipe_ends second = make_pipe();
  poller<std::string> loop;
  loop.add(first.reader.get(), POLLIN, "first");
  loop.add(second.reader.get(), POLLIN, "second");
  EXPECT_TRUE(loop.select(0s).empty());
  put(second.writer);
  for (int look = 0; look < 2; ++look) {
    const auto ready = loop.select(10s);
    ASSERT_EQ(ready.size(), 1u);
    EXPECT_EQ(ready[0].fd, second.reader.get());
    EXPECT_EQ(ready[0].events, POLLIN);
    EXPECT_EQ(ready[0].data, "second");
  }
  take(second.reader.get());
  EXPECT_TRUE(loop.select(0s).empty());
}

TEST_F(poller_test, it_parks_while_other_fibers_run) {
  const pipe_ends pipe = make_pipe();
  poller<> loop;
  loop.add(pipe.reader.get(), POLLIN);
  int ticks = 0;
  fiber<> other = spawn([&] {
    for (; ticks < 10; ++ticks) sleep(1ms);
    put(pipe.writer);
  });
  EXPECT_EQ(loop.select().size(), 1u);
  EXPECT_EQ(ticks, 10);
  other.join();
}

TEST_F(poller_test, it_returns_nothing_when_the_time_is_up) {
  const pipe_ends idle = make_pipe();
  poller<> loop;
  loop.add(idle.reader.get(), POLLIN);
  const stopwatch watch;
  EXPECT_TRUE(loop.select(20ms).empty());
  expect_took(watch, 20ms);
}

TEST_F(poller_test, a_timeout_scope_and_a_kill_end_its_wait) {
  const pipe_ends idle = make_pipe();
  poller<> loop;
  loop.add(idle.reader.get(), POLLIN);
  EXPECT_THROW(with_timeout(10ms, [&] { loop.select(); }), timeout);
  fiber<> waiting = spawn([&] { loop.select(); });
  yield();
  waiting.kill();
  waiting.join();
  EXPECT_TRUE(loop.select(0s).empty());
}

TEST_F(poller_test, registrations_change_while_a_fiber_waits) {
  const pipe_ends pipe = make_pipe();
  const socket_ends pair = make_socket_pair();
  poller<int> loop;
  std::vector<int> seen;
  fiber<> waiting = spawn([&] {
    while (seen.size() < 3) {
      for (const auto& each : loop.select(10s)) {
        seen.push_back(each.data);
        loop.remove(each.fd);
      }
    }
  });
  sleep(1ms);  // it waits without any descriptor
  loop.add(pipe.reader.get(), POLLIN, 1);
  put(pipe.writer);
  ASSERT_TRUE(eventually([&] { return seen.size() == 1; }));
  loop.add(pair.one.get(), POLLIN, 2);
  sleep(1ms);
  loop.modify(pair.one.get(), POLLOUT, 3);
  ASSERT_TRUE(eventually([&] { return seen.size() == 2; }));
  loop.add(pair.one.get(), POLLIN, 4);
  loop.modify(pair.one.get(), POLLIN | POLLOUT);
  waiting.join();
  EXPECT_EQ(seen, (std::vector{1, 3, 4}));
  EXPECT_EQ(loop.size(), 0u);
}

TEST_F(poller_test, several_fibers_may_wait_in_one) {
  poller<> loop;
  std::vector<pipe_ends> pipes;
  for (int i = 0; i < 10; ++i) {
    pipes.push_back(make_pipe());
    loop.add(pipes.back().reader.get(), POLLIN);
  }
  int got = 0;
  std::vector<fiber<>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(spawn([&] {
      while (got < 10) {
        for (const auto& each : loop.select(10ms)) {
          take(each.fd);
          ++got;
        }
      }
    }));
  }
  for (const pipe_ends& each : pipes) {
    put(each.writer);
    yield();
  }
  joinall(waiting);
  EXPECT_EQ(got, 10);
}

TEST_F(poller_test, a_handler_may_remove_itself_and_others_of_its_list) {
  const pipe_ends first = make_pipe();
  const pipe_ends second = make_pipe();
  poller<std::function<void()>> loop;
  int called = 0;
  const auto handler = [&] {
    ++called;
    loop.remove(first.reader.get());
    loop.remove(second.reader.get());
  };
  loop.add(first.reader.get(), POLLIN, handler);
  loop.add(second.reader.get(), POLLIN, handler);
  put(first.writer);
  put(second.writer);
  const auto ready = loop.select(10s);
  ASSERT_EQ(ready.size(), 2u);
  ready[0].data();
  EXPECT_EQ(called, 1);
  EXPECT_EQ(loop.size(), 0u);
  EXPECT_THROW(ready[1].data(), std::system_error);
}

TEST_F(poller_test, a_peer_that_hangs_up_is_reported_unasked) {
  pipe_ends pipe = make_pipe();
  poller<> loop;
  loop.add(pipe.reader.get(), 0);
  pipe.writer.reset();
  const auto ready = loop.select(10s);
  ASSERT_EQ(ready.size(), 1u);
  EXPECT_EQ(ready[0].events, POLLHUP);
}

TEST_F(poller_test, each_misuse_says_which_descriptor_and_changes_nothing) {
  const pipe_ends pipe = make_pipe();
  const descriptor file = make_file();
  const int fd = pipe.reader.get();
  poller<int> loop;
  EXPECT_EQ(error_of([&] { loop.add(-1, POLLIN, 1); }), EBADF);
  EXPECT_EQ(error_of([&] { loop.add(file.get(), POLLIN, 1); }), EPERM);
  EXPECT_EQ(error_of([&] { loop.add(fd, POLLNVAL, 1); }), EINVAL);
  EXPECT_EQ(error_of([&] { loop.modify(fd, POLLIN, 1); }), ENOENT);
  EXPECT_EQ(error_of([&] { loop.remove(fd); }), ENOENT);
  EXPECT_EQ(loop.size(), 0u);
  loop.add(fd, POLLIN, 1);
  EXPECT_EQ(error_of([&] { loop.add(fd, POLLOUT, 2); }), EEXIST);
  EXPECT_EQ(error_of([&] { loop.modify(fd, POLLNVAL, 2); }), EINVAL);
  ASSERT_NE(loop.find(fd), nullptr);
  EXPECT_EQ(loop.find(fd)->events, POLLIN);
  EXPECT_EQ(loop.find(fd)->data, 1);
  EXPECT_EQ(loop.registrations().size(), 1u);
  try {
    loop.add(fd, POLLIN, 2);
  } catch (const std::system_error& e) {
    EXPECT_EQ(std::string(e.what()).find("coir::poller: add descriptor " + std::to_string(fd)), 0u)
        << e.what();
  }
}

TEST_F(poller_test, a_descriptor_that_was_closed_can_be_registered_anew_and_removed) {
  pipe_ends old = make_pipe();
  poller<int> loop;
  const int fd = old.reader.get();
  loop.add(fd, POLLIN, 1);
  old.reader.reset();
  const descriptor other = make_event();
  const descriptor same(::dup2(other.get(), fd));
  loop.add(fd, POLLIN, 2);
  EXPECT_EQ(::eventfd_write(fd, 1), 0);
  const auto ready = loop.select(10s);
  ASSERT_EQ(ready.size(), 1u);
  EXPECT_EQ(ready[0].data, 2);
  EXPECT_EQ(loop.remove(fd), 2);
}

TEST_F(poller_test, a_thousand_are_all_reported) {
  poller<int> loop;
  std::vector<descriptor> events;
  for (int i = 0; i < 1500; ++i) {
    events.push_back(make_event());
    loop.add(events.back().get(), POLLIN, i);
    ASSERT_EQ(::eventfd_write(events.back().get(), 1), 0);
  }
  std::map<int, int> seen;
  for (int round = 0; seen.size() < events.size() && round < 10; ++round) {
    for (const auto& each : loop.select(10s)) ++seen[each.data];
  }
  EXPECT_EQ(seen.size(), events.size());
}

TEST_F(poller_test, it_waits_itself_in_another_poller) {
  const pipe_ends pipe = make_pipe();
  poller<> inner, outer;
  inner.add(pipe.reader.get(), POLLIN);
  outer.add(inner.native_handle(), POLLIN);
  fiber<> writer = spawn([&] { put(pipe.writer); });
  EXPECT_EQ(outer.select(10s).size(), 1u);
  EXPECT_EQ(inner.select(0s).size(), 1u);
  writer.join();
}

TEST_F(poller_test, poll_and_wait_fd_park_and_time_out) {
  const pipe_ends pipe = make_pipe();
  const int fd = pipe.reader.get();
  EXPECT_EQ(wait_fd(fd, POLLIN, 1ms), 0);
  EXPECT_EQ(wait_fd(pipe.writer.get(), POLLOUT), POLLOUT);
  pollfd both[] = {{fd, POLLIN, 0}, {-1, POLLIN, 0}};
  EXPECT_EQ(poll(both, 1ms), 0u);
  fiber<> writer = spawn([&] { put(pipe.writer); });
  EXPECT_EQ(wait_fd(fd, POLLIN), POLLIN);
  EXPECT_EQ(poll(both), 1u);
  EXPECT_EQ(both[0].revents, POLLIN);
  EXPECT_EQ(error_of([] { wait_fd(-1, POLLIN); }), EBADF);
  EXPECT_EQ(error_of([] { wait_fd(1'000'000, POLLIN); }), EBADF);
  EXPECT_EQ(wait_fd(make_file().get(), POLLIN), POLLIN);
  writer.join();
}

}  // namespace
}  // namespace coir::test
