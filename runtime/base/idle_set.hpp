/// Which workers of a crew sleep, so that one of them can be woken for work that has come.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace coir::detail {

/// A set of small numbers. Any thread may call any member; all is sequentially consistent, since
/// whoever adds itself looks for work afterwards, and whoever adds work looks here afterwards.
/// `Atomic` is another one only where a test looks at each of its operations.
template <template <class> class Atomic = std::atomic>
class basic_idle_set {
 public:
  static constexpr std::size_t numbers_max = 1024;

  void add(std::size_t n) noexcept { word_of(n).fetch_or(bit_of(n), std::memory_order_seq_cst); }
  void remove(std::size_t n) noexcept {
    word_of(n).fetch_and(~bit_of(n), std::memory_order_seq_cst);
  }

  /// Takes out one of the first `count` numbers; -1 when there is none.
  int take_one(std::size_t count) noexcept {
    for (std::size_t at = 0; at * word_bits < count; ++at) {
      std::uint64_t seen = words_[at].load(std::memory_order_seq_cst);
      while (seen != 0) {
        const int lowest = std::countr_zero(seen);
        const std::uint64_t without = seen & (seen - 1);
        if (words_[at].compare_exchange_weak(seen, without, std::memory_order_seq_cst))
          return static_cast<int>(at * word_bits) + lowest;
      }
    }
    return -1;
  }

 private:
  static constexpr std::size_t word_bits = 64;

  Atomic<std::uint64_t>& word_of(std::size_t n) noexcept { return words_[n / word_bits]; }
  static std::uint64_t bit_of(std::size_t n) noexcept { return std::uint64_t{1} << n % word_bits; }

  Atomic<std::uint64_t> words_[numbers_max / word_bits] = {};
};

using idle_set = basic_idle_set<>;

}  // namespace coir::detail
