/// What the stress tests share: how long they run and from which seed.
#pragma once

#include "tests/runtime/support.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace coir::test {

/// COIR_STRESS_SEED, else a random number; printed, so that a failure can be repeated.
inline std::uint32_t stress_seed() {
  const char* text = std::getenv("COIR_STRESS_SEED");
  const auto seed =
      text ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10)) : std::random_device{}();
  std::printf("COIR_STRESS_SEED=%u\n", seed);
  std::fflush(stdout);
  return seed;
}

/// COIR_STRESS_SECONDS, else three.
inline std::chrono::seconds stress_length() {
  const char* text = std::getenv("COIR_STRESS_SECONDS");
  return std::chrono::seconds(text ? std::strtol(text, nullptr, 10) : 3);
}

/// Random choices of one fiber.
class dice {
 public:
  explicit dice(std::uint32_t seed) : engine_(seed) {}
  /// 0 to `sides` - 1.
  int roll(int sides) { return static_cast<int>(engine_() % static_cast<std::uint32_t>(sides)); }
  /// Up to `longest` microseconds, mostly short.
  microseconds short_time(int longest = 300) {
    return microseconds(roll(roll(4) ? longest / 4 : longest));
  }
  /// The seed of another dice.
  std::uint32_t fork() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

}  // namespace coir::test
