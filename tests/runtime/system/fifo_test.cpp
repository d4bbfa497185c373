// Opening a FIFO waits for its other end, and stops nobody else.
#include <coir/file.hpp>

#include "tests/runtime/system/support.hpp"

#include <thread>

#include <sys/stat.h>

namespace coir::test {
namespace {

class fifo_test : public runtime_test {
 protected:
  void SetUp() override {
    runtime_test::SetUp();
    ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  }
  temporary_directory folder_;
  std::string path_ = folder_ / "fifo";
};

TEST_F(fifo_test, a_reader_waits_for_a_writer_that_need_not_write) {
  file in;
  fiber<> reader = spawn([&] { in = file::open(path_); });
  sleep(30ms);
  EXPECT_FALSE(reader.ready()) << "there is no writer yet";
  const int writer = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);  // a reader is there: no wait
  ASSERT_GE(writer, 0);
  const descriptor kept(writer);
  ASSERT_TRUE(reader.join_for(10s));
  EXPECT_FALSE(flags_of(in.native_handle()) & O_NONBLOCK);
  EXPECT_FALSE(move_on_after(10ms, [&] { in.read_line(); })) << "the writer has not written";
}

TEST_F(fifo_test, a_writer_waits_for_a_reader) {
  file out;
  fiber<> writer = spawn([&] { out = file::open(path_, {.write = true}); });
  sleep(10ms);
  EXPECT_FALSE(writer.ready());
  const descriptor reader(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(writer.join_for(10s));
  EXPECT_FALSE(flags_of(out.native_handle()) & O_NONBLOCK);
  EXPECT_EQ(out.write_all("x"), 1u);
}

TEST_F(fifo_test, a_program_that_opens_it_plainly_is_met_from_both_sides) {
  std::thread plain([&] {
    const descriptor out(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(::write(out.get(), "plain\n", 6), 6);
  });
  EXPECT_EQ(file::open(path_).read_rest(), "plain\n");
  plain.join();
  std::string got;
  std::thread reader([&] {
    const descriptor in(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    char data[10];
    for (ssize_t n; (n = ::read(in.get(), data, sizeof data)) > 0;)
      got.append(data, static_cast<std::size_t>(n));
  });
  file::open(path_, {.write = true}).write_all("from a fiber");
  reader.join();
  EXPECT_EQ(got, "from a fiber");
}

TEST_F(fifo_test, two_fibers_of_one_thread_meet) {
  const std::string text(300'000, 'x');
  fiber<std::string> reader = spawn([&] { return read_file(path_); });
  file::open(path_, {.write = true}).write_all(text);
  EXPECT_TRUE(reader.get_for(10s) == text);
}

TEST_F(fifo_test, a_writer_that_has_come_and_gone_lets_the_reader_in) {
  fiber<std::string> reader = spawn([&] { return read_file(path_); });
  sleep(5ms);
  { const descriptor gone(::open(path_.c_str(), O_WRONLY | O_CLOEXEC)); }
  EXPECT_EQ(reader.get_for(10s), "");
}

TEST_F(fifo_test, who_waits_for_the_other_end_can_be_killed_and_limited) {
  write_file(folder_ / "first", "");  // offload threads and their descriptors are there
  const std::size_t before = open_descriptors();
  for (const bool writes : {false, true}) {
    sleep(10ms);  // a ring lets go of what was closed a turn later
    fiber<> waiting = spawn([&] { file::open(path_, {.read = !writes, .write = writes}); });
    sleep(5ms);
    EXPECT_FALSE(waiting.ready());
    const stopwatch watch;
    waiting.kill();
    EXPECT_TRUE(waiting.ready());
    expect_prompt(watch);
    EXPECT_FALSE(
        move_on_after(10ms, [&] { file::open(path_, {.read = !writes, .write = writes}); }));
  }
  EXPECT_TRUE(eventually([&] { return open_descriptors() == before; }));
}

TEST_F(fifo_test, many_that_wait_do_not_keep_others_from_their_files) {
  std::vector<fiber<>> waiting;
  for (int i = 0; i < 40; ++i)
    waiting.push_back(spawn([&, i] { file::open(path_, {.read = true, .write = false}); }));
  sleep(20ms);
  const stopwatch watch;
  write_file(folder_ / "other", "goes on");
  EXPECT_EQ(read_file(folder_ / "other"), "goes on");
  expect_prompt(watch);
  killall(waiting);
}

TEST_F(fifo_test, without_waiting_a_writer_is_refused) {
  std::error_code ec;
  file::open(path_, {.write = true, .flags = O_NONBLOCK}, ec);
  EXPECT_EQ(ec, std::errc::no_such_device_or_address);
  EXPECT_TRUE(file::open(path_, {.read = true, .flags = O_NONBLOCK}).is_open());
}

}  // namespace
}  // namespace coir::test
