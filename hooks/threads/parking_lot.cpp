#include "hooks/threads/parking_lot.hpp"

#include "hooks/threads/counters.hpp"
#include "hooks/threads/machine.hpp"
#include "runtime/kernel/calls.hpp"

#include <utility>

namespace coir::threads {
namespace {

// Addresses that share one only make each other's lists longer.
constexpr std::size_t buckets_count = 8192;

constexpr std::uint32_t was_woken = 1;
constexpr std::uint32_t was_cancelled = 2;  ///< and was still linked then

struct bucket;

/// On the stack of the one that waits.
struct lot_waiter {
  std::atomic<bucket*> home{nullptr};  ///< whose list it is in, or was in last
  const void* address = nullptr;       ///< null: not linked any more
  std::uint32_t bits = 0;
  thread_fiber* fiber = nullptr;       ///< null: a native thread, which sleeps on `word`
  std::uintptr_t native = 0;           ///< its thread pointer, when it is cancellable
  std::atomic<std::uint32_t> word{0};  ///< of a native thread: one of the two below, or 0
  lot_waiter* next = nullptr;
  lot_waiter* prev = nullptr;
};

struct alignas(32) bucket {
  lock guard_of_list;
  std::atomic<int> count_of_waiters;
  lot_waiter* first;
  lot_waiter* last;
};

struct lot_state {
  bucket buckets[buckets_count];
};

constinit wiped<lot_state> lot{};

bucket& bucket_of(const void* address) noexcept {
  const auto a = reinterpret_cast<std::uintptr_t>(address);
  return lot->buckets[(a >> 3 ^ a >> 12) % buckets_count];
}

void push(bucket& b, lot_waiter& w) noexcept {
  w.home.store(&b, std::memory_order_relaxed);
  w.next = nullptr;
  w.prev = b.last;
  (b.last ? b.last->next : b.first) = &w;
  b.last = &w;
  b.count_of_waiters.fetch_add(1, std::memory_order_seq_cst);
}

void remove(bucket& b, lot_waiter& w) noexcept {
  (w.prev ? w.prev->next : b.first) = w.next;
  (w.next ? w.next->prev : b.last) = w.prev;
  w.address = nullptr;
  b.count_of_waiters.fetch_sub(1, std::memory_order_relaxed);
}

/// True when the waiter was still linked: nobody has woken it. It may have been moved to another
/// list meanwhile. Whoever woke it holds the lock of that list until it is done with the waiter.
bool unlink(lot_waiter& w) noexcept {
  for (;;) {
    bucket* const b = w.home.load(std::memory_order_relaxed);
    const guard hold(b->guard_of_list);
    if (w.home.load(std::memory_order_relaxed) != b) continue;
    if (!w.address) return false;
    remove(*b, w);
    return true;
  }
}

lot_result wait_natively(lot_waiter& w, const lot_options& options) noexcept {
  for (;;) {
    std::uint32_t word = w.word.load(std::memory_order_acquire);
    if (word == was_woken) break;
    if (word == was_cancelled) {
      kernel::call(SYS_sched_yield);  // libc's signal, which sets the bit, came before the word
      if (!is_cancelled(w.native)) w.word.compare_exchange_strong(word, 0);  // it is disabled
    }
    if (w.native && is_cancelled(w.native))
      return unlink(w) ? lot_result::cancelled : lot_result::woken;
    if (options.until != coir::detail::never && coir::detail::now_ns() >= options.until)
      return unlink(w) ? lot_result::timed_out : lot_result::woken;
    if (word == 0) kernel::futex_wait_until(&w.word, 0, options.until);
  }
  // The waker holds the lock until it is done with the waiter.
  unlink(w);
  return lot_result::woken;
}

lot_result wait_on_fiber(lot_waiter& w, const lot_options& options) noexcept {
  count(counter::address_parks);
  const wake_cause cause = park(*w.fiber, options.until);
  if (!unlink(w)) return lot_result::woken;
  switch (cause) {
    case wake_cause::woken:
      return lot_result::woken;
    case wake_cause::timed_out:
      return lot_result::timed_out;
    case wake_cause::cancelled:
      return lot_result::cancelled;
    case wake_cause::signalled:
      return lot_result::signalled;
  }
  __builtin_unreachable();
}

/// Apart from wake_at, which mostly finds nobody and so needs no registers of its own.
[[gnu::noinline]] int wake_in(bucket& b, const void* address, int how_many,
                              std::uint32_t bits) noexcept {
  int woken = 0;
  const guard hold(b.guard_of_list);
  lot_waiter* next = nullptr;
  for (lot_waiter* w = b.first; w && woken < how_many; w = next) {
    next = w->next;
    if (w->address != address || (w->bits & bits) == 0) continue;
    thread_fiber* const fiber = w->fiber;
    remove(b, *w);
    if (fiber) {
      wake(*fiber);
    } else {
      w->word.store(was_woken, std::memory_order_release);
      kernel::futex_wake(&w->word, 1);
    }
    ++woken;
  }
  return woken;
}

}  // namespace

lot_result wait_at(const void* address, const lot_options& options,
                   bool (*must_wait)(void*) noexcept, void* argument) noexcept {
  lot_waiter w;
  w.address = address;
  w.bits = options.bits;
  w.fiber = current();
  if (w.fiber && w.fiber->handler_depth > 0) w.fiber = nullptr;  // see signals.hpp
  if (w.fiber) prepare_to_park(*w.fiber, options.is_cancellable);
  if (!w.fiber && options.is_cancellable) w.native = thread_pointer();
  {
    bucket& b = bucket_of(address);
    const guard hold(b.guard_of_list);
    push(b, w);
  }
  if (!must_wait(argument)) {
    if (w.fiber) abandon_park(*w.fiber);
    return unlink(w) ? lot_result::refused : lot_result::woken;
  }
  return w.fiber ? wait_on_fiber(w, options) : wait_natively(w, options);
}

int wake_at(const void* address, int how_many, std::uint32_t bits, bool is_ordered) noexcept {
  bucket& b = bucket_of(address);
#if defined(__x86_64__)
  if (!is_ordered) std::atomic_thread_fence(std::memory_order_seq_cst);
  std::atomic_signal_fence(std::memory_order_seq_cst);
#else
  static_cast<void>(is_ordered);
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  if (b.count_of_waiters.load(std::memory_order_relaxed) == 0) return 0;
  return wake_in(b, address, how_many, bits);
}

void interrupt_native_wait(std::uintptr_t thread_pointer) noexcept {
  // The cancellation was noted before. A thread that links itself from here on finds that.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (bucket& b : lot->buckets) {
    if (b.count_of_waiters.load(std::memory_order_relaxed) == 0) continue;
    const guard hold(b.guard_of_list);
    for (lot_waiter* w = b.first; w; w = w->next) {
      if (w->native != thread_pointer) continue;
      w->word.store(was_cancelled, std::memory_order_release);
      kernel::futex_wake(&w->word, 1);
      return;
    }
  }
}

int requeue(const void* from, const void* to, int how_many) noexcept {
  bucket* const a = &bucket_of(from);
  bucket* const b = &bucket_of(to);
  // In the order of their addresses, so that two requeues do not wait for each other.
  bucket* first = a < b ? a : b;
  bucket* second = a < b ? b : a;
  const guard hold_first(first->guard_of_list);
  if (first != second) second->guard_of_list.acquire();
  int moved = 0;
  lot_waiter* next = nullptr;
  lot_waiter* const end_of_list = a->last;
  for (lot_waiter* w = a->first; w && moved < how_many; w = next) {
    next = w == end_of_list ? nullptr : w->next;
    if (w->address != from) continue;
    remove(*a, *w);
    push(*b, *w);
    w->address = to;
    ++moved;
  }
  if (first != second) second->guard_of_list.release();
  return moved;
}

bool start_parking_lot() noexcept { return lot.wipe_on_fork(); }

}  // namespace coir::threads
