// Whoever leaves hands it to the head of the queue: one writer, or all readers up to the next
// writer. Nobody overtakes, and one who was woken holds it already.
//
// In the child of a fork, where only the fiber goes on that called fork, it stays held by others as
// a mutex does; handed over to a writer that has not gone on since, it is free, as a mutex is.
#include <coir/shared_mutex.hpp>

#include "runtime/sched/worker.hpp"
#include "runtime/sync/living.hpp"

#include <mutex>
#include <system_error>

namespace coir {

using detail::wait_reason;
using detail::wait_status;

namespace {

[[noreturn]] void refuse(std::errc why, const char* what) {
  throw std::system_error(std::make_error_code(why), what);
}

/// Null on a thread that never used coir.
const detail::control_block* running_fiber() noexcept {
  const detail::worker* const w = detail::worker::current_or_null();
  return w ? w->running : nullptr;
}

}  // namespace

/// Whether somebody has it for writing; lock_ is held.
inline bool shared_mutex::is_written() noexcept {
  if (!writer_) return false;
  if (!detail::is_abandoned(*writer_) || !is_handed_over_) return true;
  is_handed_over_ = false;
  writer_ = nullptr;
  return false;
}

bool shared_mutex::lock_by(detail::deadline until) {
  detail::control_block* const self = detail::worker::current().running;
  std::unique_lock guard(lock_);
  if (!is_written() && readers_ == 0) {
    writer_ = self;
    return true;
  }
  if (writer_ == self) {
    guard.unlock();
    refuse(std::errc::resource_deadlock_would_occur,
           "coir::shared_mutex: this fiber holds it already");
  }
  detail::waiter waiting;
  waiting.payload = this;
  guard.release();
  const wait_status how = waiters_.wait(lock_, waiting, until, wait_reason::shared_mutex);
  if (how == wait_status::woken) {
    is_handed_over_ = false;
    return true;
  }
  leave_queue();
  if (how == wait_status::interrupted) detail::throw_if_interrupted();
  return false;
}

/// The end of a writer's wait in vain: it may have been all that kept readers waiting.
void shared_mutex::leave_queue() noexcept {
  std::lock_guard guard(lock_);
  if (!is_written()) admit();
}

bool shared_mutex::try_lock() {
  detail::control_block* const self = detail::worker::current().running;
  std::lock_guard guard(lock_);
  if (is_written() || readers_ > 0) return false;
  writer_ = self;
  return true;
}

void shared_mutex::unlock() {
  const detail::control_block* const self = running_fiber();
  std::unique_lock guard(lock_);
  if (!self || writer_ != self) {
    guard.unlock();
    refuse(std::errc::operation_not_permitted,
           "coir::shared_mutex: unlocked by a fiber that does not hold it for writing");
  }
  writer_ = nullptr;
  admit();
}

bool shared_mutex::lock_shared_by(detail::deadline until) {
  std::unique_lock guard(lock_);
  if (may_read()) {
    ++readers_;
    return true;
  }
  if (writer_ && writer_ == running_fiber()) {
    guard.unlock();
    refuse(std::errc::resource_deadlock_would_occur,
           "coir::shared_mutex: this fiber holds it for writing");
  }
  detail::waiter waiting;
  guard.release();
  const wait_status how = waiters_.wait(lock_, waiting, until, wait_reason::shared_mutex);
  if (how == wait_status::interrupted) detail::throw_if_interrupted();
  return how == wait_status::woken;
}

/// Whether one who comes now needs not wait to read; lock_ is held.
inline bool shared_mutex::may_read() noexcept {
  return !is_written() && !detail::living_front(waiters_);
}

bool shared_mutex::try_lock_shared() {
  std::lock_guard guard(lock_);
  if (!may_read()) return false;
  ++readers_;
  return true;
}

void shared_mutex::unlock_shared() {
  std::unique_lock guard(lock_);
  if (readers_ == 0) {
    guard.unlock();
    refuse(std::errc::operation_not_permitted,
           "coir::shared_mutex: unlocked for reading while nobody reads");
  }
  if (--readers_ == 0) admit();
}

/// Hands it to those at the head of the queue who may hold it together with the readers there are;
/// lock_ is held and nobody writes.
void shared_mutex::admit() noexcept {
  while (detail::waiter* const first = detail::living_front(waiters_)) {
    const bool writes = first->payload;
    if (writes && readers_ > 0) return;
    waiters_.take_one();
    if (writes) {
      writer_ = first->fiber;
      is_handed_over_ = true;
    } else {
      ++readers_;
    }
    detail::wait_queue::wake(*first);
    if (writes) return;
  }
}

}  // namespace coir
