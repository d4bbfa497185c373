// What is called after a task has ended. The callbacks run in a fiber of their own, one after the
// other, so that they may wait and cannot hold up who ended the task.
#include "runtime/task/handlers.hpp"
#include "runtime/task/task.hpp"

#include <mutex>
#include <system_error>

namespace coir::detail {

std::uint64_t task::add_callback(any_call<void()> f) {
  task_extras& own = extras();
  std::list<task_extras::callback> one;
  one.push_back({0, std::move(f)});
  std::unique_lock guard(lock_);
  const std::uint64_t number = one.front().number = ++own.callbacks_added;
  own.callbacks.splice(own.callbacks.end(), one);
  if (!ready() || std::exchange(is_calling_, true) || is_unseen_) return number;
  guard.unlock();
  call_back(*this);
  return number;
}

bool task::remove_callback(std::uint64_t number) noexcept {
  std::list<task_extras::callback> removed;  // goes without the lock: it is the program's code
  const std::lock_guard guard(lock_);
  task_extras* const own = extras_.load(std::memory_order_acquire);
  if (!own) return false;
  for (auto it = own->callbacks.begin(); it != own->callbacks.end(); ++it) {
    if (it->number != number) continue;
    removed.splice(removed.end(), own->callbacks, it);
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
      handle_error(name(), id_, true);
    }
  }
}

/// Empty when there is none left.
any_call<void()> task::next_callback() noexcept {
  task_extras& own = extras();
  const std::lock_guard guard(lock_);
  if (own.callbacks.empty()) {
    is_calling_ = false;
    return {};
  }
  any_call<void()> first = std::move(own.callbacks.front().function);
  own.callbacks.pop_front();
  return first;
}

/// One with a state.
std::stop_source task::stop_source() {
  task_extras& own = extras();
  const std::lock_guard guard(lock_);
  if (!own.stop.stop_possible()) own.stop = std::stop_source();
  return own.stop;
}

bool task::request_stop() { return stop_source().request_stop(); }

std::stop_token task::stop_token() { return stop_source().get_token(); }

}  // namespace coir::detail
