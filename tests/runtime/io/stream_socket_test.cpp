// The registered stream socket on which net's streams stand.
#include <coir/detail/stream_socket.hpp>

#include "runtime/io/io.hpp"
#include "runtime/reactor/fd_table.hpp"
#include "tests/runtime/support.hpp"

#include <cstring>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace coir::test {
namespace {

using stream_socket_test = runtime_test;
using detail::deadline_after;
using detail::never;
using io::stream_socket;

struct stream_ends {
  stream_socket one;
  stream_socket other;
};

stream_ends make_streams() {
  socket_ends pair = make_tcp_pair();
  for (const int fd : {pair.one.get(), pair.other.get()})
    ::fcntl(fd, F_SETFL, flags_of(fd) | O_NONBLOCK);
  return {stream_socket(pair.one.release()), stream_socket(pair.other.release())};
}

TEST_F(stream_socket_test, messages_go_to_and_fro) {
  stream_ends ends = make_streams();
  constexpr int rounds = 1000;
  fiber<> echo = spawn([&] {
    char data[64];
    for (ssize_t size; (size = ends.other.recv(data, sizeof data, 0, never)) > 0;) {
      EXPECT_EQ(ends.other.send(data, static_cast<std::size_t>(size), 0, never), size);
    }
  });
  for (int i = 0; i < rounds; ++i) {
    int number = -1;
    ASSERT_EQ(ends.one.send(&i, sizeof i, 0, never), 4);
    ASSERT_EQ(ends.one.recv(&number, sizeof number, 0, deadline_after(10s)), 4);
    ASSERT_EQ(number, i);
  }
  EXPECT_EQ(ends.one.close(), 0);
  EXPECT_TRUE(echo.join_for(10s));
}

TEST_F(stream_socket_test, a_short_read_before_the_end_does_not_hide_the_end) {
  for (int round = 0; round < 200; ++round) {
    stream_ends ends = make_streams();
    char data[64];
    if (round % 2) {  // registered before the end comes
      EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(1us)), -ETIMEDOUT);
    }
    fiber<> closer = spawn([&] {
      EXPECT_EQ(ends.other.send("last words", 10, 0, never), 10);
      if (round % 3) yield();
      ends.other.close();
    });
    ASSERT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(10s)), 10);
    ASSERT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(10s)), 0);
    ASSERT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(10s)), 0);
    closer.join();
  }
}

TEST_F(stream_socket_test, a_deadline_ends_a_recv_and_data_that_comes_later_is_not_lost) {
  stream_ends ends = make_streams();
  char data[16];
  for (int i = 0; i < 10; ++i) {
    const stopwatch watch;
    EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(5ms)), -ETIMEDOUT);
    expect_took(watch, 5ms);
    EXPECT_EQ(ends.other.send("x", 1, 0, never), 1);
    EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(10s)), 1);
  }
}

TEST_F(stream_socket_test, a_large_stream_arrives_whole_in_both_directions) {
  stream_ends ends = make_streams();
  constexpr std::size_t size = 4 << 20;
  auto write_all = [](stream_socket& s, char seed) {
    std::vector<char> data(size);
    for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<char>(seed + i * 11 + i / 997);
    std::size_t done = 0;
    while (done < size) {
      const ssize_t part = s.send(data.data() + done, size - done, 0, never);
      ASSERT_GT(part, 0);
      done += static_cast<std::size_t>(part);
    }
  };
  auto read_all = [](stream_socket& s, char seed) {
    std::vector<char> part(32 * 1024);
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got = s.recv(part.data(), part.size(), 0, deadline_after(20s));
      ASSERT_GT(got, 0);
      for (ssize_t i = 0; i < got; ++i, ++done) {
        ASSERT_EQ(part[static_cast<std::size_t>(i)],
                  static_cast<char>(seed + done * 11 + done / 997));
      }
    }
  };
  std::vector<fiber<>> fibers{
      spawn(write_all, std::ref(ends.one), 'a'), spawn(write_all, std::ref(ends.other), 'b'),
      spawn(read_all, std::ref(ends.one), 'b'), spawn(read_all, std::ref(ends.other), 'a')};
  EXPECT_EQ(joinall(fibers, 50s), 4u);
}

