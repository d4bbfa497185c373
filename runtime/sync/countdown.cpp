#include <coir/detail/countdown.hpp>

#include <mutex>

namespace coir::detail {

bool countdown::add(std::ptrdiff_t change) noexcept {
  std::lock_guard guard(lock_);
  std::ptrdiff_t changed;
  if (__builtin_add_overflow(count_, change, &changed) || changed < 0) return false;
  count_ = changed;
  if (changed == 0) waiters_.wake_all();
  return true;
}

std::ptrdiff_t countdown::count() const noexcept {
  std::lock_guard guard(lock_);
  return count_;
}

bool countdown::wait(deadline until, wait_reason why) const {
  lock_.lock();
  if (count_ == 0) {
    lock_.unlock();
    return true;
  }
  waiter self;
  const wait_status how = waiters_.wait(lock_, self, until, why);
  if (how == wait_status::interrupted) throw_if_interrupted();
  return how == wait_status::woken;
}

}  // namespace coir::detail
