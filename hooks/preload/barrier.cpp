// Barriers. libc keeps those who wait where nobody else can wake them, so those of one process are
// made anew here, in the program's own object; also before the first fiber, and for native threads.
// Those that processes share stay libc's.
//
// Invariants
//   1 The arrivals are counted through; the n-th round is over when `released` has reached
//     n * count.
//   2 A thread is counted in `inside` as long as it looks at the object: destroy waits for that,
//     so that the object may go as soon as one thread has come out of the wait.
#include "hooks/preload/waiting.hpp"
#include "hooks/threads/parking_lot.hpp"

#include <climits>
#include <new>

COIR_DEFINE_REAL(pthread_barrier_init);
COIR_DEFINE_REAL(pthread_barrier_wait);
COIR_DEFINE_REAL(pthread_barrier_destroy);

using namespace coir;
using namespace coir::hooks;

namespace {

struct barrier {
  std::atomic<std::uint64_t> arrived{0};
  unsigned count = 0;
  int sharing = 0;  ///< at the place of libc's own, which is not 0 where processes share it
  std::atomic<std::uint64_t> released{0};
  std::atomic<unsigned> inside{0};
};
static_assert(sizeof(barrier) <= sizeof(pthread_barrier_t));
static_assert(offsetof(barrier, sharing) == 12);

barrier& at(pthread_barrier_t* object) noexcept { return *reinterpret_cast<barrier*>(object); }

bool is_shared(const pthread_barrierattr_t* attributes) noexcept {
  int sharing = PTHREAD_PROCESS_PRIVATE;
  if (attributes) ::pthread_barrierattr_getpshared(attributes, &sharing);
  return sharing == PTHREAD_PROCESS_SHARED;
}

void release(barrier& b, std::uint64_t arrivals) noexcept {
  std::uint64_t before = b.released.load(std::memory_order_relaxed);
  while (before < arrivals && !b.released.compare_exchange_weak(before, arrivals)) continue;
  threads::wake_at(&b, threads::everybody);
}

void leave(barrier& b) noexcept {
  if (b.inside.fetch_sub(1) == 1) threads::wake_at(&b.inside, threads::everybody);
}

}  // namespace

/// hook: locks: makes a barrier of ours, unless processes share it
COIR_HOOK int pthread_barrier_init(pthread_barrier_t* object,
                                   const pthread_barrierattr_t* attributes,
                                   unsigned count) noexcept {
  if (is_shared(attributes)) return real::pthread_barrier_init(object, attributes, count);
  if (count == 0 || count > INT_MAX) return EINVAL;
  new (object) barrier;
  at(object).count = count;
  return 0;
}

/// hook: locks: parks the fiber until enough have arrived
COIR_HOOK int pthread_barrier_wait(pthread_barrier_t* object) noexcept {
  barrier& b = at(object);
  if (b.sharing != 0) return wait_in_kernel([=] { return real::pthread_barrier_wait(object); });
  b.inside.fetch_add(1);
  const std::uint64_t ticket = b.arrived.fetch_add(1) + 1;
  const std::uint64_t end_of_round = (ticket + b.count - 1) / b.count * b.count;
  const bool is_last = ticket == end_of_round;
  if (is_last) release(b, end_of_round);
  auto is_closed = [&]() noexcept { return b.released.load() < end_of_round; };
  while (is_closed()) threads::wait_at(&b, {}, is_closed);
  leave(b);
  return is_last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

/// hook: locks: waits until nobody looks at the barrier any more
COIR_HOOK int pthread_barrier_destroy(pthread_barrier_t* object) noexcept {
  barrier& b = at(object);
  if (b.sharing != 0) return real::pthread_barrier_destroy(object);
  auto is_used = [&]() noexcept { return b.inside.load() > 0; };
  while (is_used()) threads::wait_at(&b.inside, {}, is_used);
  return 0;
}
