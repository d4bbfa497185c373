/// apply, map and imap in all their forms, once for group, pool and thread_pool.
#pragma once

#include <coir/detail/iterable.hpp>
#include <coir/fiber.hpp>
#include <coir/imap_range.hpp>

#include <cstddef>
#include <iterator>
#include <limits>
#include <new>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace coir {
namespace detail {

/// What a call of `Function` returns for an item of `Range`, of which it owns one.
template <class Function, class Range>
using result_of = std::invoke_result_t<Function&, item_type_of<Range>&>;

/// A range to be walked later: an lvalue by reference, anything else by value.
template <class Range>
struct kept_range {
  Range items;
};

/// Ends what a map has begun when it is left by an exception, since its calls use the frame of map.
template <class Fibers>
struct all_ended {
  Fibers& fibers;
  ~all_ended() {
    for (auto& each : fibers) {
      try {
        handle_access::state(each)->request_kill(nullptr);
      } catch (const std::bad_alloc&) {  // for a fiber of another thread: it is only waited for
      }
    }
    for (auto& each : fibers) handle_access::state(each)->wait_ended();
  }
};

/// The task of a call that its caller has made itself.
template <class R>
class made_call final : public task_of<R> {
 public:
  template <class Call>
  explicit made_call(Call call) {
    if constexpr (std::is_void_v<R>) {
      call();
    } else {
      this->value.emplace(call());
    }
    this->end_at_once();
  }

 private:
  void run() override {}
  void drop_function() noexcept override {}
};

/// What an imap with `Function` over `Range` needs while it runs.
template <class Function, class Range>
struct bound_imap final : imap_state {
  bound_imap(bool is_ordered, std::size_t ahead_max, Function f, Range&& range)
      : imap_state(is_ordered, ahead_max),
        function(std::move(f)),
        input{std::forward<Range>(range)} {}
  Function function;
  kept_range<Range> input;
};

}  // namespace detail

/// Calls of a function in a group, with one set of arguments or with each item of a range: gevent's
/// GroupMappingMixin. `Group`, which derives from it, has spawn(), try_spawn(), keep_open(), and
/// is_inside(), which says whether the caller is one of its own.
///
/// The function of a map or imap is shared by its calls; where the group is a thread_pool they are
/// made on several threads at a time. Any fiber or thread may call any member.
template <class Group>
class mapping {
 public:
  /// No bound on how far an imap may be ahead of its reader.
  static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

