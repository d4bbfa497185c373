/// A machine that runs a small program of a few threads one operation at a time, in whatever order
/// it is told. The threads are contexts on one kernel thread and run real code, whose atomics are
/// model::atomic: each operation on one stops its thread until the machine is told to perform it.
///
/// What it models of memory
///   - memory::sequential: one order of all operations.
///   - memory::store_buffers: as x86 does it (TSO). A store that is not sequentially consistent
///     waits in its thread's buffer, first in, first out, and becomes visible to the others at any
///     later moment; loads of the same thread see it. A sequentially consistent store and each
///     read-modify-write come after all of that.
///   - memory::weak_stores: besides, stores to different places leave the buffer in any order, but
///     one that releases does so after all before it. Loads are never early or stale, and
///     read-modify-writes still come after the thread's earlier stores: so this is weaker than x86,
///     not as weak as ARM.
///   - In each of them it follows which operations synchronise by their memory orders (vector
///     clocks, release sequences as of C++20), so that reading a model::plain value that was not
///     published by an order is a fault, whatever the values were. That multiplies the states and
///     can be left out.
///
/// One execution is determined by the list of choices that it is told, and its fingerprint covers
/// all that its future depends on: memory, buffers, clocks, and of each thread all that it has
/// read. Two executions with equal fingerprints are in the same state (but for a collision of 64
/// bits).
///
/// A thread that is stopped is never unwound: what it has allocated comes out of an arena, which is
/// emptied for the next execution.
#pragma once

#include <boost/context/detail/fcontext.hpp>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

namespace coir::model {

enum class memory : std::uint8_t { sequential, store_buffers, weak_stores };

inline constexpr int threads_max = 4;

/// How many operations of each thread happened before something.
using vector_clock = std::array<std::uint8_t, threads_max>;

/// What is behind a model::atomic.
struct location {
  explicit location(std::uint64_t bits) noexcept;
  location(const location&) = delete;
  location& operator=(const location&) = delete;
  ~location();

  std::uint64_t value;
  vector_clock released{};  ///< what who acquires it synchronises with
  std::uint16_t number;     ///< the how manieth of its execution, for traces
  bool is_dead = false;
};

/// What a thread is about to do.
struct operation {
  enum kind : std::uint8_t {
    load,
    store,
    exchange,
    add,
    bit_or,
    bit_and,
    compare,  ///< and exchange
    await,    ///< until the value is at least `expected`, by an acquiring load
    take,     ///< an exchange, acquiring, once the value is `expected`
    begin     ///< not yet on its way
  };
  kind what = begin;
  bool is_weak = false;      ///< a compare that may fail without a cause
  bool may_give_up = false;  ///< an await that may end without a cause
  std::memory_order order = std::memory_order_seq_cst;
  std::memory_order on_failure = std::memory_order_relaxed;
  location* at = nullptr;
  std::uint64_t operand = 0;
  std::uint64_t expected = 0;
};

/// What came of it.
struct outcome {
  std::uint64_t value = 0;  ///< what was read
  bool is_swapped = false;  ///< by a compare; of an await: whether it saw what it awaited
};

/// What a machine can be told: to perform the operation of a thread, to let it fail without a
/// cause, or to make a buffered store of it visible.
struct choice {
  enum kind : std::uint8_t { step, fail, flush };
  std::uint8_t thread : 3;
  std::uint8_t what : 2;
  std::uint8_t place : 3;  ///< in the buffer
};

class machine {
 public:
  /// `excuses`: how many weak compares and awaits of an execution may end without a cause.
  machine(memory model, int excuses, bool follows_orders);
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;
  ~machine() { current_ = nullptr; }

  /// The one whose execution is under way; null outside.
  static machine* current() noexcept { return current_; }

  /// Begins an execution; `make` builds the objects in the arena, and `run(thread)` is what each of
  /// the threads does then. Both must stay valid until the next.
  template <class Make, class Run>
  void begin(int threads, const Make& make, const Run& run) {
    clear();
    current_ = this;
    is_making_ = true;
    make();
    is_making_ = false;
    argument_ = &run;
    run_ = [](const void* argument, int t) { (*static_cast<const Run*>(argument))(t); };
    start(threads);
  }

  /// What it can be told now. None after a fault.
  std::vector<choice> choices() const;
  /// Does it, and lets the thread go on up to its next operation.
  void take(choice c);
  /// In words.
  std::string describe(choice c, const std::vector<const char*>& names) const;

  std::uint64_t fingerprint() const;
  /// What has gone wrong; else null.
  const char* fault() const noexcept { return fault_; }
  /// All threads have ended, and all their stores are visible.
  bool is_over() const noexcept;
  bool has_ended(int t) const noexcept { return threads_[t].is_over; }

  // For the code that it runs.

  outcome perform(const operation& op);
  /// Something is wrong; does not return in a thread.
  void fail(const char* fault);
  /// In a thread: all that it will do depends only on the place in its code, which has a number of
  /// its own, and `summary`, whatever it has read so far. So states that differ in that become one.
  /// Without effect where orders are followed.
  void settle(int place, std::uint64_t summary);
  /// The calling thread; -1 outside.
  int running() const noexcept { return running_; }
  const vector_clock& now() const noexcept { return threads_[running_].clock; }

  void add_location(location& l) noexcept;
  void remove_location(location& l) noexcept;
  /// Whether it is the code under test that runs.
  bool is_allocating() const noexcept { return is_making_ || running_ >= 0; }
  static void* allocate(std::size_t bytes);
  static bool owns(const void* memory) noexcept;

 private:
  static constexpr std::size_t buffered_max = 8;

