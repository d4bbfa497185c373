/// Counts durations in buckets that grow with them, 16 to a power of two: 3 % of error at most.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace bench {

class histogram {
 public:
  /// Counts one duration.
  void add(std::uint64_t ns) noexcept { ++counts_[bucket_of(ns)]; }
  /// Forgets all.
  void clear() noexcept { counts_.fill(0); }
  /// The duration that `share` (0 to 1) of those counted do not exceed; 0 when there are none.
  std::uint64_t quantile(double share) const noexcept {
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts_) total += count;
    auto left = static_cast<std::uint64_t>(share * static_cast<double>(total));
    for (unsigned i = 0; i < buckets; ++i) {
      if (counts_[i] > left) return middle_of(i);
      left -= counts_[i];
    }
    return 0;
  }

 private:
  static constexpr unsigned steps = 16;
  static constexpr unsigned buckets = 64 * steps;

  static unsigned bucket_of(std::uint64_t ns) noexcept {
    if (ns < steps) return static_cast<unsigned>(ns);
    const unsigned shift = static_cast<unsigned>(std::bit_width(ns)) - 5;
    return (shift + 1) * steps + static_cast<unsigned>(ns >> shift) - steps;
  }
  static std::uint64_t middle_of(unsigned bucket) noexcept {
    if (bucket < 2 * steps) return bucket;
    const unsigned shift = bucket / steps - 1;
    const std::uint64_t low = std::uint64_t{steps + bucket % steps} << shift;
    return low + (std::uint64_t{1} << shift) / 2;
  }

  std::array<std::uint64_t, buckets> counts_{};
};

}  // namespace bench
