/// What a worker counts. Each counter is written by the worker's own thread, and read by any.
#pragma once

#include <coir/detail/clock.hpp>

#include <atomic>
#include <cstdint>

namespace coir::detail {

/// A count with one writer: its addition is no atomic instruction.
class counter {
 public:
  /// Release pairs with the acquire of read(): who sees a count sees what came before it.
  void add(std::uint64_t n = 1) noexcept {
    count_.store(count_.load(std::memory_order_relaxed) + n, std::memory_order_release);
  }
  /// As add(), for who knows the sum.
  void set(std::uint64_t sum) noexcept { count_.store(sum, std::memory_order_release); }
  std::uint64_t read() const noexcept { return count_.load(std::memory_order_acquire); }

 private:
  std::atomic<std::uint64_t> count_{0};
};

/// How long a worker has slept in all, the present sleep included. One word, so that readers never
/// see a half of a change: the sum, less the beginning of the present sleep. The sum never exceeds
/// the time since the worker began, so the word is negative exactly while it sleeps.
class sleep_clock {
 public:
  /// Both take real_now_ns().
  void begin(deadline now) noexcept {
    balance_.store(balance_.load(std::memory_order_relaxed) - now, std::memory_order_release);
  }
  /// Sequentially consistent, as is the look of who believes that all workers sleep.
  void end(deadline now) noexcept {
    balance_.store(balance_.load(std::memory_order_relaxed) + now, std::memory_order_seq_cst);
  }
  void reset() noexcept { balance_.store(0, std::memory_order_release); }
  bool is_running() const noexcept { return balance_.load(std::memory_order_seq_cst) < 0; }
  /// In ns.
  std::int64_t read() const noexcept {
    const std::int64_t seen = balance_.load(std::memory_order_acquire);
    return seen < 0 ? seen + real_now_ns() : seen;
  }

 private:
  std::atomic<std::int64_t> balance_{0};
};

struct worker_counters {
  counter switches;        ///< a fiber gave up the worker, and another went on
  counter turns_kept;      ///< it gave up the worker, and went on itself
  counter wakes_sent;      ///< to fibers of other workers
  counter wakes_received;  ///< from other threads
  counter steals;          ///< fibers begun here that were to begin on another worker
  counter polls;           ///< looks at the kernel for events
  counter sleeps;          ///< of those, with leave to wait
  sleep_clock slept;       ///< how long that took
  counter fibers_begun;
  counter fibers_ended;

  /// How often a fiber gave up the worker: parks, yields, ends.
  std::uint64_t turns_given() const noexcept { return switches.read() + turns_kept.read(); }
  /// When a new life begins; a reader may still look at the one before.
  void reset() noexcept;
};

inline constexpr counter worker_counters::*plain_counters[] = {
    &worker_counters::switches,     &worker_counters::turns_kept,
    &worker_counters::wakes_sent,   &worker_counters::wakes_received,
    &worker_counters::steals,       &worker_counters::polls,
    &worker_counters::sleeps,       &worker_counters::fibers_begun,
    &worker_counters::fibers_ended,
};

inline void worker_counters::reset() noexcept {
  for (counter worker_counters::*const which : plain_counters) (this->*which).set(0);
  slept.reset();
}

/// What workers counted whose threads have ended. Guarded by the registry's lock.
struct ended_workers {
  worker_counters count;  ///< but not `slept`
  std::int64_t busy_ns = 0;
  std::int64_t slept_ns = 0;
  std::uint64_t how_many = 0;
};

}  // namespace coir::detail
