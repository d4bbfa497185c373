// Streams between workers, with exact books: every byte arrives in order, every number is reused,
// and a close is seen by everyone who waits, however it meets with arrivals and deadlines.
#include <coir/detail/stream_socket.hpp>

#include "runtime/io/io.hpp"
#include "tests/stress/stress.hpp"

#include <atomic>
#include <memory>
#include <thread>

namespace coir::test {
namespace {

using pairs_test = runtime_test;

/// Sends the numbers from 0 on in messages of random size until `is_over`, then shuts down; returns
/// how many bytes.
long send_numbers(io::stream_socket& to, dice d, const std::atomic<bool>& is_over) {
  std::vector<char> data(8192);
  long sent = 0;
  while (!is_over) {
    const auto size = static_cast<std::size_t>(d.roll(static_cast<int>(data.size())) + 1);
    for (std::size_t i = 0; i < size; ++i)
      data[i] = static_cast<char>((sent + static_cast<long>(i)) % 251);
    std::size_t done = 0;
    while (done < size) {
      const auto until = d.roll(3) ? detail::never : detail::deadline_after(d.short_time());
      const ssize_t part = to.send(data.data() + done, size - done, MSG_NOSIGNAL, until);
      if (part == -ETIMEDOUT) continue;
      EXPECT_GT(part, 0);
      if (part <= 0) return sent;
      done += static_cast<std::size_t>(part);
    }
    sent += static_cast<long>(size);
    if (d.roll(8) == 0) sleep(d.short_time());
  }
  ::shutdown(to.fd(), SHUT_WR);
  return sent;
}

/// Receives until the end and checks every byte; returns how many.
long receive_numbers(io::stream_socket& from, dice d) {
  std::vector<char> data(16384);
  long received = 0;
  for (;;) {
    const auto size = static_cast<std::size_t>(d.roll(static_cast<int>(data.size())) + 1);
    const auto until =
        d.roll(3) ? detail::deadline_after(20s) : detail::deadline_after(d.short_time());
    const ssize_t part = from.recv(data.data(), size, 0, until);
    if (part == -ETIMEDOUT) continue;
    EXPECT_GE(part, 0);
    if (part <= 0) return received;
    for (ssize_t i = 0; i < part; ++i, ++received) {
      if (data[static_cast<std::size_t>(i)] != static_cast<char>(received % 251)) {
        ADD_FAILURE() << "byte " << received << " is wrong";
        return received;
      }
    }
    if (d.roll(16) == 0) sleep(d.short_time());
  }
}

TEST_F(pairs_test, every_byte_between_two_workers_arrives_in_order) {
  dice d(stress_seed());
  constexpr int pairs = 8;
  std::vector<io::stream_socket> here;
  std::vector<io::stream_socket> there;
  for (int i = 0; i < pairs; ++i) {
    socket_ends ends = make_tcp_pair();
    for (const int fd : {ends.one.get(), ends.other.get()})
      ::fcntl(fd, F_SETFL, flags_of(fd) | O_NONBLOCK);
    here.emplace_back(ends.one.release());
    there.emplace_back(ends.other.release());
  }
  std::atomic<bool> is_over{false};
  std::atomic<long> sent{0};
  std::atomic<long> received{0};
  auto run_side = [&](std::vector<io::stream_socket>& side, std::uint32_t seed) {
    dice own(seed);
    std::vector<fiber<>> fibers;
    for (auto& stream : side) {
      fibers.push_back(
          spawn([&, s = own.fork()] { sent += send_numbers(stream, dice(s), is_over); }));
      fibers.push_back(
          spawn([&, s = own.fork()] { received += receive_numbers(stream, dice(s)); }));
    }
    EXPECT_EQ(joinall(fibers, stress_length() + 40s), fibers.size()) << "a stream hangs";
    for (auto& stream : side) stream.close();
  };
  std::thread other([&, seed = d.fork()] { run_side(there, seed); });
  fiber<> timekeeper = spawn([&] {
    sleep(stress_length());
    is_over = true;
  });
  run_side(here, d.fork());
  timekeeper.join();
  other.join();
  EXPECT_EQ(received, sent);
  EXPECT_GT(sent, 0);
  std::printf("%ld bytes\n", sent.load());
}

/// Opens, waits, closes: the same few numbers mean another pipe a moment later. Each pipe carries
/// its own serial.
void reuse_numbers(dice d, const std::atomic<bool>& is_over, std::atomic<int>& serials,
                   std::atomic<long>& rounds) {
  while (!is_over) {
    auto pipe = std::make_shared<pipe_ends>(make_pipe());
    const int serial = ++serials;
    const int number = pipe->reader.get();
    auto begun = std::make_shared<bool>(false);
    fiber<> reader = spawn([=, seed = d.fork()] {
      dice own(seed);
      *begun = true;
      int got = 0;
      const ssize_t result =
          io::read(number, &got, sizeof got, {detail::deadline_after(own.short_time(2000))});
      if (result == sizeof got) {
        EXPECT_EQ(got, serial) << "read from another pipe";
      } else if (result != -EBADF && result != -ETIMEDOUT && result != 0) {
        ADD_FAILURE() << "read: " << result;
      }
    });
    if (d.roll(2)) yield();
    if (d.roll(3)) {
      EXPECT_EQ(::write(pipe->writer.get(), &serial, sizeof serial), 4);
    }
    if (d.roll(3) == 0) sleep(d.short_time());
    // A reader that has not begun would, rightly, meet the next owner of its number: let it reach
    // its wait first.
    while (!*begun) yield();
    io::close(pipe->reader.release());
    if (d.roll(4) == 0) sleep(d.short_time());
    reader.join();
    ++rounds;
  }
}

TEST_F(pairs_test, a_reader_never_sees_bytes_of_a_later_pipe_with_its_number) {
  dice d(stress_seed());
  std::atomic<bool> is_over{false};
  std::atomic<int> serials{0};
  std::atomic<long> rounds{0};
  auto run_side = [&](std::uint32_t seed) {
    dice own(seed);
    std::vector<fiber<>> fibers;
    for (int i = 0; i < 10; ++i) {
      fibers.push_back(
          spawn([&, s = own.fork()] { reuse_numbers(dice(s), is_over, serials, rounds); }));
    }
    EXPECT_EQ(joinall(fibers, stress_length() + 40s), fibers.size()) << "a reader hangs";
  };
  std::thread other([&, seed = d.fork()] { run_side(seed); });
  fiber<> timekeeper = spawn([&] {
    sleep(stress_length());
    is_over = true;
  });
  run_side(d.fork());
  timekeeper.join();
  other.join();
  EXPECT_GT(rounds, 0);
  std::printf("%ld rounds\n", rounds.load());
}

}  // namespace
}  // namespace coir::test
