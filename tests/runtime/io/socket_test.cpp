// Cooperative socket calls: they park the fiber, and otherwise behave as the system call on a
// blocking descriptor.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace coir::test {
namespace {

using socket_test = runtime_test;
using detail::deadline_after;

constexpr io::wait_mode endless{};

std::vector<char> pattern(std::size_t size) {
  std::vector<char> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 31 + i / 251);
  return data;
}

TEST_F(socket_test, recv_parks_until_data_comes) {
  const socket_ends pair = make_socket_pair();
  bool other_has_run = false;
  fiber<> sender = spawn([&] {
    other_has_run = true;
    sleep(10ms);
    EXPECT_EQ(io::send(pair.other.get(), "ping", 4, 0, endless), 4);
  });
  char data[16];
  const stopwatch watch;
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, endless), 4);
  EXPECT_TRUE(other_has_run);
  expect_took(watch, 10ms);
  EXPECT_EQ(std::memcmp(data, "ping", 4), 0);
  sender.join();
}

TEST_F(socket_test, recv_returns_zero_at_the_end_of_the_stream) {
  socket_ends pair = make_tcp_pair();
  fiber<> closer = spawn([&] {
    io::send(pair.other.get(), "last", 4, 0, endless);
    pair.other.reset();
  });
  char data[16];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, endless), 4);
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, endless), 0);
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, endless), 0);
  closer.join();
}

TEST_F(socket_test, recv_fails_when_its_deadline_passes) {
  const socket_ends pair = make_tcp_pair();
  char data[16];
  const stopwatch watch;
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, {deadline_after(20ms)}), -ETIMEDOUT);
  expect_took(watch, 20ms);
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, {deadline_after(-1s)}), -ETIMEDOUT);
}

TEST_F(socket_test, data_that_is_there_is_read_though_the_deadline_has_passed) {
  const socket_ends pair = make_socket_pair();
  ASSERT_EQ(::send(pair.other.get(), "x", 1, 0), 1);
  char data[16];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, {deadline_after(-1s)}), 1);
}

TEST_F(socket_test, a_wait_that_timed_out_takes_no_data_that_comes_later) {
  const socket_ends pair = make_socket_pair();
  char data[16] = "untouched";
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, {deadline_after(1ms)}), -ETIMEDOUT);
  ASSERT_EQ(::send(pair.other.get(), "late", 4, 0), 4);
  sleep(5ms);
  EXPECT_STREQ(data, "untouched");
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, endless), 4);
}

TEST_F(socket_test, a_call_that_must_not_park_fails_with_again) {
  const socket_ends pair = make_socket_pair();
  char data[16];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, MSG_DONTWAIT, endless), -EAGAIN);
  fill(pair.one.get());
  EXPECT_EQ(io::send(pair.one.get(), data, sizeof data, MSG_DONTWAIT, endless), -EAGAIN);
}

TEST_F(socket_test, peeked_data_stays) {
  const socket_ends pair = make_socket_pair();
  fiber<> sender = spawn([&] { io::send(pair.other.get(), "peek", 4, 0, endless); });
  char data[16];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, MSG_PEEK, endless), 4);
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, endless), 4);
  sender.join();
}

TEST_F(socket_test, recv_with_waitall_waits_for_all_of_it) {
  const socket_ends pair = make_tcp_pair();
  fiber<> sender = spawn([&] {
    for (int i = 0; i < 10; ++i) {
      sleep(1ms);
      io::send(pair.other.get(), "0123456789", 10, 0, endless);
    }
  });
  char data[100];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, MSG_WAITALL, endless), 100);
  EXPECT_EQ(std::memcmp(data + 90, "0123456789", 10), 0);
  sender.join();
}

TEST_F(socket_test, recvmsg_with_waitall_waits_for_all_of_it_too) {
  const socket_ends pair = make_tcp_pair();
  fiber<> sender = spawn([&] {
    for (int i = 0; i < 10; ++i) {
      sleep(1ms);
      io::send(pair.other.get(), "0123456789", 10, 0, endless);
    }
  });
  char first[30];
  char second[70];
  iovec parts[] = {{first, sizeof first}, {second, sizeof second}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  EXPECT_EQ(io::recvmsg(pair.one.get(), &message, MSG_WAITALL, endless), 100);
  sender.join();
}

TEST_F(socket_test, waitall_does_not_join_datagrams) {
  const socket_ends pair = make_socket_pair(SOCK_DGRAM);
  ASSERT_EQ(::send(pair.other.get(), "one", 3, 0), 3);
  ASSERT_EQ(::send(pair.other.get(), "two", 3, 0), 3);
  char data[64];
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, MSG_WAITALL, {deadline_after(5s)}), 3);
  EXPECT_EQ(io::recv(pair.one.get(), data, sizeof data, 0, {deadline_after(5s)}), 3);
}

