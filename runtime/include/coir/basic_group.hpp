/// What group, pool and thread_pool have in common: spawning within a number of places.
#pragma once

#include <coir/any_fiber.hpp>
#include <coir/detail/roster.hpp>
#include <coir/mapping.hpp>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace coir {

/// Spawns functions, each of which has one of a limited number of places until it has ended, and
/// waits for them. `Group`, which derives from it, says how a task is made and started. Any fiber
/// or thread may call any member; the group must outlive those that wait in it. In the child of a
/// fork it is empty: what the parent had spawned does not go on there.
template <class Group>
class basic_group : public mapping<Group> {
 public:
  basic_group(const basic_group&) = delete;
  basic_group& operator=(const basic_group&) = delete;

  /// As coir::spawn, within the group; parks while there is no place, and those who wait get one in
  /// order of arrival. Throws fiber_exit when the caller is killed meanwhile, and what coir::spawn
  /// throws.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto spawn(Function&& f, Args&&... args) {
    return spawn_until(detail::never, attributes{}, detail::here(), std::forward<Function>(f),
                       std::forward<Args>(args)...);
  }
  /// spawn with a name and a stack size.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto spawn(const attributes& how, Function&& f, Args&&... args) {
    return spawn_until(detail::never, how, detail::here(), std::forward<Function>(f),
                       std::forward<Args>(args)...);
  }
  /// As spawn, but waits for a place for no longer than `timeout`; throws pool_full when there was
  /// none until then, and `f` and `args` are then unchanged.
  template <class Rep, class Period, class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto spawn_for(std::chrono::duration<Rep, Period> timeout, Function&& f,
                                   Args&&... args) {
    return spawn_until(detail::deadline_after(timeout), attributes{}, detail::here(),
                       std::forward<Function>(f), std::forward<Args>(args)...);
  }
  /// As spawn, but never parks: an optional without a fiber when there is no place, and `f` and
  /// `args` are then unchanged.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  [[gnu::noinline]] auto try_spawn(Function&& f, Args&&... args) {
    const void* const site = detail::here();
    using spawned =
        decltype(start(attributes{}, site, std::forward<Function>(f), std::forward<Args>(args)...));
    if (!roster_.take_place(0)) return std::optional<spawned>();
    return std::optional<spawned>(
        start(attributes{}, site, std::forward<Function>(f), std::forward<Args>(args)...));
  }

  /// Parks until nothing that was spawned here is left, and nobody waits for a place. With
  /// `raise_error`, then throws what the first of those threw that were here when it was called, in
  /// the order in which they came. Throws fiber_exit when the caller is killed meanwhile,
  /// std::logic_error when it is a member itself.
  void join(bool raise_error = false) { join_until(detail::never, raise_error); }
  /// As join, but for no longer than `timeout`; true when nothing is left. Throws only errors of
  /// what has ended.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> timeout, bool raise_error = false) {
    return join_until(detail::deadline_after(timeout), raise_error);
  }

  /// How many more could be spawned now without waiting; never parks.
  std::size_t free_count() noexcept { return roster_.free_places(); }
  /// True while a spawn would wait; never parks.
  bool full() noexcept { return free_count() == 0; }
  /// Parks until there is a place, and leaves it to whoever comes first. Throws fiber_exit when the
  /// caller is killed meanwhile.
  void wait_available() { wait_available_until(detail::never); }
  /// As wait_available, but for no longer than `timeout`; true when there was a place.
  template <class Rep, class Period>
  bool wait_available_for(std::chrono::duration<Rep, Period> timeout) {
    return wait_available_until(detail::deadline_after(timeout));
  }

 protected:
  /// With so many places; `on_failure(argument, error)` hears of members that failed.
  explicit basic_group(std::size_t places, detail::roster::failure_handler on_failure = nullptr,
                       void* argument = nullptr) noexcept
      : roster_(places, on_failure, argument) {}
  ~basic_group() = default;

  /// The members and places; what a Group adds stands on it.
  detail::roster roster_;

 private:
  friend class mapping<Group>;

  detail::roster::hold keep_open() noexcept { return detail::roster::hold(roster_); }
  bool is_inside() noexcept { return static_cast<Group*>(this)->is_own_caller(); }

  template <class Function, class... Args>
  auto spawn_until(detail::deadline until, const attributes& how, const void* site, Function&& f,
                   Args&&... args) {
    if (!roster_.take_place(until)) throw pool_full();
    return start(how, site, std::forward<Function>(f), std::forward<Args>(args)...);
  }

  /// Makes a task for a place that was taken.
  template <class Function, class... Args>
  auto start(const attributes& how, const void* site, Function&& f, Args&&... args) {
    using result = std::invoke_result_t<std::decay_t<Function>, std::decay_t<Args>...>;
    using call = detail::bound_task<result, std::decay_t<Function>, std::decay_t<Args>...>;
    detail::roster::place place(roster_);
    auto* const made = new typename Group::template task_for<call>(std::forward<Function>(f),
                                                                   std::forward<Args>(args)...);
    detail::task_ref<detail::task_of<result>> state(made);
    roster_.reserve(made->seat, *made);
    static_cast<Group*>(this)->start_task(*made, how, site);
    place.use();
    roster_.enter(made->seat);
    return fiber<result>(std::move(state));
  }

  bool join_until(detail::deadline until, bool raise_error) {
    if (is_inside()) throw std::logic_error("coir: a member of a group cannot join the group");
    if (!raise_error) return roster_.join(until);
    const std::vector<detail::task_ref<detail::task>> members = roster_.members();
    const bool is_empty = roster_.join(until);
    for (const auto& each : members) {
      if (each->ready()) each->rethrow();
    }
    return is_empty;
  }

  bool wait_available_until(detail::deadline until) {
    if (!roster_.take_place(until)) return false;
    roster_.give_place();
    return true;
  }
};

}  // namespace coir
