// unlock() hands the mutex to the longest waiter instead of freeing it: nobody can overtake, so
// nobody starves.
#include <coir/mutex.hpp>

#include "runtime/sched/worker.hpp"

#include <system_error>

namespace coir {

using detail::interruptible;
using detail::wait_reason;
using detail::wait_status;

detail::wait_status mutex::acquire(detail::deadline until, interruptible kind) {
  detail::control_block* const self = detail::worker::current().running;
  lock_.lock();
  if (!owner_) {
    owner_ = self;
    lock_.unlock();
    return wait_status::woken;
  }
  if (owner_ == self) {
    lock_.unlock();
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                            "coir::mutex: this fiber holds it already");
  }
  detail::waiter waiting;
  return waiters_.wait(lock_, waiting, until, wait_reason::mutex, kind);
}

void mutex::lock() {
  if (acquire(detail::never, interruptible::yes) == wait_status::interrupted)
    detail::throw_if_interrupted();
}

bool mutex::lock_until(detail::deadline until) {
  const wait_status how = acquire(until, interruptible::yes);
  if (how == wait_status::interrupted) detail::throw_if_interrupted();
  return how == wait_status::woken;
}

bool mutex::try_lock() {
  detail::control_block* const self = detail::worker::current().running;
  lock_.lock();
  const bool was_free = !owner_;
  if (was_free) owner_ = self;
  lock_.unlock();
  return was_free;
}

void mutex::unlock() {
  const detail::worker* const w = detail::worker::current_or_null();
  if (!w || !release(w->running)) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "coir::mutex: unlocked by a fiber that does not hold it");
  }
}

/// False when `self` is not the owner.
bool mutex::release(const detail::control_block* self) noexcept {
  std::lock_guard guard(lock_);
  if (owner_ != self) return false;
  detail::waiter* const heir = waiters_.take_one();
  owner_ = heir ? heir->fiber : nullptr;
  if (heir) detail::wait_queue::wake(*heir);
  return true;
}

/// For the end of a wait on a condition: a kill has to wait until the mutex is held.
void mutex::relock_after_wait(detail::control_block* self) noexcept {
  {
    std::lock_guard guard(lock_);
    if (!owner_) owner_ = self;
    if (owner_ == self) return;
  }
  acquire(detail::never, interruptible::no);
}

}  // namespace coir
