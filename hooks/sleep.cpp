// Sleeping. On a fiber a sleep is not cut short by a signal handler, only by a kill or
// the deadline of a scope: then it fails with ECANCELED or ETIMEDOUT.
#include "hooks/hook.hpp"
#include "hooks/time_limit.hpp"
#include "runtime/io/io.hpp"

using namespace coir;
using namespace coir::hooks;

namespace {

long now_ns(clockid_t clock) noexcept {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * second_ns + now.tv_nsec;
}

/// Clocks that run on with the wall clock, so that a sleep on them is a sleep on the monotonic one.
bool is_wall_clock(clockid_t clock) noexcept {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME ||
         clock == CLOCK_TAI;
}

/// sleep(0) and sched_yield give the others a turn.
int park_until(detail::deadline until) noexcept {
  return until == 0 ? io::yield() : io::sleep_until(until);
}

int sleep_for(const timespec& length, timespec* left) noexcept {
  const detail::deadline until = deadline_in(&length);
  const int result = park_until(until);
  if (result < 0 && left) *left = to_timespec(left_ns(until));
  return result;
}

/// Until `clock` shows `when`, also when somebody sets the clock back meanwhile. Set forward, it
/// ends late.
int sleep_until(clockid_t clock, const timespec& when) noexcept {
  constexpr time_t longest = 9'000'000'000;
  const long target =
      when.tv_sec >= longest ? detail::never : when.tv_sec * second_ns + when.tv_nsec;
  for (;;) {
    const long left = target - now_ns(clock);
    if (left <= 0) return 0;
    const int result = park_until(deadline_in(left / second_ns, left % second_ns));
    if (result < 0) return result;
  }
}

}  // namespace

/// hook: time: a timer; a sleep of 0 gives the others a turn
COIR_HOOK unsigned sleep(unsigned seconds) {
  if (!on_fiber_or_cancelled()) return real::sleep(seconds);
  timespec left{};
  const timespec length{seconds, 0};
  if (sleep_for(length, &left) == 0) return 0;
  end_if_cancelled();
  return static_cast<unsigned>(left.tv_sec + (left.tv_nsec > 0));
}

/// hook: time: a timer; a sleep of 0 gives the others a turn
COIR_HOOK int usleep(useconds_t us) {
  if (!on_fiber_or_cancelled()) return real::usleep(us);
  return finish(sleep_for(to_timespec(us * 1000L), nullptr));
}

/// hook: time: a timer; a sleep of 0 gives the others a turn
COIR_HOOK int nanosleep(const timespec* length, timespec* left) {
  if (!on_fiber_or_cancelled()) return real::nanosleep(length, left);
  if (!is_valid(*length)) return finish(-EINVAL);
  return finish(sleep_for(*length, left));
}
COIR_HOOK int __nanosleep(const timespec*, timespec*) COIR_HOOK_ALIAS(nanosleep);

// Returns its error and leaves errno alone. The clocks of processor time run only while somebody
// else works, so that they are waited for on an offload thread.
/// hook: time: a timer; clocks of processor time: an offload thread
COIR_HOOK int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* left) {
  if (!on_fiber_or_cancelled()) return real::clock_nanosleep(clock, flags, request, left);
  if (!is_wall_clock(clock)) {
    return offloaded([&] { return real::clock_nanosleep(clock, flags, request, left); }).value;
  }
  if (!is_valid(*request)) return EINVAL;
  const int result =
      flags & TIMER_ABSTIME ? sleep_until(clock, *request) : sleep_for(*request, left);
  if (result < 0) end_if_cancelled();
  return -result;
}

// A kill shows at the next call that can fail.
/// hook: time: a turn for the others
COIR_HOOK int sched_yield() noexcept {
  if (!on_fiber()) return real::sched_yield();
  park_until(0);
  return 0;
}
COIR_HOOK int __sched_yield() noexcept COIR_HOOK_ALIAS(sched_yield);
