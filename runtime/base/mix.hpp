/// A hash of one number.
#pragma once

#include <cstdint>

namespace coir::detail {

/// What Sebastiano Vigna's splitmix64 does to its counter, which goes on by mix_step: all bits of
/// the result depend on all of `x`.
constexpr std::uint64_t mix_step = 0x9e3779b97f4a7c15;
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

}  // namespace coir::detail