  /// Spawns `f(args...)` here, waits for it, and returns its value or throws what it threw. Called
  /// by a member of this group it is a plain call, so that a full group never waits for itself.
  /// Throws fiber_exit when the caller is killed meanwhile; the call then goes on alone.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  auto apply(Function&& f, Args&&... args) {
    if (self().is_inside()) {
      return std::apply(std::decay_t<Function>(std::forward<Function>(f)),
                        std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...));
    }
    auto call = self().spawn(std::forward<Function>(f), std::forward<Args>(args)...);
    if constexpr (std::is_void_v<decltype(call.get())>) {
      call.get();
    } else {
      return std::decay_t<decltype(call.get())>(std::move(call.get()));  // nobody else has it
    }
  }

  /// As spawn, but never parks: when there is no place, what is returned is a fiber outside the
  /// group that waits for one and applies. The group counts as not empty until then.
  template <class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  auto apply_async(Function&& f, Args&&... args) {
    if (auto call = self().try_spawn(std::forward<Function>(f), std::forward<Args>(args)...))
      return *std::move(call);
    return coir::spawn(
        [this, open = self().keep_open(), f = std::decay_t<Function>(std::forward<Function>(f))](
            auto&&... as) mutable { return apply(std::move(f), std::move(as)...); },
        std::forward<Args>(args)...);
  }

  /// As apply_async, and calls `callback` with the value, or without argument when there is none,
  /// in a fiber of the calling thread, once the call has returned; not when it has thrown or was
  /// killed. gevent's apply_async(..., callback). The group counts as not empty until then.
  template <class Callback, class Function, class... Args>
    requires std::invocable<std::decay_t<Function>, std::decay_t<Args>...>
  auto apply_async_then(Callback callback, Function&& f, Args&&... args) {
    auto call = apply_async(std::forward<Function>(f), std::forward<Args>(args)...);
    coir::spawn([call, open = self().keep_open(), callback = std::move(callback)]() mutable {
      call.join();
      if (!call.successful()) return;
      if constexpr (std::is_void_v<decltype(call.get())>) {
        callback();
      } else {
        callback(call.get());
      }
    });
    return call;
  }

  /// Calls `f` on each item, as many at a time as there are places, and returns the results, if
  /// any, in the order of the items; parks until all have ended. Then the first error in that order
  /// is thrown, where gevent throws it without waiting for the calls behind it. What `items` itself
  /// throws, and a kill of the caller, end the calls that were begun. A member of this group makes
  /// those calls itself for which there is no place, and what such a call throws ends the others.
  template <class Function, detail::iterable Range>
  auto map(Function f, Range&& items) {
    using result = detail::result_of<Function, Range>;
    std::vector<fiber<result>> calls;
    const detail::all_ended<std::vector<fiber<result>>> guard{calls};
    const bool is_inside = self().is_inside();
    for (auto&& each : items) {
      detail::item_type_of<Range> item(std::forward<decltype(each)>(each));
      calls.push_back(is_inside ? try_call(f, item) : call(f, item));
    }
    joinall(calls);
    return values_of(calls);
  }

  /// map in a fiber of the calling thread, outside the group; its value is what map returns. Never
  /// parks. A range that is an lvalue must outlive the fiber. The group counts as not empty until
  /// the fiber has ended.
  template <class Function, detail::iterable Range>
  auto map_async(Function f, Range&& items) {
    return coir::spawn([this, open = self().keep_open(), f = std::move(f),
                        input = detail::kept_range<Range>{std::forward<Range>(items)}]() mutable {
      return map(std::move(f), std::forward<Range>(input.items));
    });
  }

  /// As map_async, and calls `callback` with the results, or without argument when there are none,
  /// in that fiber; not when map throws.
  template <class Function, detail::iterable Range, class Callback>
  auto map_async(Function f, Range&& items, Callback callback) {
    return coir::spawn([this, open = self().keep_open(), f = std::move(f),
                        input = detail::kept_range<Range>{std::forward<Range>(items)},
                        callback = std::move(callback)]() mutable {
      if constexpr (std::is_void_v<detail::result_of<Function, Range>>) {
        map(std::move(f), std::forward<Range>(input.items));
        callback();
      } else {
        auto results = map(std::move(f), std::forward<Range>(input.items));
        callback(std::as_const(results));
        return results;
      }
    });
  }

  /// Calls `f` on the items as they come, as many at a time as there are places, and returns at
  /// once a range over the results in the order of the items: see imap_range. The input is read by
  /// a fiber of its own on the calling thread, and may wait; it is read only as far as calls are
  /// made, and no more than `ahead_max` of them, gevent's maxsize, are begun and not read. A range
  /// that is an lvalue must outlive what is returned. A member of this group should not read it:
  /// the calls wait for places. Throws std::invalid_argument when `ahead_max` is 0. Never parks.
  template <class Function, detail::iterable Range>
  auto imap(Function f, Range&& items, std::size_t ahead_max = no_limit) {
    return start_imap<Function, Range>(true, std::move(f), std::forward<Range>(items), ahead_max);
  }

  /// As imap, but in the order in which the calls end.
  template <class Function, detail::iterable Range>
  auto imap_unordered(Function f, Range&& items, std::size_t ahead_max = no_limit) {
    return start_imap<Function, Range>(false, std::move(f), std::forward<Range>(items), ahead_max);
  }

 protected:
  mapping() = default;
  ~mapping() = default;

 private:
  // How many items an imap may take before others get a turn, for input that never waits
  static constexpr int items_per_turn = 16;

  Group& self() noexcept { return static_cast<Group&>(*this); }

  template <class Function, class Item>
  auto call(Function& f, Item& item) {
    return self().spawn([&f](Item own) { return f(own); }, std::move(item));
  }

  /// call(), or, when there is no place, a call by the caller.
  template <class Function, class Item>
  auto try_call(Function& f, Item& item) {
    using result = std::invoke_result_t<Function&, Item&>;
    if (auto spawned = self().try_spawn([&f](Item own) { return f(own); }, std::move(item)))
      return *std::move(spawned);
    return fiber<result>(detail::task_ref<detail::task_of<result>>(
        new detail::made_call<result>([&] { return f(item); })));
  }

  template <class R>
  static auto values_of(std::vector<fiber<R>>& calls) {
    if constexpr (std::is_void_v<R>) {
      for (auto& each : calls) each.get();
    } else {
      std::vector<R> values;
      values.reserve(calls.size());
      for (auto& each : calls) values.push_back(std::move(each.get()));
      return values;
    }
  }

  template <class Function, class Range>
  auto start_imap(bool is_ordered, Function f, Range&& items, std::size_t ahead_max) {
    if (ahead_max == 0)
      throw std::invalid_argument("coir: an imap that may begin no call would never end");
    auto state = detail::owned(new detail::bound_imap<Function, Range>(
        is_ordered, ahead_max, std::move(f), std::forward<Range>(items)));
    auto feeder = coir::spawn({.name = "imap"}, [this, s = state.get()] { feed(*s); });
    state->feed.set_feeder(detail::task_ref<detail::task>(detail::handle_access::state(feeder)));
    return imap_range<detail::result_of<Function, Range>>(std::move(state));
  }

  template <class Function, class Range>
  void feed(detail::bound_imap<Function, Range>& imap) {
    int items_left = items_per_turn;
    try {
      const auto end = std::end(imap.input.items);
      for (auto at = std::begin(imap.input.items); at != end; ++at) {
        detail::owned place(new detail::result_feed::item);
        detail::item_type_of<Range> item(*at);
        auto begun = call(imap.function, item);
        imap.feed.add(std::move(place),
                      detail::task_ref<detail::task>(detail::handle_access::state(begun)));
        imap.feed.wait_for_room();
        if (--items_left > 0) continue;
        items_left = items_per_turn;
        this_fiber::yield();
      }
    } catch (const fiber_exit&) {
      throw;  // nobody reads any more
    } catch (...) {
      imap.feed.fail(std::current_exception());
    }
  }
};

}  // namespace coir
