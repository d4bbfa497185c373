// Kills of fibers that wait in a cooperative call: it fails with ECANCELED, and the C++ edge
// throws.
#include "runtime/io/io.hpp"
#include "runtime/io/resolve.hpp"
#include "tests/runtime/support.hpp"

#include <atomic>
#include <functional>
#include <ostream>
#include <thread>

#include <pty.h>
#include <sys/epoll.h>

namespace coir::test {
namespace {

using io_kill_test = runtime_test;
using detail::deadline_after;
using detail::never;

constexpr io::wait_mode endless{};

/// Descriptors of which nothing ever comes.
struct silence {
  socket_ends sockets = make_tcp_pair();
  pipe_ends pipe = make_pipe();
  pipe_ends full = make_pipe();
  descriptor event_fd = make_event();
  descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
  listener door = make_listener();
  std::vector<descriptor> filler;
  listener full_door = make_full_listener(filler);
  descriptor client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  descriptor controller;
  descriptor terminal;

  silence() {
    fill(full.writer.get());
    fill(sockets.one.get());
    int controller_fd = -1;
    int terminal_fd = -1;
    EXPECT_EQ(::openpty(&controller_fd, &terminal_fd, nullptr, nullptr, nullptr), 0);
    controller.reset(controller_fd);
    terminal.reset(terminal_fd);
  }
};

struct io_wait {
  const char* name;
  std::function<long(silence&)> wait;
};

void PrintTo(const io_wait& kind, std::ostream* out) { *out << kind.name; }

class kill_of_a_fiber_in : public runtime_test, public testing::WithParamInterface<io_wait> {
 protected:
  silence quiet;
};

TEST_P(kill_of_a_fiber_in, ends_the_call_with_ecanceled_and_throws_once) {
  long result = 0;
  bool went_on = false;
  fiber<> waiter = spawn([&] {
    result = GetParam().wait(quiet);
    passed(result);
    went_on = true;
  });
  sleep(2ms);
  ASSERT_FALSE(waiter.ready());
  const stopwatch watch;
  waiter.kill();
  expect_prompt(watch);
  EXPECT_EQ(result, -ECANCELED);
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(waiter.successful());
}

TEST_P(kill_of_a_fiber_in, can_come_from_another_thread) {
  long result = 0;
  fiber<> waiter = spawn([&] { passed(result = GetParam().wait(quiet)); });
  sleep(2ms);
  std::thread other([waiter] { waiter.kill(); });
  EXPECT_TRUE(waiter.join_for(10s));
  other.join();
  EXPECT_EQ(result, -ECANCELED);
}

TEST_P(kill_of_a_fiber_in, leaves_the_descriptor_as_it_was) {
  for (int i = 0; i < 3; ++i) {
    fiber<> waiter = spawn([&] { passed(GetParam().wait(quiet)); });
    sleep(1ms);
    ASSERT_FALSE(waiter.ready()) << "round " << i;
    waiter.kill();
  }
}

char buffer[64];

INSTANTIATE_TEST_SUITE_P(
    every_call, kill_of_a_fiber_in,
    testing::Values(
        io_wait{"recv",
                [](silence& s) { return io::recv(s.sockets.one.get(), buffer, 64, 0, endless); }},
        io_wait{"recv_with_deadline",
                [](silence& s) {
                  return io::recv(s.sockets.one.get(), buffer, 64, 0, {deadline_after(1h)});
                }},
        io_wait{"recv_posix",
                [](silence& s) {
                  return io::recv(s.sockets.one.get(), buffer, 64, 0, io::posix_manners);
                }},
        io_wait{"send",
                [](silence& s) {
                  return io::send(s.sockets.one.get(), buffer, 64, MSG_NOSIGNAL, endless);
                }},
        io_wait{"accept",
                [](silence& s) {
                  return io::accept(s.door.socket.get(), nullptr, nullptr, 0, endless);
                }},
        io_wait{"read_of_a_pipe",
                [](silence& s) { return io::read(s.pipe.reader.get(), buffer, 64, endless); }},
        io_wait{"write_to_a_pipe",
                [](silence& s) { return io::write(s.full.writer.get(), buffer, 64, endless); }},
        io_wait{"read_of_an_eventfd",
                [](silence& s) { return io::read(s.event_fd.get(), buffer, 8, endless); }},
        io_wait{"read_of_a_terminal",
                [](silence& s) { return io::read(s.terminal.get(), buffer, 8, endless); }},
        io_wait{"wait_ready",
                [](silence& s) { return io::wait_ready(s.pipe.reader.get(), POLLIN, never); }},
        io_wait{"poll",
                [](silence& s) {
                  pollfd one{s.pipe.reader.get(), POLLIN, 0};
                  return io::poll(&one, 1, never);
                }},
        io_wait{"poll_of_nothing", [](silence&) { return io::poll(nullptr, 0, never); }},
        io_wait{"select", [](silence&) { return io::select(0, nullptr, nullptr, nullptr, never); }},
        io_wait{"epoll_wait",
                [](silence& s) {
                  epoll_event got;
                  return io::epoll_wait(s.epoll.get(), &got, 1, never);
                }},
        io_wait{"yield",
                [](silence&) {
                  long result = 0;
                  while (result == 0) result = io::yield();
                  return result;
                }},
        io_wait{"sleep", [](silence&) { return io::sleep_until(deadline_after(1h)); }}),
    [](const auto& kind) { return kind.param.name; });

TEST_F(io_kill_test, another_thread_can_kill_a_fiber_in_recv_alone_on_its_worker) {
  silence quiet;
  for (int round = 0; round < scaled(200); ++round) {
    std::atomic<bool> has_begun{false};
    long result = 0;
    // The main fiber joins before it begins: the waiter drives the loop itself.
    fiber<> waiter = spawn([&] {
      has_begun = true;
      passed(result = io::recv(quiet.sockets.one.get(), buffer, 64, 0, endless));
    });
    std::thread other([&] {
      const stopwatch watch;
      while (!has_begun && watch.elapsed() < 10s) {
      }
      std::this_thread::sleep_for(milliseconds(round % 3));  // at any moment of the wait
      waiter.kill(false);
    });
    EXPECT_TRUE(waiter.join_for(10s));
    other.join();
    ASSERT_EQ(result, -ECANCELED) << "round " << round;
  }
}

TEST_F(io_kill_test, a_connect_that_is_killed_ends) {
  silence quiet;
  long result = 0;
  fiber<> connector = spawn([&] {
    result = io::connect(quiet.client.get(), quiet.full_door.peer(), sizeof quiet.full_door.address,
                         endless);
    passed(result);
  });
  sleep(2ms);
  ASSERT_FALSE(connector.ready());
  connector.kill();
  EXPECT_EQ(result, -ECANCELED);
}

TEST_F(io_kill_test, a_call_after_a_kill_that_nobody_threw_fails_at_once) {
  silence quiet;
  std::vector<long> results;
  fiber<> waiter = spawn([&] {
    for (int i = 0; i < 3; ++i)
      results.push_back(io::recv(quiet.sockets.one.get(), buffer, 64, 0, endless));
    sleep(1h);  // the first C++ edge throws
    results.push_back(0);
  });
  sleep(1ms);
  const stopwatch watch;
  waiter.kill();
  expect_prompt(watch);
  EXPECT_EQ(results, (std::vector<long>{-ECANCELED, -ECANCELED, -ECANCELED}));
}

TEST_F(io_kill_test, file_calls_end_with_their_result_or_ecanceled) {
  const descriptor file = make_file();
  const std::vector<char> data(1 << 20, 'x');
  for (int i = 0; i < scaled(50); ++i) {
    long result = 1;
    fiber<> writer = spawn([&] {
      result = i % 2 ? io::pwrite(file.get(), data.data(), data.size(), 0, endless)
                     : io::fsync(file.get(), endless);
      passed(result);
    });
    yield();
    writer.kill();
    EXPECT_TRUE(result == -ECANCELED || result == 0 || result == 1 << 20 || result == 1) << result;
  }
}

TEST_F(io_kill_test, a_look_up_that_is_killed_goes_on_alone) {
  static std::atomic<bool> has_begun;
  static std::atomic<bool> may_return;
  static std::atomic<int> freed;
  has_begun = may_return = false;
  freed = 0;
  auto slow = [](const char*, const char*, const addrinfo*, addrinfo** result) {
    has_begun = true;
    while (!may_return) std::this_thread::sleep_for(1ms);
    static addrinfo one{};
    *result = &one;
    return 0;
  };
  int code = 0;
  int error = 0;
  fiber<> f = spawn([&] {
    addrinfo* result = nullptr;
    code = io::getaddrinfo("host", nullptr, nullptr, &result, &error, never, slow,
                           [](addrinfo*) { ++freed; });
    if (error == ECANCELED) detail::throw_if_interrupted();
  });
  ASSERT_TRUE(eventually([] { return has_begun.load(); }));
  const stopwatch watch;
  f.kill();
  expect_prompt(watch);
  EXPECT_EQ(code, EAI_SYSTEM);
  EXPECT_EQ(error, ECANCELED);
  EXPECT_EQ(freed, 0);
  may_return = true;
  EXPECT_TRUE(eventually([] { return freed == 1; }));
}

}  // namespace
}  // namespace coir::test
