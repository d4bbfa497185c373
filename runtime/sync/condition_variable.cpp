#include <coir/condition_variable.hpp>

#include <system_error>

namespace coir {

void condition_variable::notify_one() noexcept {
  std::lock_guard guard(lock_);
  waiters_.wake_one();
}

void condition_variable::notify_all() noexcept {
  std::lock_guard guard(lock_);
  waiters_.wake_all();
}

std::cv_status condition_variable::wait_on(std::unique_lock<mutex>& lock, detail::deadline until) {
  if (!lock.owns_lock()) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                            "coir::condition_variable: waiting without holding the mutex");
  }
  mutex& m = *lock.mutex();
  detail::waiter self;
  lock_.lock();  // before the mutex is free: no notification can slip in between
  try {
    m.unlock();
  } catch (...) {
    lock_.unlock();
    throw;
  }
  const detail::wait_status how = waiters_.wait(lock_, self, until, detail::wait_reason::condition);
  m.relock_after_wait();
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how == detail::wait_status::timed_out ? std::cv_status::timeout
                                               : std::cv_status::no_timeout;
}

}  // namespace coir
