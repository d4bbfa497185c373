/// Calls that simply block, as the hooks of the preload library make them.
#pragma once

#include "hooks/preload/preload.hpp"

#include <cerrno>

#include <pthread.h>

namespace coir::hooks {

/// Makes `call` without a token: the fiber keeps its carrier, and the others run on another one. A
/// signal that is sent to the fiber meanwhile interrupts the call in the kernel. Returns what the
/// call returned, with the errno that it left.
template <class Call>
auto in_region(Call call) -> decltype(call()) {
  decltype(call()) value;
  int error = 0;
  {
    const threads::region without_token;
    value = call();
    error = errno;
  }
  errno = error;
  return value;
}

/// For hooks of cancellation points before they try: ends the thread that has been cancelled.
inline void act_on_cancel(const threads::thread_fiber& self) {
  if (__builtin_expect(threads::is_cancelled(self), false)) ::pthread_testcancel();
}

/// A descriptor that a hook waits for, which may be a duplicate when its wait is over.
struct awaited_descriptor {
  int fd;
  const int given;

  explicit awaited_descriptor(int number) noexcept : fd(number), given(number) {}
  ~awaited_descriptor() {
    if (fd != given) kernel::close(fd);
  }
  awaited_descriptor(const awaited_descriptor&) = delete;
  awaited_descriptor& operator=(const awaited_descriptor&) = delete;
};

}  // namespace coir::hooks
