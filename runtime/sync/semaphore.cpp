#include <coir/semaphore.hpp>

#include "runtime/sync/living.hpp"

#include <mutex>
#include <stdexcept>

namespace coir {

void counting_semaphore::refuse_negative() {
  throw std::invalid_argument("coir: a semaphore's number of units is not negative");
}

/// With a wait in between if there is no unit.
inline bool counting_semaphore::await_unit(detail::deadline until, purpose what) {
  lock_.lock();
  if (units_ > 0) {  // then nobody waits
    if (what == purpose::take) --units_;
    lock_.unlock();
    return true;
  }
  detail::waiter self;
  if (what == purpose::look) self.payload = this;
  const detail::wait_status how = waiters_.wait(lock_, self, until, detail::wait_reason::semaphore);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how == detail::wait_status::woken;
}

bool counting_semaphore::acquire_by(detail::deadline until) {
  return await_unit(until, purpose::take);
}

bool counting_semaphore::wait_by(detail::deadline until) {
  return await_unit(until, purpose::look);
}

bool counting_semaphore::try_acquire() noexcept {
  std::lock_guard guard(lock_);
  if (units_ <= 0) return false;
  --units_;
  return true;
}

void counting_semaphore::release(std::ptrdiff_t units) {
  lock_.lock();
  const auto room = static_cast<std::size_t>(max_ - units_);
  if (static_cast<std::size_t>(units) > room) return refuse(units);  // also when it is negative
  units_ += units;
  while (units_ > 0) {
    detail::waiter* const first = detail::take_living(waiters_);
    if (!first) break;
    if (!first->payload) --units_;  // the unit goes straight to the waiter
    detail::wait_queue::wake(*first);
  }
  lock_.unlock();
}

void counting_semaphore::refuse(std::ptrdiff_t units) {
  lock_.unlock();
  if (units < 0) refuse_negative();
  throw std::logic_error("coir: more units released than the semaphore may have");
}

std::ptrdiff_t counting_semaphore::available() noexcept {
  std::lock_guard guard(lock_);
  return units_;
}

}  // namespace coir
