/// The shared state of one spawned function: what fiber<T> points at.
#pragma once

#include <coir/detail/any_call.hpp>
#include <coir/detail/clock.hpp>
#include <coir/detail/observer.hpp>
#include <coir/detail/reference_count.hpp>
#include <coir/detail/remote_call.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <stop_token>
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
  /// Begin at once, in the middle of spawn; the spawner goes on after those that are ready
  bool run_first = false;
};

namespace detail {

class task;
class crew;
struct inherited_values;
struct select_access;
struct task_extras;

/// Wants to know of a task's end without a fiber that waits for it: a group's membership, a result
/// that an imap expects. Owned by whoever attaches it, until the task has ended.
struct end_watch {
  end_watch* next_watch = nullptr;  ///< guarded by the task's lock while attached
  const void* owner = nullptr;      ///< a task has at most one watch of each owner
  /// Called once when the task has ended, by whoever ended it, under the task's lock and before its
  /// joiners wake. The watch may be gone when it returns false; true asks for `afterwards`. Takes
  /// no other task's lock; never parks.
  bool (*ended)(end_watch&, task&) noexcept = nullptr;
  /// Called after `ended` without the task's lock; may free the watch. Never parks.
  void (*afterwards)(end_watch&, task&) noexcept = nullptr;
};

/// State and result of a spawned function. Owned jointly by its fiber while that lives and by every
/// handle. As a remote_call it is what makes the fiber of a task that begins on another worker, and
/// then owned by whoever is to invoke it, too.
class COIR_API task : private remote_call {
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

  /// From blocks that ended tasks have left. Any thread; throws std::bad_alloc; never parks.
  static void* operator new(std::size_t size);
  /// Any thread; never parks.
  static void operator delete(void* memory, std::size_t size) noexcept;
  /// For those that hold something over-aligned.
  static void* operator new(std::size_t size, std::align_val_t alignment) {
    return ::operator new(size, alignment);
  }
  static void operator delete(void* memory, std::align_val_t alignment) noexcept {
    ::operator delete(memory, alignment);
  }

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
  /// Parks until the task is ready or the deadline has passed; true when it is ready, and then its
  /// groups have let go of it. Throws fiber_exit when the calling fiber is killed, std::logic_error
  /// when a fiber joins itself.
  bool wait_until(deadline until);
  /// Used by wait_any and its kin: ready once the task has ended.
  wait_source as_wait_source() noexcept {
    return {&lock_, &joiners_,
            [](const void* self) noexcept { return static_cast<const task*>(self)->ready(); },
            this};
  }
  /// Parks until the task is ready; a kill of the calling fiber is kept until later.
  void wait_ended() noexcept;
  /// What the function threw, or null. Any thread, once ready(); never parks.
  const std::exception_ptr& error() const noexcept { return error_; }
  /// Rethrows what the function threw, if anything; must be ready().
  void rethrow() const;
  /// Asks the fiber to end: throws `error`, or fiber_exit when that is null, in it where it waits.
  /// One that has not begun never runs. A fiber that asks it of itself gets it at once. Throws
  /// std::bad_alloc. Any thread; never parks.
  void request_kill(std::exception_ptr error);

  /// Calls `f` in a fiber of its own once the task has ended, or soon when it has already;
  /// callbacks are called in the order in which they were added. Returns its number. Any thread;
  /// never parks.
  std::uint64_t add_callback(any_call<void()> f);
  /// Takes back a callback that has not begun; false when there is none of that number. Any thread;
  /// never parks.
  bool remove_callback(std::uint64_t number) noexcept;

  /// Asks the function to end of its own accord: sets its stop token. True for the first who asks.
  /// Runs the token's callbacks. Any thread; never parks.
  bool request_stop();
  /// The task's stop token. Throws std::bad_alloc. Any thread; never parks.
  std::stop_token stop_token();

  /// Attaches a watch; false when the task has ended, or `w.owner` has one here already. Any
  /// thread; never parks.
  bool watch(end_watch& w) noexcept;
  /// Takes the watch of `owner` back; null when there is none, or the task has ended. Any thread;
  /// never parks.
  end_watch* unwatch(const void* owner) noexcept;
  /// True while `owner` has a watch here and the task has not ended. Any thread; never parks.
  bool is_watched_by(const void* owner) noexcept;

  /// The number shown in reports, unique in the process. Any thread; never parks.
  std::uint64_t id() const noexcept { return id_; }
  /// The name it was given, or "fiber". Any thread; never parks.
  const std::string& name() const noexcept;

