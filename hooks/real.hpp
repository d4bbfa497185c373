/// The real functions behind the hooks: libc's own, or those of another interposer that stands
/// behind coir.
///
/// `real::recv(...)` calls the next definition of recv. All are looked up by a constructor; one
/// that is called earlier is looked up there and then. A hook that is entered while this thread is
/// inside that look-up (dlsym may allocate, and an allocator may read a file) makes the plain
/// system call instead. Nothing here allocates, takes a lock or needs a constructor: hooks run
/// before ours, inside malloc, in signal handlers and between fork and exec.
#pragma once

#include "hooks/stand_in.hpp"

#include <atomic>

#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace coir::hooks {

/// The next definition of `name` in the dynamic linker's order after this library; null when there
/// is none, and while this thread is already looking one up. Leaves errno alone.
void* find_next(const char* name) noexcept;
/// Says that libc lacks `name` and ends the process.
[[noreturn]] void report_missing(const char* name) noexcept;
/// True while this thread is inside find_next.
bool is_looking_up() noexcept;

/// The system call that stands in for a real function.
template <long Number>
struct system_call {};
/// Marks a function that libc must have and that no system call replaces.
struct required {};

/// One real function.
template <class Signature>
class real_function;

template <class Result, class... Args, bool IsNoexcept>
class real_function<Result(Args...) noexcept(IsNoexcept)> {
 public:
  using pointer = Result (*)(Args...) noexcept(IsNoexcept);

  /// An optional function: `fallback` is called where libc does not have it, and while it is being
  /// looked up.
  constexpr real_function(const char* name, pointer fallback) noexcept
      : name_(name), fallback_(fallback) {}
  template <long Number>
  constexpr real_function(const char* name, system_call<Number>) noexcept
      : real_function(name, &call_kernel<Number>) {}
  constexpr real_function(const char* name, required) noexcept
      : real_function(name, pointer{nullptr}) {}

  Result operator()(Args... args) noexcept(IsNoexcept) { return get()(args...); }

  /// The address to call.
  pointer get() noexcept {
    const pointer found = address_.load(
        std::memory_order_relaxed);  // an address that is the same for all who find it
    return found ? found : look_up();
  }

 private:
  template <long Number>
  static Result call_kernel(Args... args) noexcept(IsNoexcept) {
    return static_cast<Result>(finish(kernel::call(Number, args...)));
  }

  [[gnu::noinline]] pointer look_up() noexcept {
    if (is_looking_up() && fallback_) return fallback_;
    pointer found = reinterpret_cast<pointer>(find_next(name_));
    if (!found) found = fallback_;
    if (!found) report_missing(name_);
    address_.store(found, std::memory_order_relaxed);
    return found;
  }

  const char* name_;
  pointer fallback_;
  std::atomic<pointer> address_{nullptr};
};

/// Every real function: X(name, what stands in for it).
#define COIR_REAL_FUNCTIONS(X)                   \
  X(accept, system_call<SYS_accept>{})           \
  X(accept4, system_call<SYS_accept4>{})         \
  X(connect, system_call<SYS_connect>{})         \
  X(recv, &stand_in::recv)                       \
  X(recvfrom, system_call<SYS_recvfrom>{})       \
  X(recvmsg, system_call<SYS_recvmsg>{})         \
  X(recvmmsg, system_call<SYS_recvmmsg>{})       \
  X(send, &stand_in::send)                       \
  X(sendto, system_call<SYS_sendto>{})           \
  X(sendmsg, system_call<SYS_sendmsg>{})         \
  X(sendmmsg, system_call<SYS_sendmmsg>{})       \
  X(read, system_call<SYS_read>{})               \
  X(readv, system_call<SYS_readv>{})             \
  X(write, system_call<SYS_write>{})             \
  X(writev, system_call<SYS_writev>{})           \
  X(pread, system_call<SYS_pread64>{})           \
  X(pwrite, system_call<SYS_pwrite64>{})         \
  X(preadv, system_call<SYS_preadv>{})           \
  X(pwritev, system_call<SYS_pwritev>{})         \
  X(fsync, system_call<SYS_fsync>{})             \
  X(fdatasync, system_call<SYS_fdatasync>{})     \
  X(close, system_call<SYS_close>{})             \
  X(dup2, &stand_in::dup2)                       \
  X(dup3, system_call<SYS_dup3>{})               \
  X(close_range, system_call<SYS_close_range>{}) \
  X(closefrom, &stand_in::closefrom)             \
  X(poll, &stand_in::poll)                       \
  X(ppoll, &stand_in::ppoll)                     \
  X(select, &stand_in::select)                   \
  X(pselect, &stand_in::pselect)                 \
  X(epoll_wait, &stand_in::epoll_wait)           \
  X(epoll_pwait, &stand_in::epoll_pwait)         \
  X(epoll_pwait2, &stand_in::epoll_pwait2)       \
  X(sleep, &stand_in::sleep)                     \
  X(usleep, &stand_in::usleep)                   \
  X(nanosleep, system_call<SYS_nanosleep>{})     \
  X(clock_nanosleep, &stand_in::clock_nanosleep) \
  X(sched_yield, system_call<SYS_sched_yield>{}) \
  X(getaddrinfo, required{})                     \
  X(getnameinfo, required{})                     \
  X(gethostbyname, required{})                   \
  X(gethostbyname2, required{})                  \
  X(gethostbyaddr, required{})                   \
  X(gethostbyname_r, required{})                 \
  X(gethostbyname2_r, required{})                \
  X(gethostbyaddr_r, required{})

namespace real {
// A function type as template argument loses its attributes (nonnull and the like), which is no
// loss here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
#define COIR_DECLARE_REAL(name, fallback) \
  inline constinit real_function<decltype(::name)> name{#name, fallback};
COIR_REAL_FUNCTIONS(COIR_DECLARE_REAL)
#undef COIR_DECLARE_REAL
#pragma GCC diagnostic pop
}  // namespace real

}  // namespace coir::hooks