TEST_F(stream_socket_test, close_wakes_reader_and_writer) {
  stream_ends ends = make_streams();
  fill(ends.one.fd());
  char data[16] = {};
  fiber<ssize_t> reader = spawn([&] { return ends.one.recv(data, sizeof data, 0, never); });
  fiber<ssize_t> writer = spawn([&] {
    char out[16] = {};
    return ends.one.send(out, sizeof out, MSG_NOSIGNAL, never);
  });
  sleep(2ms);
  ASSERT_FALSE(reader.ready());
  ASSERT_FALSE(writer.ready());
  EXPECT_EQ(ends.one.close(), 0);
  EXPECT_EQ(ends.one.fd(), -1);
  EXPECT_EQ(reader.get_for(10s), -EBADF);
  EXPECT_EQ(writer.get_for(10s), -EBADF);
}

TEST_F(stream_socket_test, close_by_number_wakes_the_reader_too) {
  stream_ends ends = make_streams();
  char data[16];
  fiber<ssize_t> reader = spawn([&] { return ends.one.recv(data, sizeof data, 0, never); });
  ASSERT_TRUE(eventually([&] { return detail::fd_table::waiters(ends.one.fd()) > 0; }));
  EXPECT_EQ(io::close(ends.one.fd()), 0);
  EXPECT_EQ(reader.get_for(10s), -EBADF);
  EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(1s)), -EBADF);
  EXPECT_EQ(ends.other.recv(data, sizeof data, 0, deadline_after(10s)), 0);
}

TEST_F(stream_socket_test, the_peer_sees_the_end_when_it_is_closed_or_destroyed) {
  for (const bool is_destroyed : {false, true}) {
    stream_ends ends = make_streams();
    char data[16];
    EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(1ms)), -ETIMEDOUT);
    if (is_destroyed) {
      ends.one = stream_socket();
    } else {
      EXPECT_EQ(ends.one.close(), 0);
    }
    EXPECT_EQ(ends.other.recv(data, sizeof data, 0, deadline_after(10s)), 0);
  }
}

TEST_F(stream_socket_test, a_moved_stream_goes_on) {
  stream_ends ends = make_streams();
  char data[16];
  EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(1ms)), -ETIMEDOUT);
  stream_socket moved = std::move(ends.one);
  EXPECT_EQ(ends.one.fd(), -1);  // NOLINT: what is left is specified
  EXPECT_EQ(ends.other.send("x", 1, 0, never), 1);
  EXPECT_EQ(moved.recv(data, sizeof data, 0, deadline_after(10s)), 1);
}

TEST_F(stream_socket_test, a_released_descriptor_stays_open_and_is_an_ordinary_one) {
  stream_ends ends = make_streams();
  char data[16];
  EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(1ms)), -ETIMEDOUT);
  const descriptor released(ends.one.release());
  ASSERT_GE(released.get(), 0);
  EXPECT_EQ(ends.one.fd(), -1);
  EXPECT_EQ(ends.one.release(), -1);
  EXPECT_EQ(ends.one.close(), -EBADF);
  EXPECT_EQ(ends.other.send("x", 1, 0, never), 1);
  EXPECT_EQ(io::recv(released.get(), data, sizeof data, 0, {deadline_after(10s)}), 1);
}

TEST_F(stream_socket_test, several_readers_are_served_one_after_another) {
  stream_ends ends = make_streams();
  int bytes = 0;
  std::vector<fiber<>> readers;
  for (int i = 0; i < 5; ++i) {
    readers.push_back(spawn([&] {
      char one;
      while (ends.one.recv(&one, 1, 0, never) == 1) ++bytes;
    }));
  }
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(ends.other.send("x", 1, 0, never), 1);
    if (i % 7 == 0) yield();
  }
  ends.other.close();
  EXPECT_EQ(joinall(readers, 20s), 5u);
  EXPECT_EQ(bytes, 500);
}

TEST_F(stream_socket_test, a_killed_reader_leaves_the_stream_usable) {
  stream_ends ends = make_streams();
  char data[16];
  fiber<> reader = spawn([&] { passed(ends.one.recv(data, sizeof data, 0, never)); });
  sleep(1ms);
  reader.kill();
  EXPECT_EQ(ends.other.send("x", 1, 0, never), 1);
  EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(10s)), 1);
}

