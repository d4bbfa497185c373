/// Fibers to be begun: the owner pushes and takes at the young end, anybody takes at the old end.
/// After D. Chase and Y. Lev, "Dynamic circular work-stealing deque" (SPAA 2005), with the orders
/// of N. M. Le et al., "Correct and efficient work-stealing for weak memory models" (PPoPP 2013),
/// whose fences are sequentially consistent operations here, since race detectors know no fences.
///
/// Invariants
///   1 top_ only grows; who moves it from t to t + 1, by compare-exchange, has taken entry t. Only
///     the owner writes bottom_.
///   2 Entries lie from top_ up to bottom_. The owner takes the last one by compare-exchange on
///     top_, too, since a thief may want it.
///   3 A ring that was outgrown is kept until the end: a thief may still read from it. What it
///     reads there is right, because an entry never changes while top_ has not passed it.
#pragma once

#include <coir/detail/remote_call.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace coir::detail {

/// `Atomic` and the size of the first ring, a power of two, are others only where a test looks at
/// each of its operations.
template <template <class> class Atomic = std::atomic, std::int64_t EntriesFirst = 256>
class basic_work_deque {
 public:
  basic_work_deque() noexcept = default;
  basic_work_deque(const basic_work_deque&) = delete;
  basic_work_deque& operator=(const basic_work_deque&) = delete;

  /// The owner only. False when there is no memory. Sequentially consistent: the owner may look for
  /// sleepers after it.
  [[nodiscard]] bool push(remote_call& work) noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
    ring* r = ring_.load(std::memory_order_relaxed);
    // Pairs with the compare-exchange of a thief: the place is free when that has been seen
    const std::int64_t top = top_.load(std::memory_order_acquire);
    if (!r || bottom - top > r->mask) {
      r = grow(top, bottom);
      if (!r) return false;
    }
    r->at(bottom).store(&work, std::memory_order_relaxed);
    bottom_.store(bottom + 1, std::memory_order_seq_cst);  // also releases the entry to thieves
    return true;
  }

  /// The owner only: makes room, so that so many pushes cannot fail; false without memory.
  [[nodiscard]] bool reserve(std::int64_t count) noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
    const std::int64_t top = top_.load(std::memory_order_acquire);
    const ring* r = ring_.load(std::memory_order_relaxed);
    while (!r || bottom - top + count > r->mask + 1) {
      r = grow(top, bottom);
      if (!r) return false;
    }
    return true;
  }

  /// The owner only: takes the youngest; null when there is none.
  remote_call* pop() noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed) - 1;
    // Only thieves could have changed top_ since, upwards
    if (top_.load(std::memory_order_relaxed) > bottom) return nullptr;
    // Before the look at top_, so that of a thief and the owner at least one sees the other
    bottom_.store(bottom, std::memory_order_seq_cst);
    std::int64_t top = top_.load(std::memory_order_seq_cst);
    remote_call* work = nullptr;
    if (top <= bottom) {
      work = ring_.load(std::memory_order_relaxed)->at(bottom).load(std::memory_order_relaxed);
      if (top < bottom) return work;
      if (!take(top)) work = nullptr;
    }
    // Release as in push: a thief that sees this store and not that one must see the ring, too
    bottom_.store(bottom + 1, std::memory_order_release);
    return work;
  }

  /// Any thread: takes the oldest; null when there is none.
  remote_call* steal() noexcept {
    for (;;) {
      std::int64_t top = top_.load(std::memory_order_seq_cst);
      if (top >= bottom_.load(std::memory_order_seq_cst)) return nullptr;
      // Acquire: the entries of a grown ring. It is read before the place is taken, after which the
      // owner may use the place anew.
      remote_call* const work =
          ring_.load(std::memory_order_acquire)->at(top).load(std::memory_order_relaxed);
      if (take(top)) return work;
    }
  }

  /// Any thread; how many there were at some moment of the call. Sequentially consistent: who says
  /// that it goes to sleep looks here after that.
  std::size_t size() const noexcept {
    const std::int64_t top = top_.load(std::memory_order_seq_cst);
    const std::int64_t bottom = bottom_.load(std::memory_order_seq_cst);
    return bottom > top ? static_cast<std::size_t>(bottom - top) : 0;
  }
  bool empty() const noexcept { return size() == 0; }

 private:
  struct ring {
    explicit ring(std::int64_t entries)
        : mask(entries - 1), places(new Atomic<remote_call*>[static_cast<std::size_t>(entries)]) {}
    Atomic<remote_call*>& at(std::int64_t i) const noexcept {
      return places[static_cast<std::size_t>(i & mask)];
    }
    const std::int64_t mask;
    const std::unique_ptr<Atomic<remote_call*>[]> places;
  };

  bool take(std::int64_t& top) noexcept {
    return top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst,
                                        std::memory_order_relaxed);
  }

  ring* grow(std::int64_t top, std::int64_t bottom) noexcept {
    ring* const old = ring_.load(std::memory_order_relaxed);
    try {
      auto made = std::make_unique<ring>(old ? 2 * (old->mask + 1) : EntriesFirst);
      for (std::int64_t i = top; i < bottom; ++i) {
        made->at(i).store(old->at(i).load(std::memory_order_relaxed), std::memory_order_relaxed);
      }
      rings_.push_back(std::move(made));
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    // Pairs with the acquire of a thief
    ring_.store(rings_.back().get(), std::memory_order_release);
    return rings_.back().get();
  }

  alignas(64) Atomic<std::int64_t> top_{0};
  alignas(64) Atomic<std::int64_t> bottom_{0};
  Atomic<ring*> ring_{nullptr};
  std::vector<std::unique_ptr<ring>> rings_;  ///< the owner's
};

using work_deque = basic_work_deque<>;

}  // namespace coir::detail
