/// Work of a known length whose result can be checked without doing it again: a walk through the
/// numbers of a linear congruential generator.
#pragma once

#include <cstdint>

namespace example {

/// One step leads from x to `factor` * x + `addend`, modulo 2^64 (Knuth's MMIX generator).
constexpr std::uint64_t walk_factor = 6364136223846793005U;
constexpr std::uint64_t walk_addend = 1442695040888963407U;

/// Where `steps` steps lead from `start`, one after the other. Each step waits for the one before,
/// so the time is the same in every program.
inline std::uint64_t walk(std::uint64_t start, std::uint64_t steps) {
  std::uint64_t x = start;
  for (std::uint64_t i = 0; i < steps; ++i) {
    x = x * walk_factor + walk_addend;
    asm volatile("" : "+r"(x));  // no two steps may become one
  }
  return x;
}

/// Where a walk of a given length leads, for any start, at the price of one step.
class walk_end {
 public:
  explicit walk_end(std::uint64_t steps) {
    std::uint64_t factor = walk_factor;  // of 1, 2, 4... steps
    std::uint64_t addend = walk_addend;
    for (; steps != 0; steps >>= 1) {
      if ((steps & 1) != 0) {
        factor_ *= factor;
        addend_ = addend_ * factor + addend;
      }
      addend += addend * factor;
      factor *= factor;
    }
  }
  /// The same as walk(start, steps).
  std::uint64_t from(std::uint64_t start) const { return start * factor_ + addend_; }

 private:
  std::uint64_t factor_ = 1;
  std::uint64_t addend_ = 0;
};

}  // namespace example
