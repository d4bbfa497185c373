// The end of a descriptor: whoever waits for it, on whatever worker, wakes with EBADF before it
// goes, because the kernel would let him wait for a file that nobody can reach any more.
//
// These hooks differ from the others in two ways. A thread that is no worker wakes the waiters too.
// And they must know a vfork child, which runs in our memory with descriptors of its own: what it
// closes stays open here, and a fiber of ours would wake for nothing. It is told by its process
// number.
#include "hooks/hook.hpp"
#include "runtime/io/io.hpp"

#include <atomic>

#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <unistd.h>

using namespace coir;
using namespace coir::hooks;

namespace {

constinit std::atomic<pid_t> owner{
    0};  // the process whose memory this is; 0 until the constructor has run

void remember_process() noexcept { owner.store(::getpid(), std::memory_order_relaxed); }

[[gnu::constructor]] void watch_forks() noexcept {
  remember_process();
  pthread_atfork(nullptr, nullptr, &remember_process);
}

/// True in a vfork child, and in one made by a bare clone.
bool is_borrowed_memory() noexcept {
  const pid_t known = owner.load(std::memory_order_relaxed);
  return known != 0 && known != ::getpid();
}

/// True when dup2 or dup3 is going to close `to`.
bool replaces(int from, int to) noexcept {
  return from != to && to >= 0 && ::fcntl(from, F_GETFD) >= 0 && !is_borrowed_memory();
}

/// True for descriptors of the runtime of threads, which the program does not know: those who close
/// all that there are must not meet them.
bool is_hidden(int fd) noexcept {
  io::thread_scheduler* const threads = io::registered_threads();
  const auto number = static_cast<unsigned>(fd);
  return threads && threads->hidden_descriptor(number, number) >= 0;
}

/// Calls `close_part(first, last)` for each part of a range between hidden descriptors; the first
/// error ends it.
template <class ClosePart>
int around_hidden(unsigned first, unsigned last, ClosePart close_part) noexcept {
  io::thread_scheduler* const threads = io::registered_threads();
  while (first <= last) {
    const int hidden = threads ? threads->hidden_descriptor(first, last) : -1;
    if (hidden < 0) return close_part(first, last);
    const auto at = static_cast<unsigned>(hidden);
    if (at > first && close_part(first, at - 1) != 0) return -1;
    first = at + 1;
  }
  return 0;
}

void forget_from(unsigned first, unsigned last) noexcept {
  if (first <= last && !is_borrowed_memory()) io::forget_range(first, last);
}

}  // namespace

/// hook: any descriptor: never waits; who waits for the descriptor wakes with `EBADF`
COIR_HOOK int close(int fd) {
  if (fd < 0 || is_borrowed_memory()) return real::close(fd);
  if (is_hidden(fd)) return finish(-EBADF);
  if (on_fiber_or_cancelled()) return finish(io::close(fd));
  io::forget(fd);
  return real::close(fd);
}
COIR_HOOK int __close(int) COIR_HOOK_ALIAS(close);

/// hook: any descriptor: never waits; who waits for the descriptor wakes with `EBADF`
COIR_HOOK int dup2(int from, int to) noexcept {
  if (replaces(from, to)) io::forget(to);
  return real::dup2(from, to);
}
COIR_HOOK int __dup2(int, int) noexcept COIR_HOOK_ALIAS(dup2);

/// hook: any descriptor: never waits; who waits for the descriptor wakes with `EBADF`
COIR_HOOK int dup3(int from, int to, int flags) noexcept {
  if ((flags & ~O_CLOEXEC) == 0 && replaces(from, to)) io::forget(to);
  return real::dup3(from, to, flags);
}

/// hook: any descriptor: never waits; who waits for the descriptor wakes with `EBADF`
COIR_HOOK int close_range(unsigned first, unsigned last, int flags) noexcept {
  if ((flags & ~static_cast<int>(CLOSE_RANGE_UNSHARE)) == 0) forget_from(first, last);
  if (first > last) return real::close_range(first, last, flags);
  return around_hidden(first, last, [flags](unsigned from, unsigned to) {
    return real::close_range(from, to, flags);
  });
}

/// hook: any descriptor: never waits; who waits for the descriptor wakes with `EBADF`
COIR_HOOK void closefrom(int first) noexcept {
  const unsigned from = first < 0 ? 0U : static_cast<unsigned>(first);
  forget_from(from, ~0U);
  const bool is_all_visible =
      !io::registered_threads() || io::registered_threads()->hidden_descriptor(from, ~0U) < 0;
  if (is_all_visible) {
    real::closefrom(first);
  } else {
    around_hidden(from, ~0U,
                  [](unsigned low, unsigned high) { return real::close_range(low, high, 0); });
  }
}
