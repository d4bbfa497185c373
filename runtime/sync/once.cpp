#include <coir/once.hpp>

#include "runtime/sched/worker.hpp"
#include "runtime/sync/living.hpp"

#include <mutex>
#include <system_error>

namespace coir {

/// True when the caller is to make the call and end its turn; false when it has been made. Parks
/// while another makes it.
bool once_flag::begin() {
  detail::control_block* const self = detail::worker::current().running;
  std::unique_lock guard(lock_);
  if (is_done_.load(std::memory_order_relaxed)) return false;
  if (!caller_ || detail::is_abandoned(*caller_)) {  // in a fork's child nobody will end that call
    caller_ = self;
    return true;
  }
  if (caller_ == self) {
    guard.unlock();
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                            "coir::call_once: the function called by a flag waits for that flag");
  }
  detail::waiter waiting;  // its payload says whether a turn comes with the wake
  guard.release();
  const detail::wait_status how =
      waiters_.wait(lock_, waiting, detail::never, detail::wait_reason::once);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return waiting.payload;
}

void once_flag::finish() noexcept {
  std::lock_guard guard(lock_);
  is_done_.store(true, std::memory_order_release);  // pairs with the acquire in is_done()
  caller_ = nullptr;
  waiters_.wake_all();
}

void once_flag::give_up() noexcept {
  std::lock_guard guard(lock_);
  detail::waiter* const heir = detail::take_living(waiters_);
  caller_ = heir ? heir->fiber : nullptr;
  if (!heir) return;
  heir->payload = this;
  detail::wait_queue::wake(*heir);
}

}  // namespace coir
