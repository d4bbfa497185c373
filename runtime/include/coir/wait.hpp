/// Waiting for several things at a time: gevent's wait and iwait.
///
/// What can be waited for: a fiber (ready once it has ended), an event (set), a semaphore (a unit
/// is free), a latch, a future (it has a value or an error), a queue (it holds an item) and a
/// channel (it holds an item, a sender waits, or it is closed). Waiting takes nothing: a unit or an
/// item that was there may be gone by the time the caller comes to take it. What is ready already
/// counts at once, again with each call. Objects must outlive the wait. Fibers and threads of all
/// kinds may wait; a wait throws fiber_exit when its fiber is killed, and std::bad_alloc for many
/// objects.
#pragma once

#include <coir/detail/iterable.hpp>
#include <coir/detail/observer.hpp>
#include <coir/fiber.hpp>

#include <cstddef>
#include <iterator>
#include <limits>
#include <mutex>  // std::chrono, as in detail/clock.hpp
#include <optional>
#include <vector>

namespace coir {
namespace detail {

/// Has what coir::wait needs.
template <class Object>
concept waitable = requires(Object& object) {
  { object.as_wait_source() } -> std::same_as<wait_source>;
};

/// A range of objects that can be waited for.
template <class Range>
concept waitable_range = iterable<Range> && requires(Range& r) {
  requires waitable<std::remove_reference_t<decltype(*std::begin(r))>>;
};

/// The observation of a list of objects, from its construction to its end.
class COIR_API observed_list {
 public:
  /// For exactly `count` objects. Throws std::bad_alloc.
  explicit observed_list(std::size_t count);
  observed_list(const observed_list&) = delete;
  observed_list& operator=(const observed_list&) = delete;
  ~observed_list();

  /// One more object; its number is how many came before. Never parks.
  void add(const wait_source& source) noexcept;
  /// observation::next.
  std::size_t next(deadline until) { return all_.next(until); }

 private:
  struct place {
    wait_source source;
    observer in;
  };
  static constexpr std::size_t places_inline = 4;

  observation all_;
  place inline_[places_inline];
  place* places_ = inline_;
  std::size_t used_ = 0;
};

/// A list of as many objects as a range has, which is walked twice.
template <waitable_range Range>
void observe_each(Range& objects, std::optional<observed_list>& list) {
  std::size_t count = 0;
  for (auto it = std::begin(objects); it != std::end(objects); ++it) ++count;
  list.emplace(count);
  for (auto& object : objects) list->add(object.as_wait_source());
}

}  // namespace detail

/// When a wait for several objects is over, besides when all are ready.
struct wait_limit {
  /// So many are ready
  std::size_t count = std::numeric_limits<std::size_t>::max();
  /// So much time has passed
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
};

/// Parks until all objects of the range are ready, or as many as `limit` says, or its time is up.
/// Returns the places of those that are, counted from 0, in the order in which they became ready:
/// gevent's wait(objects, timeout, count).
template <detail::waitable_range Range>
std::vector<std::size_t> wait(Range&& objects, wait_limit limit = {}) {
  const detail::deadline until = detail::deadline_after(limit.timeout);
  std::optional<detail::observed_list> list;
  detail::observe_each(objects, list);
  std::vector<std::size_t> ready;
  while (ready.size() < limit.count) {
    const std::size_t index = list->next(until);
    if (index == detail::observation::none) break;
    ready.push_back(index);
  }
  return ready;
}

/// Parks until one of the objects is ready; returns its place, counted from 0. Of several that are
/// ready already it is the first.
template <detail::waitable... Objects>
  requires(sizeof...(Objects) > 0)
std::size_t wait_any(Objects&... objects) {
  detail::observed_list list(sizeof...(objects));
  (list.add(objects.as_wait_source()), ...);
  return list.next(detail::never);
}

/// As wait_any, but for no longer than `timeout`; nothing when none was ready by then.
template <class Rep, class Period, detail::waitable... Objects>
  requires(sizeof...(Objects) > 0)
std::optional<std::size_t> wait_any_for(std::chrono::duration<Rep, Period> timeout,
                                        Objects&... objects) {
  const detail::deadline until = detail::deadline_after(timeout);
  detail::observed_list list(sizeof...(objects));
  (list.add(objects.as_wait_source()), ...);
  const std::size_t index = list.next(until);
  if (index == detail::observation::none) return std::nullopt;
  return index;
}

/// Parks until every one of the objects was ready once, or `timeout` has passed; true when all
/// were.
template <class Rep, class Period, detail::waitable... Objects>
bool wait_all_for(std::chrono::duration<Rep, Period> timeout, Objects&... objects) {
  const detail::deadline until = detail::deadline_after(timeout);
  detail::observed_list list(sizeof...(objects));
  (list.add(objects.as_wait_source()), ...);
  std::size_t ready = 0;
  while (ready < sizeof...(objects) && list.next(until) != detail::observation::none) ++ready;
  return ready == sizeof...(objects);
}

/// Parks until every one of the objects was ready once.
template <detail::waitable... Objects>
void wait_all(Objects&... objects) {
  wait_all_for(std::chrono::nanoseconds::max(), objects...);
}

/// When joinall is over, besides when all fibers have ended.
struct join_options {
  /// So many have ended, in whatever way
  std::size_t count = std::numeric_limits<std::size_t>::max();
  /// So much time has passed
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
  /// Rethrow the error of the first that fails, as soon as it has
  bool raise_error = false;
};

/// joinall with gevent's other arguments: parks until all fibers of the range have ended or one of
/// the conditions of `how` has come; returns how many have ended. The others run on.
template <detail::waitable_range Range>
std::size_t joinall(Range&& fibers, join_options how) {
  const detail::deadline until = detail::deadline_after(how.timeout);
  std::optional<detail::observed_list> list;
  detail::observe_each(fibers, list);
  std::size_t ended = 0;
  for (; ended < how.count; ++ended) {
    const std::size_t index = list->next(until);
    if (index == detail::observation::none) break;
    auto& f = *std::next(std::begin(fibers), static_cast<std::ptrdiff_t>(index));
    if (how.raise_error && f.exception()) std::rethrow_exception(f.exception());
  }
  return ended;
}

/// What as_completed returns: to be walked once, by the fiber that made it.
template <class Range>
class completion_range {
 public:
  /// Used by as_completed.
  completion_range(Range& objects, detail::deadline until) : objects_(objects), until_(until) {
    detail::observe_each(objects, list_);
  }

