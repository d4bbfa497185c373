/// How long a fiber holds its worker at a stretch, while somebody wants to know.
#pragma once

#include <coir/detail/clock.hpp>

#include <cstdint>

namespace coir::detail {

/// One measurement, on the stack of the fiber it is about. By real_now_ns().
struct stretch {
  stretch* outer = nullptr;  ///< another one of the same fiber, that began before
  deadline since = 0;        ///< the fiber holds its worker since then
  std::int64_t longest = 0;  ///< of the stretches that are over
};

}  // namespace coir::detail
