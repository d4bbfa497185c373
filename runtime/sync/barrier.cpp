#include <coir/barrier.hpp>

#include <mutex>
#include <stdexcept>

namespace coir::detail {

void barrier_state::refuse_negative() {
  throw std::invalid_argument("coir::barrier: a number of expected arrivals is not negative");
}

barrier_state::arrival barrier_state::arrive(std::ptrdiff_t arrivals, std::ptrdiff_t dropped) {
  if (arrivals <= 0) {
    throw std::invalid_argument("coir::barrier: a number of arrivals is positive");
  }
  std::unique_lock guard(lock_);
  if (arrivals > left_) {
    guard.unlock();
    throw std::logic_error("coir::barrier: more arrivals than the phase expects");
  }
  left_ -= arrivals;
  expected_ -= dropped;
  return {phase_, left_ == 0};
}

void barrier_state::end_phase() noexcept {
  std::lock_guard guard(lock_);
  left_ = expected_;
  ++phase_;
  waiters_.wake_all();
}

bool barrier_state::wait(std::uint64_t phase, deadline until) const {
  lock_.lock();
  if (phase_ != phase) {
    lock_.unlock();
    return true;
  }
  waiter self;
  const wait_status how = waiters_.wait(lock_, self, until, wait_reason::barrier);
  if (how == wait_status::interrupted) throw_if_interrupted();
  return how == wait_status::woken;
}

}  // namespace coir::detail
