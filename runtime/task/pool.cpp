#include <coir/pool.hpp>

#include <algorithm>
#include <mutex>
#include <stdexcept>

namespace coir {

pool::pool(std::size_t size) : slots_(static_cast<std::ptrdiff_t>(std::min(size, unbounded))) {
  if (size == 0)
    throw std::invalid_argument("coir::pool: a pool of size 0 could never run anything");
}

pool::~pool() {
  lock_.lock();
  if (members_ == 0) {
    lock_.unlock();
    return;
  }
  detail::waiter self;
  joiners_.wait(lock_, self, detail::never, detail::wait_reason::join, detail::interruptible::no);
}

std::size_t pool::size() noexcept {
  std::lock_guard guard(lock_);
  return members_;
}

bool pool::join_until(detail::deadline until) {
  lock_.lock();
  if (members_ == 0) {
    lock_.unlock();
    return true;
  }
  detail::waiter self;
  const detail::wait_status how = joiners_.wait(lock_, self, until, detail::wait_reason::join);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how == detail::wait_status::woken;
}

pool::slot::slot(pool& p) : pool_(&p) {
  p.slots_.acquire();
  std::lock_guard guard(p.lock_);
  ++p.members_;
}

pool::slot::~slot() {
  if (!pool_) return;
  pool_->slots_.release();
  // The last touch: the pool may go once members_ is 0 and this is released
  std::lock_guard guard(pool_->lock_);
  if (--pool_->members_ == 0) pool_->joiners_.wake_all();
}

}  // namespace coir
