// A scope is a timer of its own in the worker's wheel. When it expires, the scope's interruption
// becomes pending for its fiber; a wait that notices throws it through the C++ edge.
#include <coir/timeout.hpp>

#include "runtime/base/assert.hpp"
#include "runtime/sched/worker.hpp"

#include <atomic>
#include <cerrno>

namespace coir {
namespace {

std::atomic<std::uint64_t> last_number{0};

}  // namespace

timeout_scope::timeout_scope(detail::deadline until, std::exception_ptr error)
    : fiber_(detail::worker::current().running),
      fiber_id_(fiber_->record->id),
      error_(std::move(error)),
      uncaught_(std::uncaught_exceptions()) {
  timer_.scope = this;
  timer_.expire = expire;
  in_.scope = this;
  in_.error_number = ETIMEDOUT;
  in_.raise = raise;
  restart_until(until);
}

timeout_scope::~timeout_scope() noexcept(false) {
  const bool must_throw = in_.is_told && in_.is_pending;
  cancel();
  if (fiber_->record->raised == &in_) fiber_->record->raised = nullptr;
  if (must_throw && std::uncaught_exceptions() <= uncaught_) raise_own();
}

void timeout_scope::cancel() noexcept {
  // A scope stays in its fiber, except that a generator's body may take it over a yield
  COIR_ASSERT(detail::worker::current_or_null() == fiber_->home);
  detail::worker::of(*fiber_).disarm(timer_);
  detail::worker::retract(*fiber_, in_);
}

void timeout_scope::restart_until(detail::deadline until) noexcept {
  cancel();
  has_expired_ = false;
  if (until != detail::never) detail::worker::of(*fiber_).arm(timer_, until);
}

void timeout_scope::check() {
  if (in_.is_pending || (timer_.is_armed() && timer_.when <= detail::now_ns())) {
    fiber_->record->raised = &in_;
    raise_own();
  }
}

void timeout_scope::finish() {
  const bool must_throw = in_.is_told && in_.is_pending;
  cancel();
  if (must_throw) raise_own();
}

void timeout_scope::expire(detail::timer_node& timer) noexcept {
  timeout_scope& self = *static_cast<scope_timer&>(timer).scope;
  self.has_expired_ = true;
  detail::control_block& f = *self.fiber_;
  const bool has_ended = f.state == detail::fiber_state::ended || f.record->id != self.fiber_id_;
  if (!has_ended) detail::worker::of(f).interrupt(f, self.in_);
}

void timeout_scope::raise(detail::interruption& in) {
  static_cast<scope_interruption&>(in).scope->raise_own();
}

void timeout_scope::raise_own() {
  cancel();
  has_expired_ = true;
  if (error_) std::rethrow_exception(error_);
  if (number_ == 0) number_ = last_number.fetch_add(1, std::memory_order_relaxed) + 1;
  throw timeout(number_);
}

}  // namespace coir
