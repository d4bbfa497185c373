#include <coir/detail/future_state.hpp>
#include <coir/future.hpp>

#include <future>
#include <mutex>
#include <stdexcept>

namespace coir::detail {
namespace {

std::future_errc code_of(future_fault what) noexcept {
  switch (what) {
    case future_fault::already_retrieved:
      return std::future_errc::future_already_retrieved;
    case future_fault::already_satisfied:
      return std::future_errc::promise_already_satisfied;
    case future_fault::no_state:
      return std::future_errc::no_state;
    case future_fault::broken_promise:
      break;
  }
  return std::future_errc::broken_promise;
}

}  // namespace

void throw_future_error(future_fault what) { throw std::future_error(code_of(what)); }

void throw_null_error() {
  throw std::invalid_argument("coir::promise: set_exception was given no exception");
}

future_state::~future_state() = default;

bool future_state::wait(deadline until) {
  if (ready()) return true;
  lock_.lock();
  if (ready()) {
    lock_.unlock();
    return true;
  }
  waiter self;
  const wait_status how = waiters_.wait(lock_, self, until, wait_reason::future);
  if (how == wait_status::interrupted) throw_if_interrupted();
  return how == wait_status::woken;
}

void future_state::retrieve() {
  lock_.lock();
  const bool is_first = !std::exchange(is_retrieved_, true);
  lock_.unlock();
  if (!is_first) throw_future_error(future_fault::already_retrieved);
}

bool future_state::try_claim() noexcept {
  std::lock_guard guard(lock_);
  if (stage_.load(std::memory_order_relaxed) != stage::open) return false;
  stage_.store(stage::claimed, std::memory_order_relaxed);
  return true;
}

void future_state::claim() {
  if (!try_claim()) throw_future_error(future_fault::already_satisfied);
}

void future_state::unclaim() noexcept {
  std::lock_guard guard(lock_);
  stage_.store(stage::open, std::memory_order_relaxed);
}

void future_state::publish() noexcept {
  std::lock_guard guard(lock_);
  stage_.store(stage::ready, std::memory_order_release);  // pairs with the acquire in ready()
  waiters_.wake_all();
}

void future_state::publish_error(std::exception_ptr error) noexcept {
  error_ = std::move(error);
  publish();
}

void future_state::publish_broken() noexcept {
  publish_error(std::make_exception_ptr(std::future_error(std::future_errc::broken_promise)));
}

void future_state::abandon() noexcept {
  if (owners_.is_unique() || ready()) return;  // nobody asks, or nothing is missing
  if (try_claim()) publish_broken();
}

}  // namespace coir::detail
