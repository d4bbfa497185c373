// A failing member kills the others where it ends, and interrupts the scope's own fiber as a
// timeout_scope does: what is thrown there reaches the scope's end by itself. The roster counts as
// not empty until that is done, so the scope is still there.
#include <coir/scope.hpp>

#include "runtime/sched/worker.hpp"

#include <cerrno>
#include <memory>
#include <mutex>
#include <new>

namespace coir {

scope::scope(workers* on, on_failure policy)
    : group(detail::roster::unbounded, on, member_failed, this),
      policy_(policy),
      uncaught_(std::uncaught_exceptions()),
      fiber_(detail::worker::current().running),
      ignores_failures_(policy == on_failure::ignore) {
  in_.owner = this;
  in_.error_number = ECANCELED;
  in_.raise = raise;
}

scope::~scope() noexcept(false) {
  std::exception_ptr error;
  if (std::uncaught_exceptions() > uncaught_) {
    abandon(nullptr);
  } else {
    try {
      join();
    } catch (...) {
      error = std::current_exception();
      abandon(error);
    }
  }
  detail::worker::retract(*fiber_, in_);
  if (error) std::rethrow_exception(error);
}

bool scope::join_until(detail::deadline until) {
  if (!roster_.join(until)) return false;
  detail::worker::retract(*fiber_, in_);
  std::exception_ptr error;
  {
    const std::lock_guard guard(lock_);
    if (failure_ && !std::exchange(is_told_, true)) error = failure_;
  }
  if (error) std::rethrow_exception(error);
  return true;
}

void scope::abandon(const std::exception_ptr& error) noexcept {
  ignore_failures();
  roster_.kill_all(error);
}

void scope::ignore_failures() noexcept {
  const std::lock_guard guard(lock_);
  ignores_failures_ = true;
}

void scope::member_failed(void* argument, const std::exception_ptr& error) noexcept {
  scope& self = *static_cast<scope*>(argument);
  {
    const std::lock_guard guard(self.lock_);
    if (self.ignores_failures_ || self.failure_) return;
    self.failure_ = error;
  }
  try {
    self.roster_.kill_members(nullptr);
  } catch (const std::bad_alloc&) {  // those that could not be asked are waited for
  }
  self.interrupt_owner();
}

/// On its way to the worker of the scope's fiber.
struct scope::remote_interrupt final : detail::remote_call {
  explicit remote_interrupt(scope& s) noexcept : target(s), open(s.roster_) {
    invoke = [](detail::remote_call& call) noexcept {
      const std::unique_ptr<remote_interrupt> self(static_cast<remote_interrupt*>(&call));
      self->target.interrupt_owner();
    };
  }
  scope& target;
  detail::roster::hold open;
};

/// Without memory the fiber of another thread meets the failure at the scope's end.
void scope::interrupt_owner() noexcept {
  detail::worker& home = detail::worker::of(*fiber_);
  if (&home == detail::worker::current_or_null()) return home.interrupt(*fiber_, in_);
  if (auto* call = new (std::nothrow) remote_interrupt(*this)) home.post(*call);
}

void scope::raise(detail::interruption& in) {
  scope& self = *static_cast<owner_interruption&>(in).owner;
  std::exception_ptr error;
  {
    const std::lock_guard guard(self.lock_);
    self.is_told_ = true;
    error = self.failure_;
  }
  std::rethrow_exception(error);
}

}  // namespace coir
