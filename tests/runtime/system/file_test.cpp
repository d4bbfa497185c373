// coir::file: regular files and pipes.
#include <coir/file.hpp>

#include "tests/runtime/system/support.hpp"

#include <csignal>
#include <string>

#include <sys/stat.h>

namespace coir::test {
namespace {

class system_file_test : public runtime_test {
 protected:
  temporary_directory folder_;
};

TEST_F(system_file_test, what_is_written_can_be_read_back) {
  const std::string path = folder_ / "letters";
  file out = file::open(path, {.write = true, .create = true});
  EXPECT_EQ(out.write_all("hello "), 6u);
  char one[] = "wor";
  char two[] = "ld";
  const iovec parts[] = {{one, 3}, {two, 2}};
  EXPECT_EQ(out.writev(parts), 5u);
  out.fdatasync();
  out.fsync();
  EXPECT_EQ(out.size(), 11u);
  out.close();
  EXPECT_FALSE(out.is_open());

  file in = file::open(path);
  char start[4];
  EXPECT_EQ(in.read_exactly(start), 4u);
  EXPECT_EQ(std::string(start, 4), "hell");
  char first[3];
  char second[100];
  const iovec into[] = {{first, 3}, {second, 100}};
  EXPECT_EQ(in.readv(into), 7u);
  EXPECT_EQ(std::string(first, 3) + std::string(second, 4), "o world");
  EXPECT_EQ(in.read_some(second), 0u);
  EXPECT_EQ(in.seek(-5, seek_from::end), 6);
  EXPECT_EQ(in.read_rest(), "world");
  EXPECT_EQ(in.pread(second, 5, 3), 5u);
  EXPECT_EQ(std::string(second, 5), "lo wo");
}

TEST_F(system_file_test, positions_sizes_and_offsets_work_as_the_system_calls_do) {
  file f = file::open(folder_ / "data", {.read = true, .write = true, .create_new = true});
  EXPECT_EQ(f.pwrite("end", 3, 100), 3u);
  EXPECT_EQ(f.size(), 103u);
  f.truncate(50);
  EXPECT_EQ(f.size(), 50u);
  EXPECT_EQ(f.seek(0, seek_from::current), 0);
  f.write_all("0123456789\n0123456789\n");
  f.seek(0);
  EXPECT_EQ(f.read_line(), "0123456789");
  EXPECT_EQ(f.seek(0, seek_from::current), 11) << "what was read ahead does not count";
  f.write_all("X");
  EXPECT_EQ(f.seek(0, seek_from::current), 12);
  char data[2];
  EXPECT_EQ(f.pread(data, 2, 10), 2u);
  EXPECT_EQ(std::string(data, 2), "\nX");
}

TEST_F(system_file_test, options_say_what_is_made_and_what_is_kept) {
  const std::string path = folder_ / "kept";
  write_file(path, "one", 0600);
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  file::open(path, {.append = true}).write_all(" two");
  EXPECT_EQ(read_file(path), "one two");
  std::error_code ec;
  file::open(path, {.write = true, .create_new = true}, ec);
  EXPECT_EQ(ec, std::errc::file_exists);
  file::open(path, {.write = true, .truncate = true});
  EXPECT_EQ(read_file(path), "");
}

TEST_F(system_file_test, a_failed_open_names_the_path_and_says_what_is_wrong) {
  const std::string missing = folder_ / "missing";
  EXPECT_EQ(error_of([&] { file::open(missing); }),
            "open " + missing + ": No such file or directory");
  expect_says(error_of([&] { file::open(missing, {.create = true}); }),
              {missing, "open_options must have"});
  expect_says(error_of([&] { file::open(missing, {}); }), {"Invalid argument"});
  std::error_code ec;
  file::open(std::string("a\0b", 3), {.read = true}, ec);
  EXPECT_EQ(ec, std::errc::invalid_argument);
  EXPECT_FALSE(file::open(missing, {.read = true}, ec).is_open());
  EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
}

TEST_F(system_file_test, a_closed_file_and_the_wrong_way_round_are_errors) {
  write_file(folder_ / "f", "text");
  file f = file::open(folder_ / "f");
  expect_says(error_of([&] { f.write_all("x"); }), {folder_ / "f", "Bad file"});
  f.close();
  f.close();
  char data[4];
  expect_says(error_of([&] { f.read_some(data); }), {"a closed file"});
  std::error_code ec;
  EXPECT_EQ(f.read_line(10, ec), std::nullopt);
  EXPECT_EQ(ec, std::errc::bad_file_descriptor);
  EXPECT_THROW(file::adopt(-1), std::system_error);
}

TEST_F(system_file_test, lines_are_read_one_by_one_and_the_last_needs_no_newline) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i) + '\n';
  write_file(folder_ / "lines", text + "\nlast");
  file in = file::open(folder_ / "lines");
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(in.read_line(), "line " + std::to_string(i));
  EXPECT_EQ(in.read_line(), "");
  EXPECT_EQ(in.read_line(), "last");
  EXPECT_EQ(in.read_line(), std::nullopt);
  EXPECT_EQ(in.read_line(), std::nullopt);
}

