#include <coir/recursive_mutex.hpp>

#include "runtime/sched/worker.hpp"

#include <system_error>

namespace coir {

bool recursive_mutex::lock_until(detail::deadline until) {
  const detail::control_block* const self = detail::worker::current().running;
  if (owner_.load(std::memory_order_relaxed) != self) {
    if (!mutex_.lock_until(until)) return false;
    owner_.store(self, std::memory_order_relaxed);
  }
  ++depth_;
  return true;
}

bool recursive_mutex::try_lock() {
  const detail::control_block* const self = detail::worker::current().running;
  if (owner_.load(std::memory_order_relaxed) != self) {
    if (!mutex_.try_lock()) return false;
    owner_.store(self, std::memory_order_relaxed);
  }
  ++depth_;
  return true;
}

void recursive_mutex::unlock() {
  const detail::worker* const w = detail::worker::current_or_null();
  if (!w || owner_.load(std::memory_order_relaxed) != w->running) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "coir::recursive_mutex: unlocked by a fiber that does not hold it");
  }
  if (--depth_ > 0) return;
  owner_.store(nullptr, std::memory_order_relaxed);
  mutex_.unlock();
}

}  // namespace coir
