// Closing a descriptor for which others wait, and what becomes of its number.
#include "runtime/io/io.hpp"
#include "runtime/reactor/fd_table.hpp"
#include "tests/runtime/support.hpp"

#include <atomic>
#include <cstring>
#include <functional>
#include <ostream>
#include <thread>

namespace coir::test {
namespace {

using close_test = runtime_test;
using detail::deadline_after;

constexpr io::wait_mode endless{};

/// Lets others run until `count` operations wait for `fd`, on whatever worker.
bool has_waiters(int fd, std::uint32_t count = 1) {
  return eventually([=] { return detail::fd_table::waiters(fd) == count; });
}

/// A descriptor that never becomes ready for the wait beside it, and whatever keeps it so.
struct stage {
  descriptor waited;
  std::vector<descriptor> others;
};

stage idle_socket() {
  socket_ends pair = make_tcp_pair();
  stage made;
  made.waited = std::move(pair.one);
  made.others.push_back(std::move(pair.other));
  return made;
}

stage full_socket() {
  stage made = idle_socket();
  fill(made.waited.get());
  return made;
}

stage idle_pipe() {
  pipe_ends pipe = make_pipe();
  stage made;
  made.waited = std::move(pipe.reader);
  made.others.push_back(std::move(pipe.writer));
  return made;
}

stage full_pipe() {
  pipe_ends pipe = make_pipe();
  fill(pipe.writer.get());
  stage made;
  made.waited = std::move(pipe.writer);
  made.others.push_back(std::move(pipe.reader));
  return made;
}

stage idle_event() {
  stage made;
  made.waited = make_event();
  return made;
}

stage idle_listener() {
  stage made;
  made.waited = std::move(make_listener().socket);
  return made;
}

stage idle_datagram() {
  socket_ends pair = make_socket_pair(SOCK_DGRAM);
  stage made;
  made.waited = std::move(pair.one);
  made.others.push_back(std::move(pair.other));
  return made;
}

struct waiting_call {
  const char* name;
  stage (*make)();
  std::function<long(int)> wait;
};

void PrintTo(const waiting_call& call, std::ostream* out) { *out << call.name; }

long poll_once(int fd) {
  pollfd one{fd, POLLIN, 0};
  const int ready = io::poll(&one, 1, detail::never);
  return ready == 1 && one.revents & POLLNVAL ? -EBADF : ready;  // either way of saying it is good
}

long select_once(int fd) {
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(fd, &readable);
  return io::select(fd + 1, &readable, nullptr, nullptr, detail::never);
}

long receive_message(int fd) {
  char data[16];
  iovec part{data, sizeof data};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return io::recvmsg(fd, &message, 0, endless);
}

char buffer[64];

const waiting_call waiting_calls[] = {
    {"recv", idle_socket, [](int fd) { return io::recv(fd, buffer, 64, 0, endless); }},
    {"recv_posix", idle_socket,
     [](int fd) { return io::recv(fd, buffer, 64, 0, io::posix_manners); }},
    {"recvfrom", idle_datagram,
     [](int fd) { return io::recvfrom(fd, buffer, 64, 0, nullptr, nullptr, endless); }},
    {"recvmsg", idle_socket, receive_message},
    {"send", full_socket, [](int fd) { return io::send(fd, buffer, 64, MSG_NOSIGNAL, endless); }},
    {"accept", idle_listener, [](int fd) { return io::accept(fd, nullptr, nullptr, 0, endless); }},
    {"read_socket", idle_socket, [](int fd) { return io::read(fd, buffer, 64, endless); }},
    {"read_pipe", idle_pipe, [](int fd) { return io::read(fd, buffer, 64, endless); }},
    {"read_event", idle_event, [](int fd) { return io::read(fd, buffer, 8, endless); }},
    {"write_pipe", full_pipe, [](int fd) { return io::write(fd, buffer, 64, endless); }},
    {"wait_ready", idle_pipe, [](int fd) { return io::wait_ready(fd, POLLIN, detail::never); }},
    {"poll", idle_pipe, poll_once},
    {"select", idle_pipe, select_once},
};

class close_of_a_descriptor_in : public runtime_test,
                                 public testing::WithParamInterface<waiting_call> {};

TEST_P(close_of_a_descriptor_in, wakes_the_waiter_with_ebadf) {
  stage s = GetParam().make();
  fiber<long> waiter = spawn([&] { return GetParam().wait(s.waited.get()); });
  ASSERT_TRUE(has_waiters(s.waited.get()));
  const stopwatch watch;
  EXPECT_EQ(io::close(s.waited.release()), 0);
  EXPECT_EQ(waiter.get_for(10s), -EBADF);
  expect_prompt(watch);
}

TEST_P(close_of_a_descriptor_in, wakes_the_waiter_of_another_worker) {
  stage s = GetParam().make();
  std::atomic<long> result{0};
  std::thread other([&, fd = s.waited.get()] {
    fiber<long> waiter = spawn([&] { return GetParam().wait(fd); });
    result = waiter.get_for(10s);
  });
  EXPECT_TRUE(has_waiters(s.waited.get()));
  EXPECT_EQ(io::close(s.waited.release()), 0);
  other.join();
  EXPECT_EQ(result, -EBADF);
}

TEST_P(close_of_a_descriptor_in, wakes_every_waiter) {
  stage s = GetParam().make();
  std::vector<fiber<long>> waiters;
  for (int i = 0; i < 5; ++i)
    waiters.push_back(spawn([&] { return GetParam().wait(s.waited.get()); }));
  ASSERT_TRUE(has_waiters(s.waited.get(), 5));
  EXPECT_EQ(io::close(s.waited.release()), 0);
  for (auto& waiter : waiters) EXPECT_EQ(waiter.get_for(10s), -EBADF);
}

INSTANTIATE_TEST_SUITE_P(every_call, close_of_a_descriptor_in, testing::ValuesIn(waiting_calls),
                         [](const auto& call) { return call.param.name; });

TEST_F(close_test, a_plain_thread_can_close_for_a_worker) {
  stage s = idle_socket();
  fiber<long> waiter = spawn([&] { return io::recv(s.waited.get(), buffer, 64, 0, endless); });
  ASSERT_TRUE(has_waiters(s.waited.get()));
  std::thread([fd = s.waited.release()] { EXPECT_EQ(io::close(fd), 0); }).join();
  EXPECT_EQ(waiter.get_for(10s), -EBADF);
}

TEST_F(close_test, a_connect_in_progress_ends) {
  std::vector<descriptor> filler;
  const listener door = make_full_listener(filler);
  descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  fiber<int> connector =
      spawn([&] { return io::connect(client.get(), door.peer(), sizeof door.address, endless); });
  ASSERT_TRUE(has_waiters(client.get()));
  EXPECT_EQ(io::close(client.release()), 0);
  EXPECT_EQ(connector.get_for(10s), -EBADF);
}

TEST_F(close_test, reader_and_writer_of_one_socket_both_wake) {
  stage s = full_socket();
  fiber<long> reader = spawn([&] { return io::recv(s.waited.get(), buffer, 64, 0, endless); });
  fiber<long> writer =
      spawn([&] { return io::send(s.waited.get(), buffer, 64, MSG_NOSIGNAL, endless); });
  ASSERT_TRUE(has_waiters(s.waited.get(), 2));
  EXPECT_EQ(io::close(s.waited.release()), 0);
  EXPECT_EQ(reader.get_for(10s), -EBADF);
  EXPECT_EQ(writer.get_for(10s), -EBADF);
}

TEST_F(close_test, the_peer_sees_the_end_though_a_reader_was_parked) {
  socket_ends pair = make_tcp_pair();
  fiber<long> reader = spawn([&] { return io::recv(pair.one.get(), buffer, 64, 0, endless); });
  ASSERT_TRUE(has_waiters(pair.one.get()));
  EXPECT_EQ(io::close(pair.one.release()), 0);
  char data[16];
  const stopwatch watch;
  EXPECT_EQ(io::recv(pair.other.get(), data, sizeof data, 0, {deadline_after(10s)}), 0);
  expect_prompt(watch);
  reader.join();
}

TEST_F(close_test, a_closed_listener_refuses_though_an_acceptor_was_parked) {
  listener door = make_listener();
  fiber<int> acceptor =
      spawn([&] { return io::accept(door.socket.get(), nullptr, nullptr, 0, endless); });
  ASSERT_TRUE(has_waiters(door.socket.get()));
  EXPECT_EQ(io::close(door.socket.release()), 0);
  EXPECT_EQ(acceptor.get_for(10s), -EBADF);
  const descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(io::connect(client.get(), door.peer(), sizeof door.address, {deadline_after(10s)}),
            -ECONNREFUSED);
}

TEST_F(close_test, closing_what_is_not_open_is_an_error) {
  EXPECT_EQ(io::close(-1), -EBADF);
  pipe_ends pipe = make_pipe();
  const int fd = pipe.reader.release();
  EXPECT_EQ(io::close(fd), 0);
  EXPECT_EQ(io::close(fd), -EBADF);
}

TEST_F(close_test, forget_wakes_the_waiters_and_leaves_the_descriptor_open) {
  pipe_ends pipe = make_pipe();
  fiber<long> waiter = spawn([&] { return io::read(pipe.reader.get(), buffer, 1, endless); });
  ASSERT_TRUE(has_waiters(pipe.reader.get()));
  io::forget(pipe.reader.get());
  EXPECT_EQ(waiter.get_for(10s), -EBADF);
  ASSERT_EQ(::write(pipe.writer.get(), "x", 1), 1);
  EXPECT_EQ(io::read(pipe.reader.get(), buffer, 1, {deadline_after(10s)}), 1);
}

TEST_F(close_test, forget_range_wakes_those_within_and_no_other) {
  std::vector<pipe_ends> pipes;
  for (int i = 0; i < 4; ++i) pipes.push_back(make_pipe());
  std::vector<fiber<long>> waiters;
  for (const pipe_ends& pipe : pipes) {
    waiters.push_back(spawn([&pipe] {
      char data[1];
      return static_cast<long>(io::read(pipe.reader.get(), data, 1, endless));
    }));
  }
  for (const pipe_ends& pipe : pipes) ASSERT_TRUE(has_waiters(pipe.reader.get()));
  io::forget_range(static_cast<unsigned>(pipes[1].reader.get()),
                   static_cast<unsigned>(pipes[2].reader.get()));
  EXPECT_EQ(waiters[1].get_for(10s), -EBADF);
  EXPECT_EQ(waiters[2].get_for(10s), -EBADF);
  EXPECT_FALSE(waiters[0].ready());
  EXPECT_FALSE(waiters[3].ready());
  io::forget_range(0, ~0u);
  EXPECT_EQ(waiters[0].get_for(10s), -EBADF);
  EXPECT_EQ(waiters[3].get_for(10s), -EBADF);
}

/// Makes `number` the reading end of a new pipe that holds `text`; returns its writing end.
descriptor reuse_number(int number, const char* text) {
  pipe_ends fresh = make_pipe();
  if (fresh.reader.get() != number) {
    EXPECT_EQ(::dup3(fresh.reader.get(), number, O_CLOEXEC), number);
    fresh.reader.reset();
  } else {
    fresh.reader.release();
  }
  EXPECT_EQ(::write(fresh.writer.get(), text, std::strlen(text)),
            static_cast<ssize_t>(std::strlen(text)));
  return std::move(fresh.writer);
}

TEST_F(close_test, a_waiter_of_the_old_descriptor_never_reads_from_the_new_one) {
  for (int round = 0; round < scaled(1000); ++round) {
    pipe_ends old = make_pipe();
    const int number = old.reader.get();
    char data[16] = {};
    fiber<long> waiter = spawn([&] { return io::read(number, data, sizeof data, endless); });
    yield();
    if (round % 2) {  // its wake is on the way already
      ASSERT_EQ(::write(old.writer.get(), "old", 3), 3);
    }
    ASSERT_EQ(io::close(old.reader.release()), 0);
    const descriptor writer = reuse_number(number, "new");
    const descriptor reader(number);
    ASSERT_EQ(waiter.get_for(10s), -EBADF) << "round " << round;
    char fresh[16] = {};
    ASSERT_EQ(io::read(number, fresh, sizeof fresh, {deadline_after(10s)}), 3);
    ASSERT_STREQ(fresh, "new");
  }
}

TEST_F(close_test, nor_does_a_waiter_of_another_worker) {
  for (int round = 0; round < scaled(300); ++round) {
    pipe_ends old = make_pipe();
    const int number = old.reader.get();
    std::atomic<long> result{0};
    std::thread other([&] {
      backend();
      char data[16];
      result = io::read(number, data, sizeof data, {deadline_after(20s)});
    });
    ASSERT_TRUE(has_waiters(number));
    ASSERT_EQ(io::close(old.reader.release()), 0);
    const descriptor writer = reuse_number(number, "new");
    const descriptor reader(number);
    other.join();
    ASSERT_EQ(result, -EBADF) << "round " << round;
    char fresh[16] = {};
    ASSERT_EQ(io::read(number, fresh, sizeof fresh, {deadline_after(10s)}), 3);
  }
}

TEST_F(close_test, a_close_by_another_worker_does_not_end_a_wait_for_the_next_owner_of_the_number) {
  pipe_ends old = make_pipe();
  const int number = old.reader.get();
  std::atomic<bool> is_closed{false};
  std::atomic<long> old_result{0};
  std::atomic<long> new_result{0};
  descriptor new_writer;
  std::thread other([&] {
    fiber<> old_waiter = spawn([&] {
      char byte;
      old_result = io::read(number, &byte, 1, {deadline_after(20s)});
    });
    yield();
    const stopwatch watch;
    while (!is_closed && watch.elapsed() < 10s) {  // keeps its worker: the news must wait
    }
    new_writer = reuse_number(number, "");
    const descriptor reader(number);
    fiber<> writer = spawn([&] {
      sleep(5ms);
      EXPECT_EQ(::write(new_writer.get(), "x", 1), 1);
    });
    char byte;
    new_result = io::read(number, &byte, 1, {deadline_after(10s)});
    old_waiter.join();
    writer.join();
  });
  EXPECT_TRUE(has_waiters(number));
  EXPECT_EQ(io::close(old.reader.release()), 0);
  is_closed = true;
  other.join();
  EXPECT_EQ(old_result, -EBADF);
  EXPECT_EQ(new_result, 1);
}

TEST_F(close_test, a_number_can_be_waited_for_again_after_its_reuse) {
  int number = -1;
  for (int round = 0; round < scaled(1000); ++round) {
    pipe_ends pipe = make_pipe();
    number = pipe.reader.get();
    fiber<long> waiter = spawn([&] {
      char data[16];
      return static_cast<long>(io::read(number, data, sizeof data, {deadline_after(10s)}));
    });
    yield();
    if (round % 3 == 0) {
      ASSERT_EQ(io::close(pipe.reader.release()), 0);
      ASSERT_EQ(waiter.get(), -EBADF);
    } else {
      ASSERT_EQ(::write(pipe.writer.get(), "xy", 2), 2);
      ASSERT_EQ(waiter.get(), 2);
    }
  }
}

TEST_F(close_test, a_descriptor_that_libc_closed_behind_our_back_can_be_reused) {
  for (int round = 0; round < 100; ++round) {
    pipe_ends pipe = make_pipe();
    char data[16];
    EXPECT_EQ(io::read(pipe.reader.get(), data, sizeof data, {deadline_after(1us)}), -ETIMEDOUT);
    pipe.reader.reset();  // ::close, which the runtime does not see
    pipe.writer.reset();
    pipe = make_pipe();
    fiber<> writer = spawn([&] { EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1); });
    ASSERT_EQ(io::read(pipe.reader.get(), data, sizeof data, {deadline_after(10s)}), 1);
    writer.join();
  }
}

}  // namespace
}  // namespace coir::test
