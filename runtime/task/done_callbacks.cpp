// What is called after a task has ended. The callbacks run in a fiber of their own, one after the
// other, so that they may wait and cannot hold up who ended the task.
#include <coir/detail/task.hpp>

#include "runtime/task/handlers.hpp"

#include <mutex>
#include <system_error>

namespace coir::detail {

std::uint64_t task::add_callback(any_call<void()> f) {
  std::list<callback> one;
  one.push_back({0, std::move(f)});
  std::unique_lock guard(lock_);
  const std::uint64_t number = one.front().number = ++callbacks_added_;
  callbacks_.splice(callbacks_.end(), one);
  if (!ready() || std::exchange(is_calling_, true)) return number;
  guard.unlock();
  call_back(*this);
  return number;
}

bool task::remove_callback(std::uint64_t number) noexcept {
  std::list<callback> removed;  // destroyed without the lock: that may run the program's code
  const std::lock_guard guard(lock_);
  for (auto it = callbacks_.begin(); it != callbacks_.end(); ++it) {
    if (it->number != number) continue;
    removed.splice(removed.end(), callbacks_, it);
    return true;
  }
  return false;
}

/// Begins the calls, which somebody has claimed by setting is_calling_. Without memory for a fiber
/// they are made here.
void task::call_back(task& t) noexcept {
  t.retain();
  task_ref<task> owned(&t);
  auto call_all = [owned] { owned->run_callbacks(); };
  try {
    start_task(new bound_task<void, decltype(call_all)>(call_all), {"callbacks of " + t.name()},
               nullptr);
  } catch (const std::exception&) {
    t.run_callbacks();
  }
}

void task::run_callbacks() noexcept {
  while (any_call<void()> f = next_callback()) {
    try {
      f();
    } catch (
        const fiber_exit&) {  // killed, as all fibers of a thread that ends: the rest is not called
      return;
    } catch (...) {
      handle_error(name_, id_, true);
    }
  }
}

/// Empty when there is none left.
any_call<void()> task::next_callback() noexcept {
  const std::lock_guard guard(lock_);
  if (callbacks_.empty()) {
    is_calling_ = false;
    return {};
  }
  any_call<void()> next = std::move(callbacks_.front().function);
  callbacks_.pop_front();
  return next;
}

/// One with a state.
std::stop_source task::stop_source() {
  const std::lock_guard guard(lock_);
  if (!stop_.stop_possible()) stop_ = std::stop_source();
  return stop_;
}

bool task::request_stop() { return stop_source().request_stop(); }

std::stop_token task::stop_token() { return stop_source().get_token(); }

}  // namespace coir::detail