 protected:
  task() = default;
  /// Calls the function and keeps its result. Runs on the fiber; its exception is caught by the
  /// caller.
  virtual void run() = 0;
  /// Destroys the function and its arguments, on the fiber, before joiners wake.
  virtual void drop_function() noexcept = 0;
  /// For a task without a fiber: takes it back from whoever would have run it; true when it had not
  /// begun, and it is the caller's to finish. Called under the task's lock; never parks.
  virtual bool take_back() noexcept;
  /// Makes a task that is still its maker's alone one that has ended. Never parks.
  void end_at_once() noexcept {
    state_.store(state::succeeded, std::memory_order_relaxed);
    is_settled_.store(true, std::memory_order_relaxed);
  }

 private:
  friend class task_life;
  friend struct select_access;

  end_watch** watch_of(const void* owner) noexcept;

  static void call_back(task& t) noexcept;
  void run_callbacks() noexcept;
  any_call<void()> next_callback() noexcept;
  std::stop_source stop_source();
  task_extras& extras();

  reference_count owners_;
  std::atomic<state> state_{state::waiting};
  std::atomic<bool> is_settled_{false};  ///< ready, and its watches were told
  bool is_handed_over_ = false;  ///< constant once others know the task: somebody makes its fiber
  bool is_taken_ = false;        ///< guarded by lock_: by whoever made that fiber, or by a kill
  bool is_unseen_ = false;       ///< guarded by lock_: handed over, and nobody has come to it yet
  /// While it lives: read by others under lock_, written under it unless nobody else knows the task
  control_block* fiber_ = nullptr;
  std::exception_ptr error_;
  short_lock lock_;
  wait_queue joiners_;            ///< guarded by lock_
  end_watch* watches_ = nullptr;  ///< guarded by lock_
  bool is_calling_ = false;       ///< guarded by lock_: a fiber calls the callbacks, or is about to
  std::uint64_t id_ = 0;
  deadline start_time_ = 0;  ///< of a task started by start_task_at
  // Of one that was handed over, until it has a fiber.
  std::uint32_t kills_before_ = 0;  ///< crew::kills when it was
  const void* site_ = nullptr;
  std::size_t stack_bytes_ = 0;
  inherited_values* inherited_ = nullptr;  ///< owned: what its maker had
  /// What few tasks need, or null: written once, under lock_ unless nobody else knows the task yet
  std::atomic<task_extras*> extras_{nullptr};
};

/// Makes a fiber for `t` on the calling thread's worker and queues it behind the fibers that are
/// ready; takes over one reference. `site` is the address reported as spawn site. Throws
/// std::system_error when there is no memory for a stack. Never parks.
COIR_API void start_task(task* t, const attributes& how, const void* site);
/// start_task with the default attributes.
COIR_API void start_task(task* t, const void* site);
/// start_task at a later time; killing it earlier means that it never runs.
COIR_API void start_task_at(task* t, const attributes& how, const void* site, deadline when);

/// start_task on any worker of `where`, whichever comes first. It may fail there for want of memory
/// for a stack: then the task has failed with what start_task throws. When all fibers of `where`
/// are killed before it has begun, it never runs. Any thread.
COIR_API void start_task_among(crew& where, task* t, const attributes& how, const void* site);
/// start_task on the worker of that number, of which the same is true. Any thread.
COIR_API void start_task_on(crew& where, std::size_t number, task* t, const attributes& how,
                            const void* site);

/// The task of the running fiber; null on a main fiber, a raw context, and a thread that is no
/// worker. Never parks.
COIR_API task* current_task() noexcept;
/// The task that `f` runs; null for a main fiber, a raw context and one that has ended. The
/// worker's thread only; never parks.
task* task_of_fiber(const control_block& f) noexcept;

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
class bound_task : public task_of<R> {
 public:
  template <class F, class... A>
  explicit bound_task(F&& f, A&&... args)
      : call_(std::in_place, std::forward<F>(f), std::forward<A>(args)...) {}

 private:
  void run() override {
    // An inner apply, because std::invoke lives in a header that is costly to compile
    auto apply_to = [](Function& f, Args&... args) -> R {
      return std::apply(std::move(f), std::forward_as_tuple(std::move(args)...));
    };
    if constexpr (std::is_void_v<R>) {
      std::apply(apply_to, *call_);
    } else {
      this->value.emplace(std::apply(apply_to, *call_));
    }
  }
  void drop_function() noexcept override { call_.reset(); }

  std::optional<std::tuple<Function, Args...>> call_;
};

/// Counting pointer to a task.
template <class Task>
using task_ref = counted_ptr<Task>;

}  // namespace detail
}  // namespace coir
