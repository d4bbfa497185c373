// Cooperative read and write on what is neither a socket nor a regular file: pipes, eventfds,
// terminals.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <csignal>
#include <cstring>

#include <pty.h>
#include <sys/timerfd.h>

namespace coir::test {
namespace {

using pipe_test = runtime_test;
using detail::deadline_after;

constexpr io::wait_mode endless{};

TEST_F(pipe_test, a_read_of_an_empty_pipe_parks_only_the_fiber) {
  const pipe_ends pipe = make_pipe();
  fiber<> writer = spawn([&] {
    sleep(5ms);
    EXPECT_EQ(io::write(pipe.writer.get(), "hello", 5, endless), 5);
  });
  char data[16];
  EXPECT_EQ(io::read(pipe.reader.get(), data, sizeof data, endless), 5);
  EXPECT_EQ(std::memcmp(data, "hello", 5), 0);
  writer.join();
}

TEST_F(pipe_test, a_read_returns_zero_when_the_writer_has_gone) {
  pipe_ends pipe = make_pipe();
  char data[16];
  fiber<ssize_t> reader =
      spawn([&] { return io::read(pipe.reader.get(), data, sizeof data, endless); });
  yield();
  pipe.writer.reset();
  EXPECT_EQ(reader.get_for(10s), 0);
}

TEST_F(pipe_test, a_large_write_returns_when_all_is_written) {
  const pipe_ends pipe = make_pipe();
  std::string data(1 << 20, '\0');
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 + i / 1000);
  fiber<ssize_t> writer =
      spawn([&] { return io::write(pipe.writer.get(), data.data(), data.size(), endless); });
  std::string got;
  char part[10'000];
  while (got.size() < data.size()) {
    const ssize_t size = io::read(pipe.reader.get(), part, sizeof part, endless);
    ASSERT_GT(size, 0);
    got.append(part, static_cast<std::size_t>(size));
  }
  EXPECT_EQ(got, data);
  EXPECT_EQ(writer.get_for(10s), static_cast<ssize_t>(data.size()));
}

TEST_F(pipe_test, small_writes_of_several_fibers_do_not_mix) {
  const pipe_ends pipe = make_pipe();
  constexpr int writers = 8;
  constexpr int records = 200;
  std::vector<fiber<>> fibers;
  for (int w = 0; w < writers; ++w) {
    fibers.push_back(spawn([&, w] {
      const std::string record(1000, static_cast<char>('a' + w));  // shorter than PIPE_BUF: atomic
      for (int i = 0; i < records; ++i)
        EXPECT_EQ(io::write(pipe.writer.get(), record.data(), 1000, endless), 1000);
    }));
  }
  for (int i = 0; i < writers * records; ++i) {
    char record[1000];
    std::size_t size = 0;
    while (size < sizeof record) {
      const ssize_t part =
          io::read(pipe.reader.get(), record + size, sizeof record - size, endless);
      ASSERT_GT(part, 0);
      size += static_cast<std::size_t>(part);
    }
    ASSERT_EQ(std::string(record, sizeof record), std::string(sizeof record, record[0]));
  }
  joinall(fibers);
}

TEST_F(pipe_test, vectors_are_read_and_written_in_order) {
  const pipe_ends pipe = make_pipe();
  char one[] = "abc";
  char two[] = "defg";
  iovec out[] = {{one, 3}, {two, 4}};
  fiber<> writer = spawn([&] { EXPECT_EQ(io::writev(pipe.writer.get(), out, 2, endless), 7); });
  char first[2];
  char second[8] = {};
  iovec in[] = {{first, 2}, {second, 8}};
  EXPECT_EQ(io::readv(pipe.reader.get(), in, 2, endless), 7);
  EXPECT_EQ(std::string(first, 2), "ab");
  EXPECT_STREQ(second, "cdefg");
  writer.join();
}

TEST_F(pipe_test, deadlines_end_reads_and_writes) {
  const pipe_ends pipe = make_pipe();
  char data[16];
  stopwatch watch;
  EXPECT_EQ(io::read(pipe.reader.get(), data, sizeof data, {deadline_after(20ms)}), -ETIMEDOUT);
  expect_took(watch, 20ms);
  fill(pipe.writer.get());
  watch = {};
  EXPECT_EQ(io::write(pipe.writer.get(), data, sizeof data, {deadline_after(20ms)}), -ETIMEDOUT);
  expect_took(watch, 20ms);
}

TEST_F(pipe_test, a_write_without_a_reader_is_a_broken_pipe) {
  pipe_ends pipe = make_pipe();
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  pipe.reader.reset();
  EXPECT_EQ(io::write(pipe.writer.get(), "x", 1, endless), -EPIPE);
  std::signal(SIGPIPE, before);
}

TEST_F(pipe_test, the_wrong_end_is_a_bad_descriptor) {
  const pipe_ends pipe = make_pipe();
  char data[1] = {};
  EXPECT_EQ(io::read(pipe.writer.get(), data, 1, endless), -EBADF);
  EXPECT_EQ(io::write(pipe.reader.get(), data, 1, endless), -EBADF);
}

TEST_F(pipe_test, an_offset_makes_no_sense_on_a_pipe) {
  const pipe_ends pipe = make_pipe();
  char data[1] = {};
  EXPECT_EQ(io::pread(pipe.reader.get(), data, 1, 0, endless), -ESPIPE);
  EXPECT_EQ(io::pwrite(pipe.writer.get(), data, 1, 0, endless), -ESPIPE);
}

TEST_F(pipe_test, an_eventfd_parks_its_reader_until_it_is_signalled) {
  const descriptor e = make_event();
  fiber<std::uint64_t> reader = spawn([&] {
    std::uint64_t count = 0;
    EXPECT_EQ(io::read(e.get(), &count, sizeof count, endless), 8);
    return count;
  });
  sleep(5ms);
  EXPECT_FALSE(reader.ready());
  const std::uint64_t three = 3;
  EXPECT_EQ(io::write(e.get(), &three, sizeof three, endless), 8);
  EXPECT_EQ(reader.get_for(10s), 3u);
}

TEST_F(pipe_test, several_readers_of_a_blocking_eventfd_get_one_signal_each) {
  const descriptor e = make_event();
  int woken = 0;
  std::vector<fiber<>> readers;
  for (int i = 0; i < 4; ++i) {
    readers.push_back(spawn([&] {
      std::uint64_t count;
      io::read(e.get(), &count, sizeof count, endless);
      ++woken;
    }));
  }
  sleep(1ms);
  const std::uint64_t one = 1;
  for (int i = 1; i <= 4; ++i) {
    ASSERT_EQ(io::write(e.get(), &one, sizeof one, endless), 8);
    EXPECT_TRUE(eventually([&] { return woken >= i; }));
  }
  EXPECT_EQ(joinall(readers, 10s), 4u);
}

TEST_F(pipe_test, a_timerfd_parks_its_reader_until_it_fires) {
  const descriptor timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  const itimerspec when{{0, 0}, {0, 20'000'000}};
  ASSERT_EQ(::timerfd_settime(timer.get(), 0, &when, nullptr), 0);
  int turns_of_others = 0;
  fiber<> other = spawn([&] { ++turns_of_others; });
  std::uint64_t fired = 0;
  const stopwatch watch;
  EXPECT_EQ(io::read(timer.get(), &fired, sizeof fired, endless), 8);
  expect_took(watch, 20ms);
  EXPECT_EQ(fired, 1u);
  EXPECT_EQ(turns_of_others, 1);
  other.join();
}

TEST_F(pipe_test, a_read_of_a_terminal_parks_only_the_fiber) {
  int controller_fd;
  int terminal_fd;
  ASSERT_EQ(::openpty(&controller_fd, &terminal_fd, nullptr, nullptr, nullptr), 0);
  const descriptor controller(controller_fd);
  const descriptor terminal(terminal_fd);
  fiber<std::string> reader = spawn([&] {
    char line[64];
    const ssize_t size = io::read(terminal.get(), line, sizeof line, endless);
    return std::string(line, size > 0 ? static_cast<std::size_t>(size) : 0);
  });
  sleep(10ms);
  EXPECT_FALSE(reader.ready());
  EXPECT_EQ(io::write(controller.get(), "typed\n", 6, endless), 6);
  EXPECT_EQ(reader.get_for(10s), "typed\n");
  EXPECT_FALSE(flags_of(terminal.get()) & O_NONBLOCK);
}

TEST_F(pipe_test, two_fibers_reading_one_blocking_terminal_do_not_block_the_thread) {
  int controller_fd;
  int terminal_fd;
  ASSERT_EQ(::openpty(&controller_fd, &terminal_fd, nullptr, nullptr, nullptr), 0);
  const descriptor controller(controller_fd);
  const descriptor terminal(terminal_fd);
  auto read_line = [&] {
    char line[64];
    return io::read(terminal.get(), line, sizeof line, endless);
  };
  fiber<ssize_t> one = spawn(read_line);
  fiber<ssize_t> two = spawn(read_line);
  sleep(5ms);
  EXPECT_EQ(io::write(controller.get(), "1\n", 2, endless), 2);
  EXPECT_TRUE(eventually([&] { return one.ready() || two.ready(); }));
  EXPECT_EQ(io::write(controller.get(), "2\n", 2, endless), 2);
  EXPECT_EQ(one.get_for(10s), 2);
  EXPECT_EQ(two.get_for(10s), 2);
}

}  // namespace
}  // namespace coir::test
