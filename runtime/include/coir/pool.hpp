/// A bound on how many fibers run at a time: gevent.pool.Pool.
#pragma once

#include <coir/group.hpp>

#include <cstddef>

namespace coir {

/// A group with a number of places: a spawn waits while all are taken. Everything else is as in
/// group and what it derives from.
class COIR_API pool : public group {
 public:
  /// No bound.
  static constexpr std::size_t unbounded = detail::roster::unbounded;

  /// At most `size` fibers at a time. Throws std::invalid_argument when `size` is 0: nothing could
  /// ever run.
  explicit pool(std::size_t size = unbounded);
  /// The same for fibers that begin on any worker of `on`, which must outlive the pool: see
  /// workers::spawn.
  explicit pool(workers& on, std::size_t size = unbounded);
};

}  // namespace coir
