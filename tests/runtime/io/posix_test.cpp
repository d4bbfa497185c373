// The manners of a hooked libc call: what the program asked of its descriptor is kept.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <sys/time.h>

namespace coir::test {
namespace {

using posix_test = runtime_test;
using io::posix_manners;

void set_nonblocking(int fd) { ASSERT_EQ(::fcntl(fd, F_SETFL, flags_of(fd) | O_NONBLOCK), 0); }

void set_timeout(int fd, int option, milliseconds length) {
  const timeval value{length.count() / 1000, length.count() % 1000 * 1000};
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, option, &value, sizeof value), 0);
}

TEST_F(posix_test, a_nonblocking_socket_does_not_wait) {
  const socket_ends pair = make_tcp_pair();
  set_nonblocking(pair.one.get());
  char data[16];
  const stopwatch watch;
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, posix_manners), -EAGAIN);
  EXPECT_EQ(io::read(pair.one.get(), data, sizeof data, posix_manners), -EAGAIN);
  fill(pair.one.get());
  EXPECT_EQ(io::send(pair.one.get(), data, sizeof data, 0, posix_manners), -EAGAIN);
  EXPECT_EQ(io::write(pair.one.get(), data, sizeof data, posix_manners), -EAGAIN);
  expect_prompt(watch);
}

TEST_F(posix_test, a_nonblocking_pipe_does_not_wait) {
  const pipe_ends pipe = make_pipe(O_CLOEXEC | O_NONBLOCK);
  char data[16];
  EXPECT_EQ(io::read(pipe.reader.get(), data, sizeof data, posix_manners), -EAGAIN);
  fill(pipe.writer.get());
  EXPECT_EQ(io::write(pipe.writer.get(), data, sizeof data, posix_manners), -EAGAIN);
}

TEST_F(posix_test, a_nonblocking_listener_does_not_wait) {
  const listener door = make_listener();
  set_nonblocking(door.socket.get());
  EXPECT_EQ(io::accept(door.socket.get(), nullptr, nullptr, 0, posix_manners), -EAGAIN);
}

TEST_F(posix_test, a_nonblocking_connect_is_in_progress) {
  std::vector<descriptor> filler;
  const listener door = make_full_listener(filler);
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const stopwatch watch;
  EXPECT_EQ(io::connect(client.get(), door.peer(), sizeof door.address, posix_manners),
            -EINPROGRESS);
  expect_prompt(watch);
}

TEST_F(posix_test, without_these_manners_a_nonblocking_descriptor_parks_the_fiber) {
  const socket_ends pair = make_socket_pair(SOCK_STREAM | SOCK_NONBLOCK);
  fiber<> sender = spawn([&] {
    sleep(5ms);
    EXPECT_EQ(::send(pair.other.get(), "x", 1, 0), 1);
  });
  char data[16];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, {}), 1);
  EXPECT_TRUE(flags_of(pair.one.get()) & O_NONBLOCK);
  sender.join();
}

TEST_F(posix_test, a_blocking_descriptor_parks_the_fiber) {
  const socket_ends pair = make_socket_pair();
  fiber<> sender = spawn([&] {
    sleep(5ms);
    EXPECT_EQ(io::send(pair.other.get(), "x", 1, 0, posix_manners), 1);
  });
  char data[16];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, posix_manners), 1);
  EXPECT_FALSE(flags_of(pair.one.get()) & O_NONBLOCK);
  sender.join();
}

TEST_F(posix_test, the_receive_timeout_of_the_socket_ends_a_recv_with_again) {
  const socket_ends pair = make_tcp_pair();
  set_timeout(pair.one.get(), SO_RCVTIMEO, 40ms);
  char data[16];
  stopwatch watch;
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, posix_manners), -EAGAIN);
  expect_took(watch, 40ms);
  watch = {};
  EXPECT_EQ(io::read(pair.one.get(), data, sizeof data, posix_manners), -EAGAIN);
  expect_took(watch, 40ms);
}

TEST_F(posix_test, the_send_timeout_of_the_socket_ends_a_send_with_again) {
  const socket_ends pair = make_tcp_pair();
  set_timeout(pair.one.get(), SO_SNDTIMEO, 40ms);
  fill(pair.one.get());
  const stopwatch watch;
  EXPECT_EQ(io::send(pair.one.get(), "x", 1, 0, posix_manners), -EAGAIN);
  expect_took(watch, 40ms);
}

TEST_F(posix_test, the_send_timeout_counts_over_the_whole_call) {
  const socket_ends pair = make_socket_pair();
  set_timeout(pair.one.get(), SO_SNDTIMEO, 100ms);
  bool is_over = false;
  fiber<> slow_reader = spawn([&] {
    std::vector<char> part(64 * 1024);
    while (!is_over) {
      sleep(20ms);
      EXPECT_GE(::recv(pair.other.get(), part.data(), part.size(), MSG_DONTWAIT), 0);
    }
  });
  const std::vector<char> data(16 << 20);
  const stopwatch watch;
  const ssize_t sent = io::send(pair.one.get(), data.data(), data.size(), 0, posix_manners);
  expect_took(watch, 100ms);
  is_over = true;
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, static_cast<ssize_t>(data.size()));
  slow_reader.join();
}

TEST_F(posix_test, the_receive_timeout_of_the_listener_ends_an_accept_with_again) {
  const listener door = make_listener();
  set_timeout(door.socket.get(), SO_RCVTIMEO, 40ms);
  const stopwatch watch;
  EXPECT_EQ(io::accept(door.socket.get(), nullptr, nullptr, 0, posix_manners), -EAGAIN);
  expect_took(watch, 40ms);
}

TEST_F(posix_test, the_send_timeout_of_the_socket_ends_a_connect) {
  std::vector<descriptor> filler;
  const listener door = make_full_listener(filler);
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_timeout(client.get(), SO_SNDTIMEO, 40ms);
  const stopwatch watch;
  EXPECT_EQ(io::connect(client.get(), door.peer(), sizeof door.address, posix_manners),
            -EINPROGRESS);
  expect_took(watch, 40ms);
}

TEST_F(posix_test, a_timeout_of_the_socket_does_not_matter_when_data_comes) {
  const socket_ends pair = make_tcp_pair();
  set_timeout(pair.one.get(), SO_RCVTIMEO, 10'000ms);
  fiber<> sender = spawn([&] {
    sleep(5ms);
    io::send(pair.other.get(), "x", 1, 0, posix_manners);
  });
  char data[16];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, posix_manners), 1);
  sender.join();
}

TEST_F(posix_test, two_processes_share_the_mode_of_an_inherited_descriptor_so_it_never_changes) {
  const pipe_ends pipe = make_pipe();
  const descriptor copy(
      ::dup(pipe.reader.get()));  // the same open file, as another process would hold it
  char data[1];
  bool was_nonblocking = true;
  fiber<> observer = spawn([&] { was_nonblocking = flags_of(copy.get()) & O_NONBLOCK; });
  EXPECT_EQ(io::read(pipe.reader.get(), data, 1, {detail::deadline_after(5ms)}), -ETIMEDOUT);
  observer.join();
  EXPECT_FALSE(was_nonblocking);
}

}  // namespace
}  // namespace coir::test
