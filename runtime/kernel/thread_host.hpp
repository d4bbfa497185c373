/// Who runs the program's threads where that is not the kernel.
///
/// Under `coir run` they are fibers, which share a few kernel threads and move between them. A
/// thread that sleeps in a system call of its own would stop one of those, so whatever waits below
/// the hooks asks the host to wait for it. A program may have a second runtime besides that of the
/// preload library, linked statically and perhaps of another version: so the host is a C symbol,
/// which both find, and never changes. One that does more gets another name, beside the old one.
#pragma once

#include <atomic>
#include <cstdint>

namespace coir::kernel {

/// All members may be called by any thread; none throws or touches errno. Deadlines are ns on
/// CLOCK_MONOTONIC; INT64_MAX is no limit.
struct thread_host {
  /// Parks the calling thread until `fd` is readable, the deadline has passed or a signal handler
  /// has run. False, and at once, when the caller is none of the host's threads or `fd` cannot be
  /// awaited: then it has to wait in the kernel.
  bool (*await_readable)(int fd, std::int64_t until);
  /// The same while the word at `word` is `expected`; what ends it is wake(), or nothing at all.
  bool (*await_change)(const std::uint32_t* word, std::uint32_t expected, std::int64_t until);
  /// Wakes up to `how_many` that wait in await_change(); returns how many there were.
  int (*wake)(const std::uint32_t* word, int how_many);
  /// Before and after a system call that blocks: other threads run meanwhile. End only what began.
  bool (*begin_blocking)();
  void (*end_blocking)();
  /// Lets other threads go first when the caller has run for long without waiting.
  void (*give_way)();
  /// To be called before a descriptor is closed that threads of the program may know.
  void (*before_close)(int fd);
  /// How many threads the program has besides the caller, those aside whose names begin with
  /// `but`; -1 when the caller is none of the host's.
  int (*count_others)(const char* but);
};

/// Looks for a host once. Where dlsym may be called: not in a signal handler or inside malloc.
void find_thread_host() noexcept;
/// The host; null where threads are the kernel's, and before somebody has looked. Any thread.
const thread_host* host_of_threads() noexcept;

/// Waits while `word` is `expected`, until `until` at the latest; may return without a cause.
void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::int64_t until) noexcept;
/// Wakes up to `how_many` that wait in wait_while().
void wake_waiters(std::atomic<std::uint32_t>& word, int how_many) noexcept;

/// Around system calls that block.
class blocking_section {
 public:
  blocking_section() noexcept {
    const thread_host* const host = host_of_threads();
    if (host && host->begin_blocking()) host_ = host;
  }
  ~blocking_section() {
    if (host_) host_->end_blocking();
  }
  blocking_section(const blocking_section&) = delete;
  blocking_section& operator=(const blocking_section&) = delete;

 private:
  const thread_host* host_ = nullptr;
};

}  // namespace coir::kernel
