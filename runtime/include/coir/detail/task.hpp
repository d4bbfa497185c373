/// The shared state of one spawned function: what fiber<T> points at.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/detail/reference_count.hpp>
#include <coir/detail/wait_queue.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coir {

/// How a fiber is made; every member has a sensible default.
struct attributes {
  std::string name{};  ///< shown in reports; empty: "fiber"
  /// Virtual size of the stack; 0: COIR_STACK, else 256 KiB. Touched pages are what counts
  std::size_t stack_bytes = 0;
};

namespace detail {

/// State and result of a spawned function. Owned jointly by its fiber while that lives and by every
/// handle.
class COIR_API task {
 public:
  /// Where the task is in its life.
  enum class state : std::uint8_t {
    waiting,    ///< in the run queue or behind a spawn_after timer; its function has not begun
    running,    ///< its function has begun and not ended
    succeeded,  ///< its function returned, or ended by fiber_exit; a value may be there
    failed,     ///< its function ended by an exception, which `error` holds
  };

  virtual ~task();
  task(const task&) = delete;
  task& operator=(const task&) = delete;

  /// One more owner. Any thread; never parks.
  void retain() noexcept { owners_.add(); }
  /// One owner less; the last one deletes the task. Any thread; never parks.
  void release() noexcept {
    if (owners_.drop()) delete this;
  }
  /// True when the caller's is the only reference. Any thread; never parks.
  bool is_unique() const noexcept { return owners_.is_unique(); }

  /// True once the function has ended in any way, or was killed before it began. Any thread; never
  /// parks.
  bool ready() const noexcept { return state_.load(std::memory_order_acquire) >= state::succeeded; }
  /// True once it ended without an error. Any thread; never parks.
  bool successful() const noexcept {
    return state_.load(std::memory_order_acquire) == state::succeeded;
  }
  /// Parks until the task is ready or the deadline has passed; true when it is ready. Throws
  /// fiber_exit when the calling fiber is killed, std::logic_error when a fiber joins itself.
  bool wait_until(deadline until);
  /// Parks until the task is ready; a kill of the calling fiber is kept until later.
  void wait_ended() noexcept;
  /// What the function threw, or null. Any thread, once ready(); never parks.
  const std::exception_ptr& error() const noexcept { return error_; }
  /// Rethrows what the function threw, if anything; must be ready().
  void rethrow() const;
  /// Asks the fiber to end: throws fiber_exit in it where it waits. One that has not begun never
  /// runs. A fiber that asks it of itself gets fiber_exit at once. Throws std::bad_alloc. Any
  /// thread; never parks.
  void request_kill();

  /// The number shown in reports, unique in the process. Any thread; never parks.
  std::uint64_t id() const noexcept { return id_; }
  /// The name it was given, or "fiber". Any thread; never parks.
  const std::string& name() const noexcept { return name_; }

 protected:
  task() = default;
  /// Calls the function and keeps its result. Runs on the fiber; its exception is caught by the
  /// caller.
  virtual void run() = 0;
  /// Destroys the function and its arguments, on the fiber, before joiners wake.
  virtual void drop_function() noexcept = 0;

 private:
  friend class task_life;

  reference_count owners_;
  std::atomic<state> state_{state::waiting};
  control_block* fiber_ = nullptr;  ///< while it lives; written and read by its worker only
  std::exception_ptr error_;
  short_lock lock_;
  wait_queue joiners_;  ///< guarded by lock_
  std::uint64_t id_ = 0;
  deadline start_time_ = 0;  ///< of a task started by start_task_at
  std::string name_ = "fiber";
};

/// Makes a fiber for `t` on the calling thread's worker and queues it behind the fibers that are
/// ready; takes over one reference. `site` is the address reported as spawn site. Throws
/// std::system_error when there is no memory for a stack. Never parks.
COIR_API void start_task(task* t, const attributes& how, const void* site);
/// start_task at a later time; killing it earlier means that it never runs.
COIR_API void start_task_at(task* t, const attributes& how, const void* site, deadline when);

/// A task that returns an R.
template <class R>
class task_of : public task {
 public:
  std::optional<R> value;
};

/// A task that returns nothing.
template <>
class task_of<void> : public task {};

/// A task with its function and arguments.
template <class R, class Function, class... Args>
class bound_task final : public task_of<R> {
 public:
  template <class F, class... A>
  explicit bound_task(F&& f, A&&... args)
      : call_(std::in_place, std::forward<F>(f), std::forward<A>(args)...) {}

 private:
  void run() override {
    auto invoke = [](Function& f, Args&... args) -> R {
      return std::invoke(std::move(f), std::move(args)...);
    };
    if constexpr (std::is_void_v<R>) {
      std::apply(invoke, *call_);
    } else {
      this->value.emplace(std::apply(invoke, *call_));
    }
  }
  void drop_function() noexcept override { call_.reset(); }

  std::optional<std::tuple<Function, Args...>> call_;
};

/// Counting pointer to a task.
template <class Task>
class task_ref {
 public:
  task_ref() noexcept = default;
  /// Takes over one reference that the caller holds.
  explicit task_ref(Task* owned) noexcept : task_(owned) {}
  task_ref(const task_ref& other) noexcept : task_(other.task_) {
    if (task_) task_->retain();
  }
  task_ref(task_ref&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  task_ref& operator=(task_ref other) noexcept {
    std::swap(task_, other.task_);
    return *this;
  }
  ~task_ref() {
    if (task_) task_->release();
  }
  Task* get() const noexcept { return task_; }
  /// Gives the reference to the caller.
  Task* detach() noexcept { return std::exchange(task_, nullptr); }
  Task* operator->() const noexcept { return task_; }
  explicit operator bool() const noexcept { return task_ != nullptr; }

 private:
  Task* task_ = nullptr;
};

}  // namespace detail
}  // namespace coir