TEST_F(socket_test, a_send_of_nothing_returns_zero_at_once) {
  const socket_ends pair = make_socket_pair();
  fill(pair.one.get());
  const stopwatch watch;
  EXPECT_EQ(io::send(pair.one.get(), "", 0, 0, {deadline_after(10s)}), 0);
  expect_prompt(watch);
}

TEST_F(socket_test, a_large_send_to_a_slow_reader_delivers_every_byte_in_order) {
  const socket_ends pair = make_tcp_pair();
  const std::vector<char> data = pattern(8 << 20);
  int turns_of_others = 0;
  bool is_over = false;
  fiber<> bystander = spawn([&] {
    while (!is_over) {
      ++turns_of_others;
      sleep(1ms);
    }
  });
  fiber<> sender = spawn([&] {
    // As a blocking send does, it returns only when the kernel has taken everything.
    EXPECT_EQ(io::send(pair.one.get(), data.data(), data.size(), 0, endless),
              static_cast<ssize_t>(data.size()));
    ::shutdown(pair.one.get(), SHUT_WR);
  });
  std::vector<char> got;
  std::vector<char> part(64 * 1024);
  for (ssize_t size;
       (size = io::recv(pair.other.get(), part.data(), part.size(), 0, endless)) > 0;) {
    got.insert(got.end(), part.begin(), part.begin() + size);
    if (got.size() % 16 == 0) yield();
  }
  is_over = true;
  EXPECT_EQ(got, data);
  EXPECT_GT(turns_of_others, 0);
  sender.join();
  bystander.join();
}

TEST_F(socket_test, a_send_whose_deadline_passes_says_how_much_went_out) {
  const socket_ends pair = make_socket_pair();
  const std::vector<char> data = pattern(8 << 20);
  const stopwatch watch;
  const ssize_t sent =
      io::send(pair.one.get(), data.data(), data.size(), 0, {deadline_after(50ms)});
  expect_took(watch, 50ms);
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, static_cast<ssize_t>(data.size()));
  EXPECT_EQ(io::send(pair.one.get(), "x", 1, 0, {deadline_after(5ms)}), -ETIMEDOUT);
}

TEST_F(socket_test, one_fiber_reads_while_another_writes_on_the_same_socket) {
  const socket_ends pair = make_tcp_pair();
  const std::vector<char> data = pattern(1 << 20);
  auto write_all = [&](int fd) {
    EXPECT_EQ(io::send(fd, data.data(), data.size(), 0, endless),
              static_cast<ssize_t>(data.size()));
  };
  auto read_all = [&](int fd) {
    std::vector<char> got(data.size());
    EXPECT_EQ(io::recv(fd, got.data(), got.size(), MSG_WAITALL, endless),
              static_cast<ssize_t>(got.size()));
    EXPECT_EQ(got, data);
  };
  std::vector<fiber<>> fibers{spawn(write_all, pair.one.get()), spawn(write_all, pair.other.get()),
                              spawn(read_all, pair.one.get()), spawn(read_all, pair.other.get())};
  EXPECT_EQ(joinall(fibers, 30s), 4u);
}

TEST_F(socket_test, several_readers_of_one_socket_get_every_message_once) {
  const socket_ends pair = make_socket_pair(SOCK_SEQPACKET);
  constexpr int messages = 1000;
  long sum = 0;
  int received = 0;
  std::vector<fiber<>> readers;
  for (int i = 0; i < 5; ++i) {
    readers.push_back(spawn([&] {
      int number;
      while (io::recv(pair.one.get(), &number, sizeof number, 0, endless) == sizeof number) {
        sum += number;
        ++received;
      }
    }));
  }
  for (int i = 0; i < messages; ++i)
    ASSERT_EQ(io::send(pair.other.get(), &i, sizeof i, 0, endless), 4);
  ::shutdown(pair.other.get(), SHUT_WR);
  EXPECT_EQ(joinall(readers, 20s), 5u);
  EXPECT_EQ(received, messages);
  EXPECT_EQ(sum, messages * (messages - 1) / 2);
}

