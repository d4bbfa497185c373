#include <coir/condition_variable.hpp>

#include "runtime/sched/worker.hpp"
#include "runtime/sync/living.hpp"

#include <system_error>

namespace coir {

void condition_variable::notify_one() noexcept {
  std::lock_guard guard(lock_);
  if (detail::waiter* const first = detail::take_living(waiters_)) {
    detail::wait_queue::wake(*first);
  }
}

void condition_variable::notify_all() noexcept {
  std::lock_guard guard(lock_);
  waiters_.wake_all();
}

bool condition_variable::wait_on(std::unique_lock<mutex>& lock, detail::deadline until) {
  const detail::worker& w = detail::worker::current();
  detail::control_block* const self = w.running;
  detail::waiter waiting;
  lock_.lock();  // before the mutex is free: no notification can slip in between
  if (!lock.owns_lock() || !lock.mutex()->release(w)) {
    lock_.unlock();
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "coir::condition_variable: waiting without holding the mutex");
  }
  const detail::wait_status how =
      waiters_.wait(lock_, waiting, until, detail::wait_reason::condition);
  lock.mutex()->relock_after_wait(self);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how != detail::wait_status::timed_out;
}

}  // namespace coir
