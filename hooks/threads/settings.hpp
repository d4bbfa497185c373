/// What the environment says about threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coir::threads {

struct thread_settings {
  bool makes_fibers = true;        ///< COIR_MODE: fiber, or thread and off
  int tokens = 1;                  ///< COIR_WORKERS; else the cores of the affinity mask
  int kernel_threads_max = 512;    ///< COIR_KERNEL_THREADS
  std::int64_t monitor_us = 2000;  ///< COIR_MONITOR_US
  std::size_t stack_bytes = 0;     ///< COIR_STACK of a thread that asks for no size; 0: libc's
  const char* report = nullptr;    ///< COIR_REPORT: "1" for stderr, or a file; null: none
};

/// Read from the environment once. Any kernel thread.
const thread_settings& settings() noexcept;
/// To be called before the program can change its environment.
void read_settings() noexcept;

}  // namespace coir::threads
