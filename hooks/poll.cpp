// Waiting for several descriptors. A call on a fiber fails with EINTR only by way of its signal
// mask (signal_window.hpp); a handler that runs meanwhile does not end the wait.
#include "hooks/chk.hpp"
#include "hooks/hook.hpp"
#include "hooks/signal_window.hpp"
#include "hooks/time_limit.hpp"
#include "runtime/io/io.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>

using namespace coir;
using namespace coir::hooks;

namespace {

constexpr nfds_t descriptors_max =
    1 << 24;  // far above any RLIMIT_NOFILE; keeps sizes from overflowing

struct free_memory {
  void operator()(void* memory) const noexcept { std::free(memory); }
};
/// Zeroed memory for `count` elements; null when there is none.
template <class T>
std::unique_ptr<T[], free_memory> allocate(std::size_t count) noexcept {
  return std::unique_ptr<T[], free_memory>(static_cast<T*>(std::calloc(count, sizeof(T))));
}

int poll_with_mask(pollfd* fds, nfds_t count, detail::deadline until,
                   const sigset_t* mask) noexcept {
  const signal_window window(mask);
  if (window.error()) return window.error();
  if (!window.is_open()) return io::poll(fds, count, until);
  if (count > descriptors_max) return -EINVAL;
  const auto all = allocate<pollfd>(count + 1);
  if (!all) return -ENOMEM;
  std::copy_n(fds, count, all.get());
  all[count] = {window.fd(), POLLIN, 0};
  const int ready = io::poll(all.get(), count + 1, until);
  if (ready < 0) return ready;
  std::copy_n(all.get(), count, fds);
  const bool is_pending = all[count].revents != 0;
  if (is_pending && ready == 1) return window.deliver();
  return ready - is_pending;
}

int epoll_with_mask(int fd, epoll_event* events, int capacity, detail::deadline until,
                    const sigset_t* mask) noexcept {
  const signal_window window(mask);
  if (window.error()) return window.error();
  if (!window.is_open()) return io::epoll_wait(fd, events, capacity, until);
  for (;;) {  // another thread may take the events between the two calls
    const int count = io::epoll_wait(fd, events, capacity, 0);
    if (count != 0) return count;
    pollfd both[] = {{fd, POLLIN, 0}, {window.fd(), POLLIN, 0}};
    const int ready = io::poll(both, 2, until);
    if (ready <= 0) return ready;
    if (both[0].revents == 0) return window.deliver();
  }
}

constexpr int bits_per_word = 8 * sizeof(fd_mask);

/// A copy of the first `count` bits of a set, with room for `capacity` of them; empty for a null
/// set or no memory.
std::unique_ptr<fd_mask[], free_memory> widened(const fd_set* set, int count,
                                                int capacity) noexcept {
  if (!set) return nullptr;
  auto copy = allocate<fd_mask>(capacity / bits_per_word + 1);
  if (copy) std::copy_n(set->fds_bits, (count + bits_per_word - 1) / bits_per_word, copy.get());
  return copy;
}

void copy_back(fd_set* set, const fd_mask* words, int count) noexcept {
  if (set) std::copy_n(words, (count + bits_per_word - 1) / bits_per_word, set->fds_bits);
}

int select_with_mask(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                     detail::deadline until, const sigset_t* mask) noexcept {
  const signal_window window(mask);
  if (window.error()) return window.error();
  if (!window.is_open()) return io::select(count, readable, writable, exceptional, until);
  if (count < 0) return -EINVAL;
  const int signal_fd = window.fd();
  const int wide = std::max(count, signal_fd + 1);
  auto in = readable ? widened(readable, count, wide) : allocate<fd_mask>(wide / bits_per_word + 1);
  const auto out = widened(writable, count, wide);
  const auto exception = widened(exceptional, count, wide);
  if (!in || (writable && !out) || (exceptional && !exception)) return -ENOMEM;
  fd_mask& word = in[signal_fd / bits_per_word];
  const fd_mask bit = static_cast<fd_mask>(1UL << (signal_fd % bits_per_word));
  word |= bit;

  const int ready =
      io::select(wide, reinterpret_cast<fd_set*>(in.get()), reinterpret_cast<fd_set*>(out.get()),
                 reinterpret_cast<fd_set*>(exception.get()), until);
  if (ready < 0) return ready;
  const bool is_pending = word & bit;
  if (is_pending && ready == 1) return window.deliver();
  word &= ~bit;
  copy_back(readable, in.get(), count);
  copy_back(writable, out.get(), count);
  copy_back(exceptional, exception.get(), count);
  return ready - is_pending;
}

}  // namespace

