#include <coir/event.hpp>

#include <mutex>

namespace coir {

void event::set() noexcept {
  std::lock_guard guard(lock_);
  is_set_.store(true, std::memory_order_release);  // pairs with the acquire in is_set()
  waiters_.wake_all();
}

void event::clear() noexcept {
  std::lock_guard guard(lock_);
  is_set_.store(false, std::memory_order_relaxed);
}

bool event::wait_until_deadline(detail::deadline until) {
  lock_.lock();
  if (is_set()) {
    lock_.unlock();
    return true;
  }
  detail::waiter self;
  const detail::wait_status how = waiters_.wait(lock_, self, until, detail::wait_reason::event);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how == detail::wait_status::woken;
}

}  // namespace coir
