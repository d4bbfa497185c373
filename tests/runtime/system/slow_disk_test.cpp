// What takes long below files stops its own fibers only: a FIFO whose writer is late, a disk that
// syncs, threads for blocking work that are all busy. Others are counted meanwhile, never timed.
#include <coir/file.hpp>

#include "tests/runtime/forking.hpp"
#include "tests/runtime/system/support.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <numeric>
#include <semaphore>
#include <string_view>

#include <sys/stat.h>

namespace coir::test {
namespace {

using slow_disk_test = runtime_test;
using slow_disk_process_test = fresh_process_test;

/// A fiber that counts its turns, each of which comes after others had theirs.
class ticker {
 public:
  /// `step` parks, or yields.
  template <class Step>
  explicit ticker(Step step)
      : fiber_(spawn([this, step] {
          for (;; ++ticks_) step();
        })) {}
  ticker(const ticker&) = delete;
  ~ticker() { fiber_.kill(); }
  long ticks() const { return ticks_; }

 private:
  long ticks_ = 0;
  fiber<> fiber_;
};

void sleep_a_little() { sleep(1ms); }

/// Work on threads that goes on when the test allows it.
struct gate {
  std::counting_semaphore<> open{0};
  std::atomic<int> begun{0};

  void pass() {
    ++begun;
    open.acquire();
  }
};

std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST_F(slow_disk_test, fifos_whose_writers_are_late_stop_their_readers_only) {
  const temporary_directory folder;
  constexpr int count = 10;
  std::vector<std::string> paths;
  std::vector<int> done;
  group readers;
  for (int i = 0; i < count; ++i) {
    paths.push_back(folder / std::to_string(i));
    ASSERT_EQ(::mkfifo(paths.back().c_str(), 0600), 0);
    readers.spawn([&, i] {
      EXPECT_EQ(read_file(paths[static_cast<std::size_t>(i)]), std::to_string(i));
      done.push_back(i);
    });
  }
  const ticker other(sleep_a_little);
  write_file(folder / "plain", "goes on");
  EXPECT_EQ(read_file(folder / "plain"), "goes on");
  EXPECT_TRUE(eventually([&] { return other.ticks() >= 100; }));
  EXPECT_TRUE(done.empty());
  std::vector<int> expected = numbers(count);
  std::reverse(expected.begin(), expected.end());
  for (const int i : expected) {
    offload([&] {  // a plain program: its open waits for the reader
      const descriptor late(::open(paths[static_cast<std::size_t>(i)].c_str(), O_WRONLY));
      const std::string text = std::to_string(i);
      EXPECT_EQ(::write(late.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    });
    EXPECT_TRUE(eventually([&] { return done.size() == static_cast<std::size_t>(count - i); }));
  }
  readers.join();
  EXPECT_EQ(done, expected);
}

/// A file past the page cache where the file system can do that.
file open_uncached(const std::string& path) {
  std::error_code ec;
  const open_options how{.write = true, .create = true, .flags = O_DIRECT};
  file opened = file::open(path, how, ec);
  return ec ? file::open(path, {.write = true, .create = true}) : std::move(opened);
}

TEST_F(slow_disk_test, each_large_write_and_sync_lets_others_run) {
  const temporary_directory folder;
  file out = open_uncached(folder / "large");
  constexpr std::size_t block_bytes = 1 << 20;
  constexpr std::size_t alignment = 4096;
  constexpr int blocks = 32;
  constexpr long ticks_wanted = 10'000;
  const std::unique_ptr<char, decltype(&std::free)> block(
      static_cast<char*>(std::aligned_alloc(alignment, block_bytes)), std::free);
  std::fill_n(block.get(), block_bytes, 'x');
  const ticker other([] { yield(); });
  int calls = 0;
  int calls_alone = 0;
  const stopwatch watch;
  while ((other.ticks() < ticks_wanted || calls < blocks) && watch.elapsed() < 60s) {
    const long before = other.ticks();
    out.pwrite(block.get(), block_bytes, static_cast<off_t>(block_bytes) * (calls % blocks));
    const long between = other.ticks();
    out.fsync();
    calls_alone += (between == before) + (other.ticks() == between);
    ++calls;
  }
  // Another thread may have done a call before this one, preempted, gets to waiting for it
  EXPECT_LT(calls_alone, calls) << "of " << 2 * calls << " nobody else could run meanwhile";
  EXPECT_GE(other.ticks(), ticks_wanted);
}

TEST_F(slow_disk_test, more_long_calls_than_threads_stop_no_timers_and_begin_in_order) {
  constexpr int threads = 8;
  constexpr int calls = 3 * threads;
  gate work;
  std::vector<int> begun(calls, -1);
  group callers;
  for (int i = 0; i < calls; ++i) {
    callers.spawn([&, i] {
      offload([&, i] {
        begun[static_cast<std::size_t>(work.begun.load())] = i;
        work.pass();
      });
    });
    // One after another, while there are threads
    EXPECT_TRUE(eventually([&] { return work.begun == std::min(i + 1, threads); }));
  }
  const ticker other(sleep_a_little);
  EXPECT_TRUE(eventually([&] { return other.ticks() >= 100; }));
  EXPECT_EQ(work.begun, threads) << "the others wait for a thread";
  for (int next = threads + 1; next <= calls; ++next) {
    work.open.release();
    EXPECT_TRUE(eventually([&] { return work.begun == next; }));
  }
  const long before = other.ticks();
  EXPECT_TRUE(eventually([&] { return other.ticks() >= before + 100; }));
  work.open.release(threads);
  callers.join();
  EXPECT_EQ(begun, numbers(calls));
}

/// Files while the only thread for blocking work is busy: 0, or what went wrong.
int files_beside_a_busy_thread() {
  const temporary_directory folder;
  file out = file::open(folder / "data", {.read = true, .write = true, .create = true});
  constexpr int calls = 20;
  constexpr std::size_t size = 100'000;  // too much for a look at the page cache
  const std::string block(size, 'y');
  gate work;
  fiber<> busy = spawn([&] { offload([&] { work.pass(); }); });
  if (!eventually([&] { return work.begun == 1; })) return 1;
  std::vector<int> done;
  std::vector<fiber<>> writers;
  for (int i = 0; i < calls; ++i) {
    writers.push_back(spawn([&, i] {
      out.pwrite(block.data(), size, static_cast<off_t>(size) * i);
      done.push_back(i);
    }));
  }
  {
    const ticker other(sleep_a_little);
    if (!eventually([&] { return other.ticks() >= 50; })) return 2;
  }
  if (backend() == std::string_view("epoll")) {
    if (!done.empty()) return 3;  // they stand behind the long one
    work.open.release();
    if (joinall(writers, 20s) != calls) return 4;
    if (done != numbers(calls)) return 5;
  } else {
    if (joinall(writers, 20s) != calls) return 6;  // the ring needs no thread
    work.open.release();
  }
  busy.join();
  return out.size() == size * calls ? 0 : 7;
}

TEST_F(slow_disk_process_test, file_calls_behind_a_long_one_finish_in_order_or_need_no_thread) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_OFFLOAD_THREADS", "1", 1);
        leave(files_beside_a_busy_thread());
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coir::test