TEST_F(socket_test, a_send_after_the_peer_has_gone_is_a_broken_pipe) {
  socket_ends pair = make_socket_pair();
  pair.other.reset();
  EXPECT_EQ(io::send(pair.one.get(), "x", 1, MSG_NOSIGNAL, endless), -EPIPE);
}

TEST_F(socket_test, a_parked_send_ends_when_the_peer_goes) {
  socket_ends pair = make_socket_pair();
  fill(pair.one.get());
  fiber<ssize_t> sender =
      spawn([&] { return io::send(pair.one.get(), "x", 1, MSG_NOSIGNAL, endless); });
  sleep(5ms);
  EXPECT_FALSE(sender.ready());
  pair.other.reset();
  EXPECT_EQ(sender.get_for(10s), -EPIPE);
}

TEST_F(socket_test, shutdown_of_the_own_read_side_ends_a_parked_recv) {
  const socket_ends pair = make_tcp_pair();
  fiber<ssize_t> reader = spawn([&] {
    char data[16];
    return io::recv(pair.one.get(), data, sizeof data, 0, endless);
  });
  sleep(5ms);
  ::shutdown(pair.one.get(), SHUT_RD);
  EXPECT_EQ(reader.get_for(10s), 0);
}

TEST_F(socket_test, accept_parks_until_somebody_connects) {
  const listener door = make_listener();
  fiber<int> acceptor = spawn([&] {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    const int fd = io::accept(door.socket.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC, endless);
    EXPECT_EQ(size, sizeof peer);
    EXPECT_EQ(peer.sin_addr.s_addr, door.address.sin_addr.s_addr);
    return fd;
  });
  sleep(5ms);
  EXPECT_FALSE(acceptor.ready());
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(io::connect(client.get(), door.peer(), sizeof door.address, endless), 0);
  const descriptor accepted(acceptor.get_for(10s));
  ASSERT_GE(accepted.get(), 0);
  EXPECT_TRUE(flags_of(accepted.get()) & O_NONBLOCK);
  EXPECT_TRUE(::fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC);
}

TEST_F(socket_test, accept_fails_when_its_deadline_passes_and_the_next_one_works) {
  const listener door = make_listener();
  const stopwatch watch;
  EXPECT_EQ(io::accept(door.socket.get(), nullptr, nullptr, 0, {deadline_after(20ms)}), -ETIMEDOUT);
  expect_took(watch, 20ms);
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(io::connect(client.get(), door.peer(), sizeof door.address, endless), 0);
  const descriptor accepted(
      io::accept(door.socket.get(), nullptr, nullptr, 0, {deadline_after(10s)}));
  EXPECT_GE(accepted.get(), 0);
  EXPECT_FALSE(flags_of(accepted.get()) & O_NONBLOCK);
}

TEST_F(socket_test, several_fibers_accept_on_one_listener) {
  const listener door = make_listener();
  std::vector<fiber<>> acceptors;
  int accepted = 0;
  for (int i = 0; i < 10; ++i) {
    acceptors.push_back(spawn([&] {
      const descriptor got(io::accept(door.socket.get(), nullptr, nullptr, 0, endless));
      accepted += got.get() >= 0;
    }));
  }
  yield();
  std::vector<descriptor> clients;
  for (int i = 0; i < 10; ++i) {
    clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(io::connect(clients.back().get(), door.peer(), sizeof door.address, endless), 0);
  }
  EXPECT_EQ(joinall(acceptors, 10s), 10u);
  EXPECT_EQ(accepted, 10);
}

TEST_F(socket_test, connect_to_a_closed_port_is_refused) {
  listener door = make_listener();
  door.socket.reset();
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(io::connect(client.get(), door.peer(), sizeof door.address, endless), -ECONNREFUSED);
}

TEST_F(socket_test, connect_fails_when_its_deadline_passes) {
  std::vector<descriptor> filler;
  const listener door = make_full_listener(filler);
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const stopwatch watch;
  EXPECT_EQ(io::connect(client.get(), door.peer(), sizeof door.address, {deadline_after(50ms)}),
            -ETIMEDOUT);
  expect_took(watch, 50ms);
}

