// A time-out over a scope ends every cooperative call, whatever deadline of its own the call has.
// Waits for other fibers are in task/outer_timeout_test.cpp.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <functional>
#include <ostream>

namespace coir::test {
namespace {

/// A second from now, as a deadline of the call itself.
io::wait_mode own_limit() { return {detail::deadline_after(1s)}; }

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

  silence() {
    fill(full.writer.get());
    fill(sockets.one.get());
  }
};

char buffer[64];

struct io_wait {
  const char* name;
  std::function<long(silence&)> wait;
};

void PrintTo(const io_wait& kind, std::ostream* out) { *out << kind.name; }

class outer_time_out_of_a_call : public runtime_test, public testing::WithParamInterface<io_wait> {
 protected:
  silence quiet;
};

TEST_P(outer_time_out_of_a_call, ends_it_and_is_what_surfaces) {
  const stopwatch watch;
  long result = 0;
  timeout_scope outer(1ms);
  try {
    result = GetParam().wait(quiet);
    passed(result);
    ADD_FAILURE() << "the call came to its end";
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
  EXPECT_EQ(result, -ECANCELED);
  EXPECT_LT(watch.elapsed(), 900ms);
}

TEST_P(outer_time_out_of_a_call, is_thrown_once_and_its_own_deadline_holds_afterwards) {
  {
    timeout_scope outer(1ms, std::make_exception_ptr(7));
    EXPECT_THROW(passed(GetParam().wait(quiet)), int);
  }
  const stopwatch watch;
  EXPECT_FALSE(move_on_after(10ms, [&] { passed(GetParam().wait(quiet)); }));
  expect_took(watch, 10ms);
}

INSTANTIATE_TEST_SUITE_P(
    every_call, outer_time_out_of_a_call,
    testing::Values(
        io_wait{
            "recv",
            [](silence& s) { return io::recv(s.sockets.one.get(), buffer, 64, 0, own_limit()); }},
        io_wait{"send",
                [](silence& s) {
                  return io::send(s.sockets.one.get(), buffer, 64, MSG_NOSIGNAL, own_limit());
                }},
        io_wait{"accept",
                [](silence& s) {
                  return io::accept(s.door.socket.get(), nullptr, nullptr, 0, own_limit());
                }},
        io_wait{"read_of_a_pipe",
                [](silence& s) { return io::read(s.pipe.reader.get(), buffer, 64, own_limit()); }},
        io_wait{"write_to_a_pipe",
                [](silence& s) { return io::write(s.full.writer.get(), buffer, 64, own_limit()); }},
        io_wait{"read_of_an_eventfd",
                [](silence& s) { return io::read(s.event_fd.get(), buffer, 8, own_limit()); }},
        io_wait{"wait_ready",
                [](silence& s) {
                  return io::wait_ready(s.pipe.reader.get(), POLLIN, own_limit().until);
                }},
        io_wait{"poll",
                [](silence& s) {
                  pollfd one{s.pipe.reader.get(), POLLIN, 0};
                  return io::poll(&one, 1, own_limit().until);
                }},
        io_wait{"poll_of_nothing",
                [](silence&) { return io::poll(nullptr, 0, own_limit().until); }},
        io_wait{"select",
                [](silence& s) {
                  fd_set in;
                  FD_ZERO(&in);
                  FD_SET(s.pipe.reader.get(), &in);
                  return io::select(s.pipe.reader.get() + 1, &in, nullptr, nullptr,
                                    own_limit().until);
                }},
        io_wait{"epoll_wait",
                [](silence& s) {
                  epoll_event got;
                  return io::epoll_wait(s.epoll.get(), &got, 1, own_limit().until);
                }},
        io_wait{"sleep", [](silence&) { return io::sleep_until(own_limit().until); }}),
    [](const auto& kind) { return kind.param.name; });

using outer_time_out_test = runtime_test;

TEST_F(outer_time_out_test, ends_a_connect) {
  silence quiet;
  const stopwatch watch;
  timeout_scope outer(1ms);
  try {
    passed(io::connect(quiet.client.get(), quiet.full_door.peer(), sizeof quiet.full_door.address,
                       own_limit()));
    ADD_FAILURE() << "it is connected";
  } catch (const timeout& e) {
    EXPECT_TRUE(outer.owns(e));
  }
  EXPECT_LT(watch.elapsed(), 900ms);
}

}  // namespace
}  // namespace coir::test
