/// Raw system calls: below the hooks nothing may go through libc, where a preloaded process would
/// meet its own hooks, and nothing may touch errno. Each returns the value or -errno.
#pragma once

#include <sys/syscall.h>

namespace coir::kernel {

/// Makes system call `number`. Arguments are widened to a register each; pointers may be passed as
/// they are.
template <class... Args>
[[gnu::always_inline]] inline long call(long number, Args... args) noexcept {
  static_assert(sizeof...(args) <= 6);
  long a[6] = {(long)args...};  // a C cast: the arguments are integers and pointers alike
#if defined(__x86_64__)
  register long r10 asm("r10") = a[3];
  register long r8 asm("r8") = a[4];
  register long r9 asm("r9") = a[5];
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a[0];
  register long x1 asm("x1") = a[1];
  register long x2 asm("x2") = a[2];
  register long x3 asm("x3") = a[3];
  register long x4 asm("x4") = a[4];
  register long x5 asm("x5") = a[5];
  asm volatile("svc 0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
#else
#error "coir knows the system call convention of x86-64 and aarch64 only"
#endif
}

}  // namespace coir::kernel
