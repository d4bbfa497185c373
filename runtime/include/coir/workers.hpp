/// Several workers, each on a thread of its own: how a program uses all cores.
#pragma once

#include <coir/detail/owned.hpp>
#include <coir/fiber.hpp>
#include <coir/worker_options.hpp>

#include <cstddef>
#include <vector>

namespace coir {
class group;
namespace detail {
class worker_threads;
}  // namespace detail

/// Workers that share out fibers among them. Each has its own run queue, reactor and timers, and
/// runs one fiber at a time; all that fibers can wait in works between them.
///
/// A fiber that was spawned here may begin on any worker: on the one that spawned it, or on another
/// that has nothing else to do. From its beginning to its end it stays there. So two fibers spawned
/// here may run at the same time, and need a mutex for what they share. coir::spawn keeps its
/// promise: the new fiber belongs to the worker of its spawner, and the two never run at once. The
/// order in which fibers begin is not defined; a worker prefers what it has spawned last.
///
/// Any thread may call any member. The thread that makes a set is not one of its workers. In the
/// child of a fork a set has no threads: spawning throws std::logic_error, waiting returns.
class COIR_API workers {
 public:
  /// Starts `count` workers; 0 as in worker_options. Parks until they run. Throws
  /// std::invalid_argument for a count above worker_options::count_max, std::system_error when a
  /// thread cannot be started or has no descriptors or memory for its reactor: none is left then.
  /// Throws std::bad_alloc when there is no memory even to say so.
  explicit workers(std::size_t count = 0);
  /// The same as the options say; std::system_error also when a processor cannot be had.
  explicit workers(const worker_options& how);
  workers(const workers&) = delete;
  workers& operator=(const workers&) = delete;
  /// Parks until all fibers of the workers have ended, then ends the threads. A kill of the waiting
  /// fiber is kept until then. Not from a fiber of the set itself.
  ~workers();

  /// How many there are; never parks.
  std::size_t size() const noexcept;

  /// As coir::spawn, but the fiber may begin on any worker of the set. Throws std::bad_alloc; when
  /// there is no memory for its stack later, the fiber fails with std::system_error. Never parks.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto spawn(Function&& f, Args&&... args) {
    return spawn_among(attributes{}, detail::here(), std::forward<Function>(f),
                       std::forward<Args>(args)...);
  }
  /// spawn with a name and a stack size. `run_first` means nothing here.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto spawn(const attributes& how, Function&& f, Args&&... args) {
    return spawn_among(how, detail::here(), std::forward<Function>(f), std::forward<Args>(args)...);
  }

  /// As spawn, but on the worker of that number, counted from 0, and no other. Those that one
  /// thread spawns on one worker begin in the order in which they were spawned. Throws
  /// std::out_of_range too.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto spawn_on(std::size_t number, Function&& f, Args&&... args) {
    return spawn_at(number, attributes{}, detail::here(), std::forward<Function>(f),
                    std::forward<Args>(args)...);
  }
  /// spawn_on with a name and a stack size.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto spawn_on(std::size_t number, const attributes& how, Function&& f,
                                  Args&&... args) {
    return spawn_at(number, how, detail::here(), std::forward<Function>(f),
                    std::forward<Args>(args)...);
  }
  /// spawn_on each worker, with a copy of `f`: a listener for each, say. The fibers in the order of
  /// the workers.
  template <class Function>
    requires std::invocable<Function&>
  [[gnu::noinline]] auto spawn_on_each(const Function& f) {
    const void* const site = detail::here();
    std::vector<decltype(spawn_at(0, attributes{}, site, f))> fibers;
    fibers.reserve(size());
    for (std::size_t i = 0; i < size(); ++i) fibers.push_back(spawn_at(i, attributes{}, site, f));
    return fibers;
  }

  /// The number of the worker with the fewest fibers, those included that would begin there next.
  /// Never parks.
  std::size_t least_loaded() const noexcept;

  /// Parks until nothing that was spawned here, or by fibers of the workers, is left. The set may
  /// be used again. Throws fiber_exit when the caller is killed meanwhile, std::logic_error when it
  /// is a fiber of the set.
  void join() { join_until(detail::never); }
  /// As join, but for no longer than `timeout`; true when nothing is left.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> timeout) {
    return join_until(detail::deadline_after(timeout));
  }
  /// Kills all fibers of the workers with fiber_exit, those that have not begun never run; with
  /// `wait`, parks until they have ended, as join(). What they spawn while they end is killed, too.
  /// Without `wait` it may reach a fiber that is spawned right afterwards.
  void kill(bool wait = true);
  /// As kill, but waits for no longer than `timeout`; true when nothing is left.
  template <class Rep, class Period>
  bool kill_for(std::chrono::duration<Rep, Period> timeout) {
    return kill_until(detail::deadline_after(timeout));
  }

  /// The set whose worker the calling thread is; null elsewhere. Never parks.
  static workers* current() noexcept;
  /// The number of the calling worker in its set; never parks. -1 where current() is null.
  static int current_number() noexcept;

 private:
  friend class group;

  template <class Function, class... Args>
  auto spawn_among(const attributes& how, const void* site, Function&& f, Args&&... args) {
    auto state = detail::make_bound_task(std::forward<Function>(f), std::forward<Args>(args)...);
    detail::crew& where = crew();
    state->retain();
    detail::start_task_among(where, state.get(), how, site);
    return fiber(std::move(state));
  }
  template <class Function, class... Args>
  auto spawn_at(std::size_t number, const attributes& how, const void* site, Function&& f,
                Args&&... args) {
    auto state = detail::make_bound_task(std::forward<Function>(f), std::forward<Args>(args)...);
    detail::crew& where = crew_with(number);
    state->retain();
    detail::start_task_on(where, number, state.get(), how, site);
    return fiber(std::move(state));
  }
  detail::crew& crew() const;
  detail::crew& crew_with(std::size_t number) const;
  bool join_until(detail::deadline until);
  bool kill_until(detail::deadline until);

  detail::owned<detail::worker_threads> threads_;
};

}  // namespace coir
