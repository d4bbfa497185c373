/// What a worker counts. Each counter is written by the worker's own thread, and read by any.
#pragma once

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
  std::uint64_t read() const noexcept { return count_.load(std::memory_order_acquire); }

 private:
  std::atomic<std::uint64_t> count_{0};
};

struct worker_counters {
  counter turns_given;     ///< how often a fiber gave up the worker: parks, yields, ends
  counter switches;        ///< of those, when another fiber went on
  counter wakes_sent;      ///< to fibers of other workers
  counter wakes_received;  ///< from other threads
  counter steals;          ///< fibers begun here that were to begin on another worker
  counter polls;           ///< looks at the kernel for events
  counter sleeps;          ///< of those, with leave to wait
  counter slept_ns;        ///< how long it has waited, in all
  counter fibers_begun;
  counter fibers_ended;
};

}  // namespace coir::detail
