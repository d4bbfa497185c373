/// A lane carries numbers from one thread to one other, each kind by another means of waiting.
#pragma once

#include "random.hpp"

#include <cstdint>
#include <memory>

namespace stress {

class lane {
 public:
  virtual ~lane() = default;
  virtual void put(std::uint64_t number) = 0;
  /// The next number, in order.
  virtual std::uint64_t take() = 0;
};

/// A lane of a random kind. With `may_spin` also of a kind that uses a processor while it waits.
std::unique_ptr<lane> make_lane(random_numbers& random, bool may_spin);

/// libc's wait for an address, without libc.
long raw_futex(void* address, int operation, int value);

}  // namespace stress
