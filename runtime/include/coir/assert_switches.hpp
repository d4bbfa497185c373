/// Assertions that code gives up its worker, or does not: for tests, and for debugging.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/detail/stretch.hpp>
#include <coir/export.hpp>

#include <concepts>
#include <cstdint>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace coir {

/// Thrown when code did not give up its worker that should have, or did that should not have. The
/// text names the fiber, the place of the assertion and the time. gevent's AssertionError.
class COIR_API switch_error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
  ~switch_error() override;
};

namespace detail {
struct control_block;

/// Watches the calling fiber while it lives.
class COIR_API switch_watch {
 public:
  /// Throws what making the thread a worker throws.
  switch_watch();
  switch_watch(const switch_watch&) = delete;
  switch_watch& operator=(const switch_watch&) = delete;
  ~switch_watch();

  /// Each throws switch_error when it is not so.
  void expect_switch(const std::source_location& where) const;
  void expect_no_switch(const std::source_location& where) const;
  void expect_stretches_up_to(std::int64_t longest_ns, const std::source_location& where) const;

 private:
  bool has_switched() const noexcept;

  control_block& fiber_;
  const std::uint64_t turns_;  ///< of the worker, when it began
  const deadline begun_;
  stretch own_;
};

/// Calls `f`, then `check` with the watch, and returns what `f` did.
template <class Function, class Check>
decltype(auto) call_watched(Function&& f, Check check) {
  using result_type = std::invoke_result_t<Function>;
  const switch_watch watch;
  if constexpr (std::is_void_v<result_type>) {
    std::forward<Function>(f)();
    check(watch);
  } else if constexpr (std::is_reference_v<result_type>) {
    result_type result = std::forward<Function>(f)();
    check(watch);
    return static_cast<result_type>(result);
  } else {
    result_type result = std::forward<Function>(f)();
    check(watch);
    return result;
  }
}

}  // namespace detail

/// Calls `f`, returns its result, and throws switch_error if the calling fiber did not give up its
/// worker meanwhile: neither waited nor yielded, so that no other fiber had a chance. A yield
/// counts though nobody else was ready; a wait that ended at once, since what it was for had come
/// already, does not. Going into a context counts, going into a generator does not. What `f`
/// throws comes out as it is, and then nothing is asserted. gevent.util.assert_switches. Parks as
/// `f` does; also throws what making the thread a worker throws.
template <class Function>
  requires std::invocable<Function>
decltype(auto) assert_switches(
    Function&& f, const std::source_location& where = std::source_location::current()) {
  return detail::call_watched(std::forward<Function>(f), [&](const detail::switch_watch& watch) {
    watch.expect_switch(where);
  });
}

/// The same, but throws only if the fiber held its worker for longer than `longest` at a stretch,
/// before the first switch, between two, or after the last one: code that is quicker need not
/// switch. gevent's max_blocking_time, which measures from any switch of the thread to the next, so
/// that what other greenlets do counts too; here the calling fiber alone does.
template <class Rep, class Period, class Function>
  requires std::invocable<Function>
decltype(auto) assert_switches(
    std::chrono::duration<Rep, Period> longest, Function&& f,
    const std::source_location& where = std::source_location::current()) {
  const std::int64_t ns = std::chrono::ceil<std::chrono::nanoseconds>(longest).count();
  return detail::call_watched(std::forward<Function>(f), [&](const detail::switch_watch& watch) {
    watch.expect_stretches_up_to(ns, where);
  });
}

/// Calls `f`, returns its result, and throws switch_error if the calling fiber gave up its worker
/// meanwhile, as assert_switches has it: then other fibers may have changed what they share with
/// it. gevent has no such thing.
template <class Function>
  requires std::invocable<Function>
decltype(auto) assert_no_switch(
    Function&& f, const std::source_location& where = std::source_location::current()) {
  return detail::call_watched(std::forward<Function>(f), [&](const detail::switch_watch& watch) {
    watch.expect_no_switch(where);
  });
}

}  // namespace coir