/// hook: several descriptors: readiness of any
COIR_HOOK int poll(pollfd* fds, nfds_t count, int timeout_ms) {
  if (!on_fiber_or_cancelled()) return real::poll(fds, count, timeout_ms);
  return finish(io::poll(fds, count, deadline_in_ms(timeout_ms)));
}
COIR_HOOK int __poll(pollfd*, nfds_t, int) COIR_HOOK_ALIAS(poll);

/// hook: several descriptors: readiness of any
COIR_HOOK int __poll_chk(pollfd* fds, nfds_t count, int timeout_ms, size_t capacity) {
  check_capacity(count, capacity / sizeof *fds);
  return poll(fds, count, timeout_ms);
}

/// hook: several descriptors: readiness of any
COIR_HOOK int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (!on_fiber_or_cancelled()) return real::ppoll(fds, count, timeout, mask);
  if (timeout && !is_valid(*timeout)) return finish(-EINVAL);
  return finish(poll_with_mask(fds, count, deadline_in(timeout), mask));
}

/// hook: several descriptors: readiness of any
COIR_HOOK int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
                          size_t capacity) {
  check_capacity(count, capacity / sizeof *fds);
  return ppoll(fds, count, timeout, mask);
}

/// hook: several descriptors: readiness of any; sets longer than `FD_SETSIZE` work
COIR_HOOK int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                     timeval* timeout) {
  if (!on_fiber_or_cancelled())
    return real::select(count, readable, writable, exceptional, timeout);
  if (timeout && !is_valid(*timeout)) return finish(-EINVAL);
  const detail::deadline until = deadline_in(timeout);
  const int ready = io::select(count, readable, writable, exceptional, until);
  if (timeout) {  // Linux tells how much time is left, and programs use it
    const timespec left =
        to_timespec(until == detail::never ? timeout->tv_sec * second_ns : left_ns(until));
    *timeout = {left.tv_sec, left.tv_nsec / 1000};
  }
  return finish(ready);
}
COIR_HOOK int __select(int, fd_set*, fd_set*, fd_set*, timeval*) COIR_HOOK_ALIAS(select);

/// hook: several descriptors: readiness of any; sets longer than `FD_SETSIZE` work
COIR_HOOK int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                      const timespec* timeout, const sigset_t* mask) {
  if (!on_fiber_or_cancelled())
    return real::pselect(count, readable, writable, exceptional, timeout, mask);
  if (timeout && !is_valid(*timeout)) return finish(-EINVAL);
  return finish(
      select_with_mask(count, readable, writable, exceptional, deadline_in(timeout), mask));
}

/// hook: several descriptors: readiness of the program's own epoll descriptor
COIR_HOOK int epoll_wait(int fd, epoll_event* events, int capacity, int timeout_ms) {
  if (!on_fiber_or_cancelled()) return real::epoll_wait(fd, events, capacity, timeout_ms);
  return finish(io::epoll_wait(fd, events, capacity, deadline_in_ms(timeout_ms)));
}

/// hook: several descriptors: readiness of the program's own epoll descriptor
COIR_HOOK int epoll_pwait(int fd, epoll_event* events, int capacity, int timeout_ms,
                          const sigset_t* mask) {
  if (!on_fiber_or_cancelled()) return real::epoll_pwait(fd, events, capacity, timeout_ms, mask);
  return finish(epoll_with_mask(fd, events, capacity, deadline_in_ms(timeout_ms), mask));
}

/// hook: several descriptors: readiness of the program's own epoll descriptor
COIR_HOOK int epoll_pwait2(int fd, epoll_event* events, int capacity, const timespec* timeout,
                           const sigset_t* mask) {
  if (!on_fiber_or_cancelled()) return real::epoll_pwait2(fd, events, capacity, timeout, mask);
  if (timeout && !is_valid(*timeout)) return finish(-EINVAL);
  return finish(epoll_with_mask(fd, events, capacity, deadline_in(timeout), mask));
}
