#include <coir/semaphore.hpp>

#include <mutex>

namespace coir {

void counting_semaphore::acquire() { acquire_until(detail::never); }

bool counting_semaphore::acquire_until(detail::deadline until) {
  lock_.lock();
  if (units_ > 0) {  // then nobody waits
    --units_;
    lock_.unlock();
    return true;
  }
  detail::waiter self;
  const detail::wait_status how = waiters_.wait(lock_, self, until, detail::wait_reason::semaphore);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how == detail::wait_status::woken;
}

bool counting_semaphore::try_acquire() noexcept {
  std::lock_guard guard(lock_);
  if (units_ <= 0) return false;
  --units_;
  return true;
}

void counting_semaphore::release(std::ptrdiff_t units) noexcept {
  std::lock_guard guard(lock_);
  while (units > 0 && waiters_.wake_one()) --units;  // the unit goes straight to the waiter
  units_ += units;
}

std::ptrdiff_t counting_semaphore::available() noexcept {
  std::lock_guard guard(lock_);
  return units_;
}

}  // namespace coir