TEST_F(socket_test, a_datagram_comes_with_its_sender) {
  const descriptor receiver(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const descriptor sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(receiver.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(receiver.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  fiber<> f = spawn([&] {
    EXPECT_EQ(io::sendto(sender.get(), "datagram", 8, 0, reinterpret_cast<sockaddr*>(&address),
                         size, endless),
              8);
  });
  char data[64];
  sockaddr_in from{};
  socklen_t from_size = sizeof from;
  EXPECT_EQ(io::recvfrom(receiver.get(), data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from),
                         &from_size, endless),
            8);
  EXPECT_EQ(from.sin_family, AF_INET);
  EXPECT_NE(from.sin_port, 0);
  f.join();
}

TEST_F(socket_test, messages_carry_parts_and_descriptors) {
  const socket_ends pair = make_socket_pair();
  const pipe_ends passed_pipe = make_pipe();
  fiber<> sender = spawn([&] {
    char one[] = "scatter";
    char two[] = "gather";
    iovec parts[] = {{one, 7}, {two, 6}};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = passed_pipe.writer.get();
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    EXPECT_EQ(io::sendmsg(pair.other.get(), &message, 0, endless), 13);
  });
  char data[64] = {};
  iovec part{data, sizeof data};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ASSERT_EQ(io::recvmsg(pair.one.get(), &message, 0, endless), 13);
  EXPECT_STREQ(data, "scattergather");
  int fd = -1;
  ASSERT_NE(CMSG_FIRSTHDR(&message), nullptr);
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  const descriptor received(fd);
  EXPECT_EQ(io::write(received.get(), "!", 1, endless), 1);
  EXPECT_EQ(io::read(passed_pipe.reader.get(), data, 1, endless), 1);
  sender.join();
}

TEST_F(socket_test, a_bad_descriptor_is_an_error_and_no_wait) {
  char data[1];
  EXPECT_EQ(io::recv(-1, data, 1, 0, endless), -EBADF);
  EXPECT_EQ(io::send(1 << 20, data, 1, 0, endless), -EBADF);
  EXPECT_EQ(io::accept(-1, nullptr, nullptr, 0, endless), -EBADF);
  EXPECT_EQ(io::read(-1, data, 1, endless), -EBADF);
  const pipe_ends pipe = make_pipe();
  EXPECT_EQ(io::recv(pipe.reader.get(), data, 1, 0, endless), -ENOTSOCK);
  EXPECT_EQ(io::accept(pipe.reader.get(), nullptr, nullptr, 0, {deadline_after(1s)}), -ENOTSOCK);
}

TEST_F(socket_test, accept_on_what_does_not_listen_is_invalid) {
  const socket_ends pair = make_tcp_pair();
  const socket_ends datagrams = make_socket_pair(SOCK_DGRAM);
  EXPECT_EQ(io::accept(pair.one.get(), nullptr, nullptr, 0, {deadline_after(1s)}), -EINVAL);
  EXPECT_EQ(io::accept(datagrams.one.get(), nullptr, nullptr, 0, {deadline_after(1s)}),
            -EOPNOTSUPP);
}

TEST_F(socket_test, the_calls_do_not_touch_errno) {
  const socket_ends pair = make_socket_pair();
  char data[16];
  errno = 4711;
  io::recv(pair.one.get(), data, sizeof data, 0, {deadline_after(1ms)});
  io::recv(-1, data, sizeof data, 0, endless);
  io::accept(pair.one.get(), nullptr, nullptr, 0, {deadline_after(1ms)});
  io::sleep_until(deadline_after(1ms));
  io::poll(nullptr, 0, deadline_after(1ms));
  EXPECT_EQ(errno, 4711);
}

TEST_F(socket_test, the_mode_of_a_descriptor_stays_as_the_program_set_it) {
  const socket_ends pair = make_tcp_pair();
  const listener door = make_listener();
  const int flags = flags_of(pair.one.get());
  EXPECT_FALSE(flags & O_NONBLOCK);
  char data[16];
  bool was_changed = false;
  fiber<> observer = spawn([&] {
    was_changed = flags_of(pair.one.get()) != flags || flags_of(door.socket.get()) & O_NONBLOCK;
  });
  io::recv(pair.one.get(), data, sizeof data, 0, {deadline_after(5ms)});
  io::accept(door.socket.get(), nullptr, nullptr, 0, {deadline_after(5ms)});
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  io::connect(client.get(), door.peer(), sizeof door.address, endless);
  EXPECT_EQ(flags_of(pair.one.get()), flags);
  EXPECT_FALSE(flags_of(client.get()) & O_NONBLOCK);
  EXPECT_FALSE(flags_of(door.socket.get()) & O_NONBLOCK);
  EXPECT_FALSE(was_changed);
  observer.join();
}

}  // namespace
}  // namespace coir::test