TEST_F(system_file_test, a_line_longer_than_the_limit_is_an_error_and_stays_readable) {
  write_file(folder_ / "long", "abc\n" + std::string(100'000, 'x') + "\nend\n");
  file in = file::open(folder_ / "long");
  EXPECT_EQ(in.read_line(3), "abc");
  std::error_code ec;
  EXPECT_EQ(in.read_line(50'000, ec), std::nullopt);
  EXPECT_EQ(ec, file_errc::line_too_long);
  char data[10];
  EXPECT_EQ(in.read_exactly(data), 10u);
  EXPECT_EQ(std::string(data, 10), "xxxxxxxxxx");
  EXPECT_EQ(in.read_line(99'990), std::string(99'990, 'x'));
  EXPECT_EQ(in.read_rest(), "end\n");
}

TEST_F(system_file_test, whole_files_are_read_up_to_a_limit) {
  std::string text(1 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 997);
  write_file(folder_ / "large", text);
  EXPECT_TRUE(read_file(folder_ / "large") == text);
  EXPECT_TRUE(read_file(folder_ / "large", text.size()) == text);
  std::error_code ec;
  read_file(folder_ / "large", text.size() - 1, ec);
  EXPECT_EQ(ec, file_errc::file_too_long);
  EXPECT_NE(read_file("/proc/self/status").find("VmRSS"), std::string::npos) << "its size is 0";
  char data[8];
  file small = file::open("/dev/null");
  expect_says(error_of([&] { small.read_exactly(data); }), {"ended early"});
}

TEST_F(system_file_test, a_pipe_whose_peer_is_slow_stops_only_its_fiber) {
  pipe_files ends = pipe();
  int turns = 0;
  fiber<> other = spawn([&] {
    for (; turns < 5; ++turns) sleep(1ms);
    ends.writer.write_all("first\nsec");
    sleep(2ms);
    ends.writer.write_all("ond\n");
    ends.writer.close();
  });
  EXPECT_EQ(ends.reader.read_line(), "first");
  EXPECT_EQ(turns, 5);
  EXPECT_EQ(ends.reader.read_line(), "second");
  EXPECT_EQ(ends.reader.read_line(), std::nullopt);
  other.join();
}

TEST_F(system_file_test, a_large_write_to_a_slow_reader_arrives_whole_while_others_run) {
  pipe_files ends = pipe();
  std::string text(1 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 1000);
  fiber<std::size_t> writer = spawn([&] { return ends.writer.write_all(text); });
  std::string got;
  char part[5000];
  while (got.size() < text.size()) {
    got.append(part, ends.reader.read_some(part));
    if (got.size() % 50'000 < 5000) sleep(1us);
  }
  EXPECT_TRUE(got == text);
  EXPECT_EQ(writer.get_for(10s), text.size());
}

TEST_F(system_file_test, nobody_reading_is_an_error_and_no_signal) {
  pipe_files ends = pipe();
  ends.reader.close();
  expect_says(error_of([&] { ends.writer.write_all("x"); }), {"Broken pipe"});
  sigset_t pending;
  ::sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGPIPE));
}

TEST_F(system_file_test, a_sigpipe_that_the_program_holds_back_stays_pending) {
  sigset_t only, before, pending;
  sigemptyset(&only);
  sigaddset(&only, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &only, &before);
  ::raise(SIGPIPE);
  pipe_files ends = pipe();
  ends.reader.close();
  std::error_code ec;
  ends.writer.write_all("x", ec);
  EXPECT_EQ(ec, std::errc::broken_pipe);
  ::sigpending(&pending);
  EXPECT_TRUE(sigismember(&pending, SIGPIPE));
  const timespec no_time{};
  EXPECT_EQ(::sigtimedwait(&only, nullptr, &no_time), SIGPIPE);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(system_file_test, closing_a_file_ends_the_waits_in_it) {
  pipe_files ends = pipe();
  fiber<std::error_code> reader = spawn([&] {
    std::error_code ec;
    ends.reader.read_line(100, ec);
    return ec;
  });
  yield();
  ends.reader.close();
  EXPECT_EQ(reader.get_for(10s), std::errc::bad_file_descriptor);
}

TEST_F(system_file_test, time_limits_and_kills_end_waits_and_lose_no_bytes) {
  pipe_files ends = pipe();
  ends.writer.write_all("half");
  EXPECT_FALSE(move_on_after(5ms, [&] { ends.reader.read_line(); }));
  fiber<> reader = spawn([&] { ends.reader.read_line(); });
  yield();
  reader.kill();
  ends.writer.write_all(" a line\n");
  EXPECT_EQ(ends.reader.read_line(), "half a line");
}

TEST_F(system_file_test, ends_of_pipes_are_closed_on_exec_and_in_blocking_mode) {
  const pipe_files ends = pipe();
  for (const file* f : {&ends.reader, &ends.writer}) {
    EXPECT_TRUE(::fcntl(f->native_handle(), F_GETFD) & FD_CLOEXEC);
    EXPECT_FALSE(flags_of(f->native_handle()) & O_NONBLOCK);
  }
}

TEST_F(system_file_test, a_descriptor_can_be_adopted_and_given_up) {
  pipe_ends raw = make_pipe(0);
  file in = file::adopt(raw.reader.release(), "the other side");
  EXPECT_EQ(in.name(), "the other side");
  const int fd = in.release();
  EXPECT_FALSE(in.is_open());
  raw.reader.reset(fd);
  EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
  socket_ends sockets = make_socket_pair();
  file one = file::adopt(sockets.one.release());
  sockets.other.reset();
  std::error_code ec;
  one.write_all("x", ec);
  EXPECT_EQ(ec, std::errc::broken_pipe) << "without SIGPIPE, too";
}

TEST_F(system_file_test, a_moved_file_takes_what_was_read_ahead_with_it) {
  pipe_files ends = pipe();
  ends.writer.write_all("one\ntwo\n");
  EXPECT_EQ(ends.reader.read_line(), "one");
  file moved = std::move(ends.reader);
  EXPECT_FALSE(ends.reader.is_open());
  EXPECT_EQ(moved.read_line(), "two");
  file other;
  other = std::move(moved);
  ends.writer.close();
  EXPECT_EQ(other.read_line(), std::nullopt);
}

TEST_F(system_file_test, a_full_descriptor_table_is_a_clear_error) {
  write_file(folder_ / "f", "x");  // so that offload threads are there
  std::string said_by_open;
  std::error_code of_pipe;
  {
    const few_descriptors none(0);
    said_by_open = error_of([&] { file::open(folder_ / "f"); });
    pipe(of_pipe);
  }
  expect_says(said_by_open, {folder_ / "f", "raise ulimit -n"});
  EXPECT_EQ(of_pipe, std::errc::too_many_files_open);
  EXPECT_EQ(read_file(folder_ / "f"), "x");
}

TEST_F(system_file_test, many_fibers_use_one_file_at_offsets_of_their_own) {
  file f = file::open(folder_ / "slots", {.read = true, .write = true, .create = true});
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 50; ++i) {
    fibers.push_back(spawn([&f, i] {
      const std::string text(1000, static_cast<char>('a' + i % 26));
      f.pwrite(text.data(), text.size(), i * 1000);
      std::string back(1000, ' ');
      EXPECT_EQ(f.pread(back.data(), back.size(), i * 1000), 1000u);
      EXPECT_EQ(back, text);
    }));
  }
  EXPECT_EQ(joinall(fibers, 20s), 50u);
  EXPECT_EQ(f.size(), 50'000u);
}

}  // namespace
}  // namespace coir::test
