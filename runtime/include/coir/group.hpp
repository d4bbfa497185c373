/// Fibers that belong together: gevent.pool.Group.
#pragma once

#include <coir/basic_group.hpp>
#include <coir/workers.hpp>

#include <cstddef>
#include <vector>

namespace coir {
namespace detail {

/// A task of a group's own, with its membership.
template <class Task>
class member_task final : public Task {
 public:
  using Task::Task;
  membership seat;
};

}  // namespace detail

/// Fibers that are joined or killed together, as many as come. A member leaves by itself when it
/// ends; what is said of "the members" never includes one that has ended.
class COIR_API group : public basic_group<group> {
 public:
  /// A group without members.
  group() noexcept : basic_group(detail::roster::unbounded) {}
  /// A group whose fibers begin on any worker of `on`, which must outlive it: see workers::spawn.
  explicit group(workers& on) noexcept : basic_group(detail::roster::unbounded), on_(&on) {}
  /// A group of these fibers. Throws std::bad_alloc.
  template <class... T>
  explicit group(const fiber<T>&... members) : group() {
    (add(members), ...);
  }
  /// Parks until the group is empty, as join(). A kill of the waiting fiber is kept until then: see
  /// scope for what ends its fibers.
  ~group();

  /// Makes a fiber that was spawned elsewhere a member; nothing happens when it has ended, or is a
  /// member. Parks while there is no place, or, without `wait`, throws pool_full then. Throws
  /// fiber_exit when the caller is killed meanwhile, std::bad_alloc.
  void add(const any_fiber& f, bool wait = true) { add_until(f, wait ? detail::never : 0); }
  /// As add, but waits for a place for no longer than `timeout`; then throws pool_full.
  template <class Rep, class Period>
  void add_for(const any_fiber& f, std::chrono::duration<Rep, Period> timeout) {
    add_until(f, detail::deadline_after(timeout));
  }
  /// Ends a membership; the fiber runs on, and its place is free. False when it was no member.
  /// Never parks.
  bool discard(const any_fiber& f) noexcept {
    return roster_.discard(*detail::handle_access::state(f));
  }
  /// True while `f` is a member. Never parks.
  bool contains(const any_fiber& f) const noexcept {
    return roster_.contains(*detail::handle_access::state(f));
  }
  /// How many members there are. Never parks.
  std::size_t size() noexcept { return roster_.size(); }
  /// True without members. Never parks.
  bool empty() noexcept { return size() == 0; }
  /// The members of this moment, in the order in which they came. Throws std::bad_alloc; never
  /// parks.
  std::vector<any_fiber> members();

  /// Kills all members with fiber_exit, those that have not begun never run. With `wait`, parks
  /// until the group is empty, and kills whoever is added meanwhile, too. However often it is
  /// called, a member gets one kill from its group, so that its clean-up is not cut short; one that
  /// goes on regardless can be killed by its handle. The calling fiber, if it is a member, gets
  /// its kill here, once all others were asked. Throws fiber_exit when the caller is killed
  /// meanwhile, std::bad_alloc when a fiber of another thread cannot be asked.
  void kill(bool wait = true) { kill(nullptr, wait); }
  /// As kill, but throws `error` in the members instead of fiber_exit (which null means).
  void kill(const std::exception_ptr& error, bool wait = true);
  /// As kill, but waits for no longer than `timeout`; true when the group is empty.
  template <class Rep, class Period>
  bool kill_for(std::chrono::duration<Rep, Period> timeout,
                const std::exception_ptr& error = nullptr) {
    return roster_.kill(error, detail::deadline_after(timeout));
  }

 protected:
  /// As basic_group; on that set of workers, or, without one, on the spawner's.
  explicit group(std::size_t places, workers* on = nullptr,
                 detail::roster::failure_handler on_failure = nullptr,
                 void* argument = nullptr) noexcept
      : basic_group(places, on_failure, argument), on_(on) {}

 private:
  friend class basic_group<group>;
  template <class Task>
  using task_for = detail::member_task<Task>;

  void start_task(detail::task& t, const attributes& how, const void* site) const {
    detail::crew* const where = on_ ? &on_->crew() : nullptr;
    t.retain();
    where ? detail::start_task_among(*where, &t, how, site) : detail::start_task(&t, how, site);
  }
  bool is_own_caller() const noexcept { return roster_.contains_caller(); }
  void add_until(const any_fiber& f, detail::deadline until);

  workers* const on_ = nullptr;
};

}  // namespace coir
