#include "hooks/threads/poller.hpp"

#include "hooks/threads/descriptor_slots.hpp"
#include "hooks/threads/poller_kick.hpp"
#include "hooks/threads/runtime_descriptors.hpp"
#include "hooks/threads/signal_mask.hpp"
#include "runtime/kernel/calls.hpp"

#include <cerrno>
#include <ctime>

#include <sys/epoll.h>

namespace coir::threads {
namespace {

constexpr int events_per_poll = 128;
constexpr std::uint64_t kick_tag = ~std::uint64_t{0};

int handle(const epoll_event* events, int count) noexcept {
  for (int i = 0; i < count; ++i) prefetch_slot(static_cast<int>(events[i].data.u64));
  for (int i = 0; i < count; ++i) prefetch_waiter(static_cast<int>(events[i].data.u64));
  int woken = 0;
  for (int i = 0; i < count; ++i)
    if (events[i].data.u64 != kick_tag)
      woken += wake_waiters(static_cast<int>(events[i].data.u64), events[i].events);
  return woken;
}

}  // namespace

int start_poller() noexcept {
  if (!start_slots()) return -ENOSYS;
  own_descriptors.epoll = move_up(kernel::epoll_create1(EPOLL_CLOEXEC));
  if (own_descriptors.epoll < 0) return own_descriptors.epoll;
  if (const int error = start_kick(); error < 0) return error;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kick_tag;
  return kernel::epoll_ctl(own_descriptors.epoll, EPOLL_CTL_ADD, own_descriptors.kick, &event);
}

int poll_descriptors_now() noexcept {
  if (!has_armed_descriptors()) return 0;
  epoll_event events[events_per_poll];
  const int count_of_events = kernel::epoll_wait(own_descriptors.epoll, events, events_per_poll, 0);
  return handle(events, count_of_events);
}

int poll_descriptors(std::int64_t timeout_ns, void (*back)(void*) noexcept,
                     void* argument) noexcept {
  epoll_event events[events_per_poll];
  constexpr std::int64_t second_ns = 1'000'000'000;
  const timespec limit{timeout_ns / second_ns, timeout_ns % second_ns};
  const std::uint64_t mask = mask_of_poller();
  long count_of_events =
      kernel::call(SYS_epoll_pwait2, own_descriptors.epoll, events, events_per_poll,
                   timeout_ns < 0 ? nullptr : &limit, &mask, sizeof mask);
  if (count_of_events == -ENOSYS) {  // before Linux 5.11: whole milliseconds
    constexpr std::int64_t ms_ns = 1'000'000;
    const std::int64_t ms = (timeout_ns + ms_ns - 1) / ms_ns;
    constexpr std::int64_t ms_max = 1'000'000;
    count_of_events = kernel::call(SYS_epoll_pwait, own_descriptors.epoll, events, events_per_poll,
                                   timeout_ns < 0 ? -1
                                   : ms > ms_max  ? ms_max
                                                  : ms,
                                   &mask, sizeof mask);
  }
  for (long i = 0; i < count_of_events; ++i)
    if (events[i].data.u64 == kick_tag) take_kick();
  back(argument);
  return handle(events, static_cast<int>(count_of_events));
}

}  // namespace coir::threads
