/// How a set of workers is made.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace coir {

/// Every member has a sensible default.
struct worker_options {
  /// The most there can be in a set.
  static constexpr std::size_t count_max = 1024;

  /// How many. 0: COIR_WORKERS, else as many as there are processors that the calling thread may
  /// use.
  std::size_t count = 0;
  /// The threads are called NAME-0, NAME-1, … in as many characters as Linux keeps, which is 15.
  std::string name = "coir";
  /// Binds each worker to one processor: those of `cpus` in turn, or, when that is empty, those
  /// that the calling thread may use.
  bool pin = false;
  /// Processor numbers, as in taskset; implies `pin`.
  std::vector<int> cpus{};
};

}  // namespace coir