  struct buffered {
    location* at;
    std::uint64_t value;
    vector_clock released;
    bool is_release;
  };
  struct thread {
    boost::context::detail::fcontext_t context = nullptr;
    operation next;
    outcome last;
    std::uint64_t history = 0;
    vector_clock clock{};
    bool is_over = false;
    std::vector<buffered> buffer;
  };

  void clear();
  void start(int threads);
  void resume(int t);
  static void enter(boost::context::detail::transfer_t from);
  bool is_possible(const thread& t) const;
  bool may_flush(const thread& t, std::size_t place) const;
  void execute(thread& t, bool fails);
  void execute_directly(const operation& op, outcome& out);
  void write(location& at, std::uint64_t value, const vector_clock& released, bool is_rmw);
  static const buffered* own_store(const thread& t, const location& at);

  static inline machine* current_ = nullptr;

  const memory model_;
  const int excuses_max_;
  const bool follows_orders_;
  int excuses_left_ = 0;
  int threads_count_ = 0;
  int running_ = -1;
  bool is_making_ = false;
  const char* fault_ = nullptr;
  std::uint64_t memory_print_ = 0;
  std::uint16_t locations_ = 0;
  boost::context::detail::fcontext_t scheduler_ = nullptr;
  const void* argument_ = nullptr;
  void (*run_)(const void*, int) = nullptr;
  std::array<thread, threads_max> threads_;
};

/// Stands in for std::atomic.
template <class T>
class atomic {
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);

 public:
  atomic() noexcept : at_(to_bits(T{})) {}
  atomic(T value) noexcept : at_(to_bits(value)) {}

  T load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
    return from_bits(perform({.what = operation::load, .order = order}).value);
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    perform({.what = operation::store, .order = order, .operand = to_bits(value)});
  }
  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(operation::exchange, value, order);
  }
  T fetch_add(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(operation::add, value, order);
  }
  T fetch_or(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(operation::bit_or, value, order);
  }
  T fetch_and(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(operation::bit_and, value, order);
  }
  bool compare_exchange_strong(T& seen, T value, std::memory_order order,
                               std::memory_order on_failure) noexcept {
    return compare(seen, value, order, on_failure, false);
  }
  bool compare_exchange_weak(T& seen, T value, std::memory_order order,
                             std::memory_order on_failure) noexcept {
    return compare(seen, value, order, on_failure, true);
  }
  bool compare_exchange_weak(T& seen, T value, std::memory_order order) noexcept {
    return compare(seen, value, order, std::memory_order_seq_cst, true);
  }

  /// Waits, as the kernel would, until the value is at least `least`; with `may_give_up` perhaps
  /// not so long. What it saw last.
  T await(T least, bool may_give_up = false) noexcept {
    return from_bits(perform({.what = operation::await,
                              .may_give_up = may_give_up,
                              .order = std::memory_order_acquire,
                              .expected = to_bits(least)})
                         .value);
  }
  /// Waits until the value is `when`, and replaces it in the same step.
  void take(T when, T by) noexcept {
    perform({.what = operation::take,
             .order = std::memory_order_acquire,
             .operand = to_bits(by),
             .expected = to_bits(when)});
  }

 private:
  static std::uint64_t to_bits(T value) noexcept {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
  }
  static T from_bits(std::uint64_t bits) noexcept {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  outcome perform(operation op) const noexcept {
    op.at = &at_;
    return machine::current()->perform(op);
  }
  T change(operation::kind what, T value, std::memory_order order) noexcept {
    return from_bits(perform({.what = what, .order = order, .operand = to_bits(value)}).value);
  }
  bool compare(T& seen, T value, std::memory_order order, std::memory_order on_failure,
               bool is_weak) noexcept {
    const outcome out = perform({.what = operation::compare,
                                 .is_weak = is_weak,
                                 .order = order,
                                 .on_failure = on_failure,
                                 .operand = to_bits(value),
                                 .expected = to_bits(seen)});
    if (!out.is_swapped) seen = from_bits(out.value);
    return out.is_swapped;
  }

  mutable location at_;
};

/// A lock, taken in one step when it is free.
class short_lock {
 public:
  void lock() noexcept { is_free_.take(1, 0); }
  void unlock() noexcept { is_free_.exchange(1, std::memory_order_release); }

 private:
  atomic<std::uint32_t> is_free_{1};
};

/// A value that is not atomic: whoever reads or writes it must come after the last write, by some
/// synchronisation, and whoever writes it after the last reads.
template <class T>
class plain {
 public:
  plain() noexcept = default;
  explicit plain(T value) noexcept : value_(value) {}

  T read() noexcept {
    if (machine* const m = machine::current(); m->running() >= 0) {
      if (!is_before(written_)) m->fail("a race: it is read while another thread writes it");
      const auto self = static_cast<std::size_t>(m->running());
      read_[self] = m->now()[self];
    }
    return value_;
  }
  void write(T value) noexcept {
    if (machine* const m = machine::current(); m->running() >= 0) {
      if (!is_before(written_) || !is_before(read_))
        m->fail("a race: it is written while another thread uses it");
      const auto self = static_cast<std::size_t>(m->running());
      written_ = {};
      written_[self] = m->now()[self];
    }
    value_ = value;
  }

 private:
  static bool is_before(const vector_clock& then) noexcept {
    for (std::size_t t = 0; t < then.size(); ++t) {
      if (then[t] > machine::current()->now()[t]) return false;
    }
    return true;
  }

  T value_{};
  vector_clock written_{};
  vector_clock read_{};
};

/// In a thread of a program: what must be so.
inline void require(bool holds, const char* otherwise) {
  if (!holds) machine::current()->fail(otherwise);
}

}  // namespace coir::model
