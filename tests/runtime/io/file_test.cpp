// Cooperative calls on regular files, whose contents must be right with many fibers at work.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <cstring>
#include <numeric>

namespace coir::test {
namespace {

using file_test = runtime_test;

constexpr io::wait_mode endless{};

TEST_F(file_test, what_was_written_is_read_back_from_the_current_position) {
  const descriptor file = make_file();
  EXPECT_EQ(io::write(file.get(), "first ", 6, endless), 6);
  EXPECT_EQ(io::write(file.get(), "second", 6, endless), 6);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 12);
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  char data[64] = {};
  EXPECT_EQ(io::read(file.get(), data, 6, endless), 6);
  EXPECT_EQ(io::read(file.get(), data + 6, 50, endless), 6);
  EXPECT_STREQ(data, "first second");
  EXPECT_EQ(io::read(file.get(), data, sizeof data, endless), 0);
}

TEST_F(file_test, calls_with_an_offset_leave_the_position_alone) {
  const descriptor file = make_file();
  EXPECT_EQ(io::pwrite(file.get(), "0123456789", 10, 0, endless), 10);
  EXPECT_EQ(io::pwrite(file.get(), "xyz", 3, 20, endless), 3);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 0);
  char data[64] = {};
  EXPECT_EQ(io::pread(file.get(), data, 4, 3, endless), 4);
  EXPECT_STREQ(data, "3456");
  EXPECT_EQ(io::pread(file.get(), data, sizeof data, 100, endless), 0);
  EXPECT_EQ(io::pread(file.get(), data, sizeof data, 0, endless), 23);
  EXPECT_EQ(std::memcmp(data + 10, "\0\0\0\0\0\0\0\0\0\0xyz", 13), 0);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 0);
}

TEST_F(file_test, vectors_go_in_and_out_in_order) {
  const descriptor file = make_file();
  char one[] = "abc";
  char two[] = "defg";
  iovec out[] = {{one, 3}, {two, 4}};
  EXPECT_EQ(io::writev(file.get(), out, 2, endless), 7);
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  char first[5];
  char second[5] = {};
  iovec in[] = {{first, 5}, {second, 5}};
  EXPECT_EQ(io::readv(file.get(), in, 2, endless), 7);
  EXPECT_EQ(std::string(first, 5), "abcde");
  EXPECT_STREQ(second, "fg");
}

TEST_F(file_test, appending_fibers_lose_nothing) {
  const descriptor file = make_file();
  ASSERT_EQ(::fcntl(file.get(), F_SETFL, O_APPEND), 0);
  std::vector<fiber<>> fibers;
  for (int f = 0; f < 8; ++f) {
    fibers.push_back(spawn([&, f] {
      const std::string line(63, static_cast<char>('a' + f));
      for (int i = 0; i < 50; ++i)
        EXPECT_EQ(io::write(file.get(), (line + '\n').data(), 64, endless), 64);
    }));
  }
  joinall(fibers);
  int lines_of[8] = {};
  for (int i = 0; i < 400; ++i) {
    char line[64];
    ASSERT_EQ(io::pread(file.get(), line, 64, i * 64, endless), 64);
    ASSERT_EQ(std::string(line, 63), std::string(63, line[0]));
    ++lines_of[line[0] - 'a'];
  }
  for (const int lines : lines_of) EXPECT_EQ(lines, 50);
}

TEST_F(file_test, many_fibers_write_and_check_their_own_blocks) {
  const descriptor file = make_file();
  constexpr std::size_t block = 16 * 1024;
  constexpr int fibers_count = 20;
  constexpr int rounds = 10;
  std::vector<fiber<>> fibers;
  for (int f = 0; f < fibers_count; ++f) {
    fibers.push_back(spawn([&, f] {
      std::vector<char> out(block);
      std::vector<char> in(block);
      const off_t offset = static_cast<off_t>(f) * static_cast<off_t>(block);
      for (int i = 0; i < rounds; ++i) {
        std::iota(out.begin(), out.end(), static_cast<char>(f * rounds + i));
        ASSERT_EQ(io::pwrite(file.get(), out.data(), block, offset, endless),
                  static_cast<ssize_t>(block));
        if (i % 4 == 0) {
          ASSERT_EQ(io::fdatasync(file.get(), endless), 0);
        }
        ASSERT_EQ(io::pread(file.get(), in.data(), block, offset, endless),
                  static_cast<ssize_t>(block));
        ASSERT_EQ(in, out);
      }
    }));
  }
  EXPECT_EQ(joinall(fibers, 50s), static_cast<std::size_t>(fibers_count));
}

