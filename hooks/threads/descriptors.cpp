#include "hooks/threads/descriptors.hpp"

#include "hooks/threads/counters.hpp"
#include "hooks/threads/scheduler.hpp"

#include <cerrno>
#include <memory>
#include <new>

namespace coir::threads {
namespace {

constexpr int on_stack = 16;  // waits of one call that need no allocation

/// What a park that ended for `cause` means to a caller that waits for descriptors.
int result_of(wake_cause cause, const thread_fiber& self) noexcept {
  switch (cause) {
    case wake_cause::woken:
      return 0;
    case wake_cause::timed_out:
      return -ETIMEDOUT;
    case wake_cause::cancelled:
      return -ECANCELED;
    case wake_cause::signalled:
      return self.restarts_calls ? -ERESTART : -EINTR;
  }
  __builtin_unreachable();
}

}  // namespace

int await_descriptor(int& fd, short events, deadline until) noexcept {
  thread_fiber& self = *here.self;
  descriptor_wait wait;
  wait.fiber = &self;
  wait.fd = fd;
  wait.events = static_cast<std::uint16_t>(events);
  wait.is_movable = true;
  prepare_to_park(self, true);
  if (const int error = link_wait(wait); error < 0) {
    abandon_park(self);
    return error == -EPERM || error == -EALREADY ? 0 : error;
  }
  count(counter::descriptor_parks);
  const wake_cause cause = park(self, until);
  unlink_wait(wait);
  fd = wait.fd;
  return wait.ready ? 0 : result_of(cause, self);
}

bool await_own_descriptor(int fd, short events, deadline until) noexcept {
  thread_fiber& self = *here.self;
  descriptor_wait wait;
  wait.fiber = &self;
  wait.fd = fd;
  wait.events = static_cast<std::uint16_t>(events);
  prepare_to_park(self, false);
  if (link_wait(wait) < 0) {
    abandon_park(self);
    return false;
  }
  count(counter::descriptor_parks);
  park(self, until);
  unlink_wait(wait);
  return true;
}

int await_descriptors(const pollfd* fds, nfds_t count_of_fds, deadline until) noexcept {
  descriptor_wait few[on_stack];
  std::unique_ptr<descriptor_wait[]> many;
  descriptor_wait* waits = few;
  if (count_of_fds > on_stack) {
    many.reset(new (std::nothrow) descriptor_wait[count_of_fds]);
    if (!many) return -ENOMEM;
    waits = many.get();
  }
  thread_fiber& self = *here.self;
  prepare_to_park(self, true);
  nfds_t linked = 0;
  int error = 0;
  for (nfds_t i = 0; i < count_of_fds && error == 0; ++i) {
    if (fds[i].fd < 0) continue;
    descriptor_wait& w = waits[linked];
    w.fiber = &self;
    w.fd = fds[i].fd;
    w.events = static_cast<std::uint16_t>(fds[i].events);
    error = link_wait(w);
    if (error == 0) ++linked;
  }
  int result = error == -EPERM ? 0 : error;
  if (error < 0) {
    abandon_park(self);
  } else {
    count(counter::descriptor_parks);
    result = result_of(park(self, until), self);
  }
  bool is_any_ready = false;
  for (nfds_t i = 0; i < linked; ++i) {
    unlink_wait(waits[i]);
    is_any_ready |= waits[i].ready != 0;
  }
  return is_any_ready ? 0 : result;
}

}  // namespace coir::threads
