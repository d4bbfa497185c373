/// Code that a kill must not cut short.
#pragma once

#include <coir/export.hpp>

namespace coir {
namespace detail {
struct control_block;
}  // namespace detail

namespace this_fiber {

/// While one lives, a kill of the fiber that made it waits: it is thrown at the first wait after
/// the last such guard has gone. For clean-up that must come to its end. Deadlines of timeout_scope
/// still apply. Must end in the fiber that made it. Guards nest. gevent has no such thing.
class COIR_API no_kill {
 public:
  /// Makes the thread a worker if it is none, and then throws what that throws. Never parks.
  no_kill();
  no_kill(const no_kill&) = delete;
  no_kill& operator=(const no_kill&) = delete;
  /// Never parks, and does not throw the kill that has waited.
  ~no_kill();

 private:
  detail::control_block* const fiber_;
};

}  // namespace this_fiber
}  // namespace coir