TEST_F(stream_socket_test, an_empty_one_is_a_bad_descriptor) {
  stream_socket none;
  char data[16];
  EXPECT_EQ(none.fd(), -1);
  EXPECT_EQ(none.recv(data, sizeof data, 0, deadline_after(1s)), -EBADF);
  EXPECT_EQ(none.send(data, sizeof data, 0, deadline_after(1s)), -EBADF);
  EXPECT_EQ(none.close(), -EBADF);
}

TEST_F(stream_socket_test, numbers_are_reused_by_later_streams) {
  for (int round = 0; round < scaled(500); ++round) {
    stream_ends ends = make_streams();
    char data[16];
    fiber<ssize_t> reader =
        spawn([&] { return ends.one.recv(data, sizeof data, 0, deadline_after(20s)); });
    yield();
    if (round % 2) {
      ASSERT_EQ(ends.other.send("xyz", 3, 0, never), 3);
      ASSERT_EQ(reader.get(), 3);
    } else {
      ends.one.close();
      ASSERT_EQ(reader.get(), -EBADF);
    }
  }
}

TEST_F(stream_socket_test, tries_never_wait_and_waiting_is_asked_for) {
  stream_ends ends = make_streams();
  char data[64];
  EXPECT_EQ(ends.one.try_recv(data, sizeof data, 0), -EAGAIN);
  EXPECT_EQ(ends.one.wait_readable(deadline_after(1ms)), -ETIMEDOUT);
  EXPECT_EQ(ends.one.try_recv(data, sizeof data, 0), -EAGAIN);
  fiber<> sender = spawn([&] { EXPECT_EQ(ends.other.try_send("hello", 5, 0), 5); });
  EXPECT_EQ(ends.one.wait_readable(deadline_after(10s)), 0);
  EXPECT_EQ(ends.one.try_recv(data, sizeof data, 0), 5);
  sender.join();
  EXPECT_EQ(ends.other.close(), 0);
  EXPECT_EQ(ends.one.wait_readable(deadline_after(10s)), 0);
  EXPECT_EQ(ends.one.try_recv(data, sizeof data, 0), 0);
  EXPECT_EQ(ends.other.try_send(data, 1, 0), -EBADF);
  EXPECT_EQ(ends.other.wait_writable(never), -EBADF);
}

TEST_F(stream_socket_test, what_came_while_the_deadline_passed_counts_in_the_next_try) {
  stream_ends ends = make_streams();
  char data[64];
  EXPECT_EQ(ends.one.try_recv(data, sizeof data, 0), -EAGAIN);
  EXPECT_EQ(ends.other.try_send("hello", 5, 0), 5);
  const int waited = ends.one.wait_readable(1);  // long ago
  EXPECT_TRUE(waited == 0 || waited == -ETIMEDOUT) << waited;
  EXPECT_EQ(ends.one.try_recv(data, sizeof data, 0), 5);
}

TEST_F(stream_socket_test, full_socket_is_waited_for) {
  stream_ends ends = make_streams();
  std::vector<char> block(1 << 16);
  while (ends.one.try_send(block.data(), block.size(), 0) > 0) {
  }
  EXPECT_EQ(ends.one.wait_writable(deadline_after(1ms)), -ETIMEDOUT);
  fiber<> reader = spawn([&] {
    while (ends.other.recv(block.data(), block.size(), 0, never) > 0) {
    }
  });
  EXPECT_EQ(ends.one.wait_writable(deadline_after(10s)), 0);
  EXPECT_GT(ends.one.try_send(block.data(), block.size(), 0), 0);
  ends.one.close();
  EXPECT_TRUE(reader.join_for(10s));
}

TEST_F(stream_socket_test, child_of_a_fork_may_use_and_close_what_the_parent_waited_for) {
  stream_ends ends = make_streams();
  char data[64];
  EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(1us)), -ETIMEDOUT);
  EXPECT_EQ(ends.other.recv(data, sizeof data, 0, deadline_after(1us)), -ETIMEDOUT);
  const pid_t child = fork();
  if (child == 0) {
    ends.other.close();
    const bool is_read = ends.one.recv(data, sizeof data, 0, deadline_after(10s)) == 5;
    ends.one.close();
    _exit(is_read ? 0 : 1);
  }
  EXPECT_EQ(ends.other.send("hello", 5, 0, never), 5);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(ends.other.send("again", 5, 0, never), 5);
  EXPECT_EQ(ends.one.recv(data, sizeof data, 0, deadline_after(10s)), 5);
}

}  // namespace
}  // namespace coir::test
