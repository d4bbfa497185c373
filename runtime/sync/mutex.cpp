// unlock() hands the mutex to the longest waiter instead of freeing it: nobody can overtake, so
// nobody starves. With waiters on several workers it stays on one for a while, at most 32 times and
// about a millisecond: to hand it to another worker costs as much as ten hand-overs at home. Those
// of one worker keep their order.
//
// The child of a fork has the one fiber that called fork. A mutex that another one holds stays held
// there, as POSIX has it, since what it protects may be half changed. One that was handed over to a
// fiber that has not gone on since is free: nobody has touched anything.
#include <coir/mutex.hpp>

#include "runtime/sched/worker.hpp"
#include "runtime/sync/living.hpp"

#include <system_error>

namespace coir {

using detail::interruptible;
using detail::wait_reason;
using detail::wait_status;

namespace {

constexpr std::uint8_t bypasses_max = 32;
constexpr int places_near = 8;  // looked at for a waiter of the same worker

}  // namespace

/// Makes `self` the owner if there is none; lock_ is held.
inline bool mutex::take(detail::control_block* self) noexcept {
  if (owner_) {
    if (!detail::is_abandoned(*owner_) || !is_handed_over_) return false;
    is_handed_over_ = false;
  }
  owner_ = self;
  return true;
}

detail::wait_status mutex::acquire(detail::deadline until, interruptible kind) {
  detail::control_block* const self = detail::worker::current().running;
  lock_.lock();
  if (take(self)) {
    lock_.unlock();
    return wait_status::woken;
  }
  if (owner_ == self) {
    lock_.unlock();
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                            "coir::mutex: this fiber holds it already");
  }
  detail::waiter waiting;
  waiting.payload = this;  // for reports
  const wait_status how = waiters_.wait(lock_, waiting, until, wait_reason::mutex, kind);
  if (how == wait_status::woken) is_handed_over_ = false;
  return how;
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
  const bool was_free = take(self);
  lock_.unlock();
  return was_free;
}

void mutex::unlock() {
  const detail::worker* const w = detail::worker::current_or_null();
  if (!w || !release(*w)) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "coir::mutex: unlocked by a fiber that does not hold it");
  }
}

/// False when the running fiber of `w` is not the owner.
bool mutex::release(const detail::worker& w) noexcept {
  std::lock_guard guard(lock_);
  if (owner_ != w.running) return false;
  if (waiters_.empty()) {
    owner_ = nullptr;
    return true;
  }
  detail::waiter* const heir = take_heir(w);
  owner_ = heir ? heir->fiber : nullptr;
  if (!heir) return true;
  is_handed_over_ = true;
  detail::wait_queue::wake(*heir);
  return true;
}

/// Takes the longest waiter out, or one of the same worker in its stead. Not inlined, so that an
/// unlock for which nobody waits is short.
[[gnu::noinline]] detail::waiter* mutex::take_heir(const detail::worker& w) noexcept {
  const detail::waiter* const first = waiters_.front();
  if (first && first->home != &w && detail::fork_generation.load(std::memory_order_relaxed) == 0) {
    if (bypasses_ == 0) bypass_ms_ = w.now_ms();
    if (bypasses_ < bypasses_max && w.now_ms() - bypass_ms_ <= 1) {
      if (detail::waiter* const near = waiters_.take_near(&w, places_near)) {
        ++bypasses_;
        return near;
      }
    }
  }
  bypasses_ = 0;
  return detail::take_living(waiters_);
}

/// For the end of a wait on a condition: a kill has to wait until the mutex is held.
void mutex::relock_after_wait(detail::control_block* self) noexcept {
  {
    std::lock_guard guard(lock_);
    if (owner_ == self || take(self)) return;
  }
  acquire(detail::never, interruptible::no);
}

}  // namespace coir
