// Waiting for several descriptors, and for time.
#include "runtime/io/await.hpp"
#include "runtime/io/library_state.hpp"
#include "runtime/io/poll_set.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"

#include <algorithm>
#include <memory>
#include <new>

namespace coir::io {
namespace {

using detail::deadline;
using detail::wait_status;
using detail::worker;

constexpr std::int64_t ns_per_s = 1'000'000'000;

/// Parks until one of the descriptors may be ready; 0, -ETIMEDOUT or another -errno.
int await_any(const pollfd* fds, nfds_t count, deadline until) noexcept {
  if (thread_scheduler* const threads = threads_of_caller()) {
    const int result = threads->await_any(fds, count, until);
    return result == -ERESTART ? -EINTR : result;
  }
  worker& w = *worker::current_or_null();
  const own_library_state kept;
  poll_set set(w, fds, count);
  if (set.error() < 0) return set.error();
  while (!set.is_done()) {
    const wait_status how = w.park(detail::wait_reason::io, until, detail::interruptible::yes);
    if (set.is_done() || how == wait_status::woken) continue;
    return how == wait_status::timed_out ? -ETIMEDOUT : -ECANCELED;
  }
  return set.has_closed() ? -EBADF : 0;
}

/// The entry of the worker's own descriptor, for which a foreign loop waits by a hook; or null.
pollfd* own_entry(pollfd* fds, nfds_t count) noexcept {
  worker* const w = worker::current_or_null();
  if (!w) return nullptr;
  pollfd* const end = fds + count;
  pollfd* const found =
      std::find_if(fds, end, [w](const pollfd& each) { return w->io().is_pollable_fd(each.fd); });
  return found == end ? nullptr : found;
}

/// Waits where such a loop has to: in the kernel, since fibers run in run_once() only.
int block(pollfd* fds, nfds_t count, deadline until) noexcept {
  const kernel::blocking_section others_run;
  for (;;) {
    const std::int64_t left = std::max<std::int64_t>(until - detail::now_ns(), 0);
    timespec limit{left / ns_per_s, left % ns_per_s};
    const int ready = kernel::ppoll(fds, count, until == detail::never ? nullptr : &limit);
    if (ready != -EINTR) return ready;
  }
}

/// A loop that waits although its fibers have something to do is sent back to run_once().
int block_in_foreign_loop(pollfd& own, pollfd* fds, nfds_t count, deadline until) noexcept {
  if (worker::current_or_null()->is_in_foreign_loop()) return block(fds, count, until);
  own.revents = POLLIN;
  return 1;
}

/// Marks every descriptor that no longer is one, as the kernel would; the others as they are.
int poll_after_close(pollfd* fds, nfds_t count) noexcept {
  const int ready = kernel::poll_now(fds, count);
  if (ready != 0) return ready;
  return -EBADF;  // the number is in use again already: the caller must not take it for the old one
}

}  // namespace

int wait_ready(int fd, short events, deadline until) noexcept {
  if (fd < 0) return -EBADF;  // poll passes it over, and would wait for nothing
  pollfd one{fd, events, 0};
  const int ready = poll(&one, 1, until);
  if (ready < 0) return ready;
  if (ready == 0) return -ETIMEDOUT;
  return one.revents & POLLNVAL ? -EBADF : one.revents;
}

int poll(pollfd* fds, nfds_t count, deadline until) noexcept {
  for (;;) {
    const int ready = kernel::poll_now(fds, count);
    if (ready != 0 || until == 0) {
      count_call();
      return ready;
    }
    if (pollfd* const own = own_entry(fds, count))
      return block_in_foreign_loop(*own, fds, count, until);
    const int waited = await_any(fds, count, until);
    if (waited == -ETIMEDOUT) return kernel::poll_now(fds, count);
    if (waited == -EBADF) return poll_after_close(fds, count);
    if (waited < 0) return waited;
  }
}

int epoll_wait(int epoll_fd, epoll_event* events, int capacity, deadline until) noexcept {
  const worker* const w = worker::current_or_null();
  if (w && w->is_in_foreign_loop() && until != 0) {  // it watches the worker's descriptor
    pollfd one{epoll_fd, POLLIN, 0};
    block(&one, 1, until);
    until = 0;
  }
  const ssize_t count =
      cooperate(epoll_fd, POLLIN, wait_mode{until, false, false}, [&](int at) -> ssize_t {
        int ready = 0;
        do {  // a signal interrupts even a look that does not wait
          ready = kernel::epoll_wait(at, events, capacity, 0);
        } while (ready == -EINTR);
        return ready == 0 && until != 0 ? -EAGAIN : ready;
      });
  return count == -ETIMEDOUT ? 0 : static_cast<int>(count);
}

int sleep_until(deadline until) noexcept {
  if (thread_scheduler* const threads = threads_of_caller()) return threads->sleep_until(until);
  worker& w = *worker::current_or_null();
  const own_library_state kept;
  wait_status how;
  do {
    how = w.park(detail::wait_reason::sleep, until, detail::interruptible::yes);
  } while (how == wait_status::woken);
  return how == wait_status::timed_out ? 0 : -ECANCELED;
}

int yield() noexcept {
  if (thread_scheduler* const threads = threads_of_caller()) {
    threads->yield();
    return 0;
  }
  worker& w = *worker::current_or_null();
  const own_library_state kept;
  w.yield();
  return w.running->is_interrupted ? -ECANCELED : 0;
}

namespace {

constexpr int bits_per_word = 8 * sizeof(unsigned long);

bool is_in(const fd_set* set, int fd) noexcept {
  if (!set) return false;
  // The set may be longer than fd_set
  const auto* words = reinterpret_cast<const unsigned long*>(set);
  return words[fd / bits_per_word] >> (fd % bits_per_word) & 1;
}

void put(fd_set* set, int fd, bool is_member) noexcept {
  if (!set) return;
  auto& word = reinterpret_cast<unsigned long*>(set)[fd / bits_per_word];
  const unsigned long bit = 1ul << (fd % bits_per_word);
  word = is_member ? word | bit : word & ~bit;
}

short events_of(int fd, const fd_set* readable, const fd_set* writable,
                const fd_set* exceptional) noexcept {
  return static_cast<short>((is_in(readable, fd) ? POLLIN | POLLRDNORM : 0) |
                            (is_in(writable, fd) ? POLLOUT | POLLWRNORM : 0) |
                            (is_in(exceptional, fd) ? POLLPRI : 0));
}

/// Writes the answer of a poll back into the sets; the number of bits set.
int store(const pollfd& p, fd_set* readable, fd_set* writable, fd_set* exceptional) noexcept {
  const bool in = p.events & POLLIN && p.revents & (POLLIN | POLLRDNORM | POLLHUP | POLLERR);
  const bool out = p.events & POLLOUT && p.revents & (POLLOUT | POLLWRNORM | POLLERR);
  const bool except = p.events & POLLPRI && p.revents & POLLPRI;
  put(readable, p.fd, in);
  put(writable, p.fd, out);
  put(exceptional, p.fd, except);
  return in + out + except;
}

}  // namespace

int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
           deadline until) noexcept {
  if (count < 0) return -EINVAL;
  const std::unique_ptr<pollfd[]> fds(new (std::nothrow)
                                          pollfd[static_cast<std::size_t>(count) + 1]);
  if (!fds) return -ENOMEM;
  nfds_t used = 0;
  for (int fd = 0; fd < count; ++fd) {
    if (const short events = events_of(fd, readable, writable, exceptional))
      fds[used++] = {fd, events, 0};
  }
  const int ready = poll(fds.get(), used, until);
  if (ready < 0) return ready;
  int bits = 0;
  for (nfds_t i = 0; i < used; ++i) {
    if (fds[i].revents & POLLNVAL) return -EBADF;
    bits += store(fds[i], readable, writable, exceptional);
  }
  return bits;
}

}  // namespace coir::io
