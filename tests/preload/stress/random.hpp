/// Numbers that depend on a seed only, the same on every machine.
#pragma once

#include <cstdint>

namespace stress {

class random_numbers {
 public:
  random_numbers(std::uint64_t seed, std::uint64_t part) noexcept
      : state_(seed * 0x9e3779b97f4a7c15U + part * 0xd1b54a32d192ed03U) {
    next();
  }

  std::uint64_t next() noexcept {  // splitmix64
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  /// From 0 to limit - 1.
  int below(int limit) noexcept {
    return static_cast<int>(next() % static_cast<std::uint64_t>(limit));
  }
  int between(int least, int most) noexcept { return least + below(most - least + 1); }
  bool one_in(int count) noexcept { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace stress