  /// Walks the objects as they become ready; ++ parks.
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;  ///< can be walked once
    using value_type = detail::item_type_of<Range>;    ///< the objects of the range
    using difference_type = std::ptrdiff_t;            ///< as an iterator must say
    /// Used by completion_range.
    explicit iterator(completion_range* of) : of_(of) { ++*this; }
    /// The object that is ready. Never parks.
    auto& operator*() const { return *std::next(std::begin(of_->objects_), offset_); }
    /// Parks until the next one is ready, or the time is up.
    iterator& operator++() {
      offset_ = static_cast<std::ptrdiff_t>(of_->list_->next(of_->until_));
      return *this;
    }
    /// The same.
    void operator++(int) { ++*this; }
    /// True when all were ready, or the time is up.
    bool operator==(std::default_sentinel_t) const noexcept {
      return static_cast<std::size_t>(offset_) == detail::observation::none;
    }

   private:
    completion_range* of_;
    std::ptrdiff_t offset_ = 0;
  };

  /// Parks until the first one is ready.
  iterator begin() { return iterator(this); }
  /// Where the walk ends.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  Range& objects_;
  detail::deadline until_;
  std::optional<detail::observed_list> list_;
};

/// The objects of the range, which must outlive the walk, one by one in the order in which they
/// become ready: gevent's iwait. Leaving the walk early leaves nothing behind.
///
///     for (auto& f : as_completed(fibers)) use(f.get());
template <detail::waitable_range Range>
completion_range<Range> as_completed(Range& objects) {
  return {objects, detail::never};
}
/// As as_completed, but the walk ends after `timeout` in all.
template <detail::waitable_range Range, class Rep, class Period>
completion_range<Range> as_completed(Range& objects, std::chrono::duration<Rep, Period> timeout) {
  return {objects, detail::deadline_after(timeout)};
}

namespace detail {
/// Parks until no other fiber of the calling thread's worker lives; false when the deadline passed.
COIR_API bool wait_for_all_until(deadline until);
}  // namespace detail

/// Parks until no other fiber of the calling thread is left, those included that are spawned
/// meanwhile: gevent's wait() without objects. Fibers of suspended contexts do not count.
inline void wait_for_all() { detail::wait_for_all_until(detail::never); }
/// As wait_for_all, but for no longer than `timeout`; true when none is left.
template <class Rep, class Period>
bool wait_for_all(std::chrono::duration<Rep, Period> timeout) {
  return detail::wait_for_all_until(detail::deadline_after(timeout));
}

}  // namespace coir