TEST_F(file_test, a_large_file_goes_through_in_one_call) {
  const descriptor file = make_file();
  std::vector<char> out(8 << 20);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(i * 13 + i / 4096);
  EXPECT_EQ(io::write(file.get(), out.data(), out.size(), endless),
            static_cast<ssize_t>(out.size()));
  EXPECT_EQ(io::fsync(file.get(), endless), 0);
  std::vector<char> in(out.size());
  EXPECT_EQ(io::pread(file.get(), in.data(), in.size(), 0, endless),
            static_cast<ssize_t>(in.size()));
  EXPECT_EQ(in, out);
}

TEST_F(file_test, others_run_while_a_fiber_syncs) {
  const descriptor file = make_file();
  const std::vector<char> data(4 << 20, 'x');
  int turns_of_others = 0;
  bool is_over = false;
  fiber<> bystander = spawn([&] {
    while (!is_over) {
      ++turns_of_others;
      yield();
    }
  });
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(io::pwrite(file.get(), data.data(), data.size(), 0, endless),
              static_cast<ssize_t>(data.size()));
    EXPECT_EQ(io::fsync(file.get(), endless), 0);
  }
  is_over = true;
  bystander.join();
  EXPECT_GT(turns_of_others, 0);
}

TEST_F(file_test, errors_are_those_of_the_system_call) {
  const descriptor file = make_file();
  const descriptor read_only(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const descriptor directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  char data[1] = {};
  EXPECT_EQ(io::write(read_only.get(), data, 1, endless), -EBADF);
  EXPECT_EQ(io::pwrite(read_only.get(), data, 1, 0, endless), -EBADF);
  EXPECT_EQ(io::read(directory.get(), data, 1, endless), -EISDIR);
  EXPECT_EQ(io::pread(file.get(), data, 1, -5, endless), -EINVAL);
  EXPECT_EQ(io::pread(-1, data, 1, 0, endless), -EBADF);
  EXPECT_EQ(io::fsync(-1, endless), -EBADF);
}

TEST_F(file_test, a_fsync_of_a_pipe_is_invalid) {
  const pipe_ends pipe = make_pipe();
  EXPECT_EQ(io::fsync(pipe.reader.get(), endless), -EINVAL);
}

TEST_F(file_test, killed_and_timed_out_calls_leave_no_writer_into_their_stacks) {
  const descriptor file = make_file();
  const std::vector<char> out(256 * 1024, 'o');
  ASSERT_EQ(io::pwrite(file.get(), out.data(), out.size(), 0, endless),
            static_cast<ssize_t>(out.size()));
  for (int i = 0; i < scaled(500); ++i) {
    fiber<> reader = spawn([&] {
      char in[64 * 1024];  // on the stack that the next fiber gets
      const auto until =
          i % 2 ? detail::deadline_after(std::chrono::microseconds(i % 50)) : detail::never;
      const ssize_t size = io::pread(file.get(), in, sizeof in, 0, {until});
      if (size > 0) {
        EXPECT_EQ(in[size - 1], 'o');
      }
      passed(size);
    });
    yield();
    reader.kill(false);
    fiber<> next = spawn([&] {
      volatile char same_stack[64 * 1024];
      for (std::size_t at = 0; at < sizeof same_stack; at += 512) same_stack[at] = 'n';
      yield();
      for (std::size_t at = 0; at < sizeof same_stack; at += 512) EXPECT_EQ(same_stack[at], 'n');
    });
    reader.join();
    next.join();
  }
}

}  // namespace
}  // namespace coir::test
