/// Memory that the kernel wipes in the child of a fork, before any code runs there.
///
/// Everything that the runtime of threads shares between kernel threads lies in such memory. In a
/// child there is one kernel thread, which finds free locks, empty lists and a runtime that is off:
/// no matter what the others were doing at the fork, and however early a handler of the program
/// (pthread_atfork) calls in. The first pthread_create of the child starts a runtime anew.
#pragma once

#include <cstddef>

#include <sys/mman.h>

namespace coir::threads {

inline constexpr std::size_t wiped_page_bytes = 4096;

/// One global object, whole pages for itself. All zeros must be a valid value of T: that is what it
/// begins with and what a child finds.
template <class T>
struct alignas(wiped_page_bytes) wiped {
  T value;

  T* operator->() noexcept { return &value; }
  T& operator*() noexcept { return value; }

  /// To be called once. False when the kernel cannot (before Linux 4.14).
  bool wipe_on_fork() noexcept { return ::madvise(this, sizeof *this, MADV_WIPEONFORK) == 0; }
};

}  // namespace coir::threads
