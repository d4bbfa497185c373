/// What another thread of this process does, as the kernel tells it: without disturbing the thread,
/// and through raw system calls only. Any thread may ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>

#include <sys/types.h>

namespace coir::kernel {

/// What a clock shows, in ns; 0 when there is no such clock.
std::int64_t clock_time_ns(clockid_t clock) noexcept;

/// Reads a file, as much as fits, and ends it with a zero; how many bytes, or -errno.
ssize_t read_file(const char* path, char* text, std::size_t size) noexcept;

/// Reads a file below /proc/self/task/`thread`, as much as fits, and ends it with a zero; how many
/// bytes, or -errno.
ssize_t read_thread_file(int thread, const char* name, char* text, std::size_t size) noexcept;

/// What the thread is called; empty when there is no such thread. Throws std::bad_alloc.
std::string name_of_thread(int thread);

/// The state letter: R, S, D, …; '?' when there is no such thread.
char state_of_thread(int thread) noexcept;

/// How long it has had a processor, in ns; 0 when there is no such thread.
std::int64_t cpu_time_of_thread(int thread) noexcept;

/// Where in the kernel a thread is.
struct call_in_progress {
  enum class kind {
    unknown,    ///< the kernel does not tell
    none,       ///< it runs, or waits for a processor
    call,       ///< in the system call `number`
    no_memory,  ///< waits without a call: for a page of memory
  };
  kind what = kind::unknown;
  long number = -1;
  std::uint64_t arguments[6] = {};
};
call_in_progress call_of_thread(int thread) noexcept;

/// True when the thread has blocked the signal, or that cannot be found out.
bool has_blocked_signal(int thread, int signal) noexcept;

/// Copies memory of this process that may change or vanish meanwhile; false when it is not there.
bool read_memory(const void* from, void* to, std::size_t size) noexcept;

}  // namespace coir::kernel
