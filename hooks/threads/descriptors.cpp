#include "hooks/threads/descriptors.hpp"

#include "hooks/threads/monitor.hpp"
#include "hooks/threads/report.hpp"
#include "hooks/threads/signals.hpp"
#include "runtime/kernel/calls.hpp"

#include <cerrno>
#include <cstdlib>
#include <memory>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

namespace coir::threads {
namespace {

// Far above the usual limit of descriptors, which is what counts; address space only.
constexpr int descriptors_max = 1 << 20;
constexpr int events_per_poll = 128;
constexpr std::uint64_t kick_tag = ~std::uint64_t{0};
constexpr int on_stack = 16;  // waits of one call that need no allocation

/// One descriptor that one fiber waits for. On the fiber's stack.
struct descriptor_wait {
  thread_fiber* fiber = nullptr;
  int fd = -1;
  int original = -1;  ///< the number when it is a duplicate
  std::uint32_t events = 0;
  std::uint32_t ready = 0;
  bool is_linked = false;
  bool is_movable = false;
  descriptor_wait* next = nullptr;
  descriptor_wait* prev = nullptr;
};

// Bits of slot::notes.
constexpr std::uint32_t plain_stream = 1;  ///< see is_plain_stream
constexpr std::uint32_t watched = 2;       ///< the epoll has it for edges
constexpr std::uint32_t has_event = 4;     ///< one came that no wait has used
constexpr std::uint32_t dry = 8;           ///< the last read emptied it
constexpr std::uint32_t hung_up = 16;      ///< the peer has ended its side: no edge comes any more
constexpr std::uint32_t unwatchable = 32;  ///< was watched, and woke the poller for nothing
// Events in a row without a waiter after which a socket is watched no longer.
constexpr std::uint32_t stray_events_max = 4;

/// The waits for one descriptor number, and its notes.
struct slot {
  lock guard_of_waits;
  std::atomic<std::uint32_t> notes;
  descriptor_wait* first;
  std::uint32_t stray_events;
};

struct descriptors_state {
  std::atomic<int> armed;
  std::atomic<int> is_kicked;
  slot slots[descriptors_max];
};

constinit wiped<descriptors_state> descriptors{};
// These survive a fork, for the child to close.
constinit int epoll_fd = -1;
constinit int kick_fd = -1;

/// Moves `fd` out of the program's way.
int move_up(int fd) noexcept {
  if (fd < 0) return fd;
  constexpr int room = 24;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int top =
      limit.rlim_cur > descriptors_max ? descriptors_max : static_cast<int>(limit.rlim_cur);
  const int moved = kernel::fcntl(fd, F_DUPFD_CLOEXEC, top > 2 * room ? top - room : 0);
  if (moved < 0) return fd;
  kernel::close(fd);
  return moved;
}

int arm(int fd, std::uint32_t events) noexcept {
  epoll_event event{};
  event.events = events | EPOLLONESHOT;
  event.data.u64 = static_cast<std::uint64_t>(fd);
  const int changed = kernel::epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
  return changed == -ENOENT ? kernel::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) : changed;
}

slot* slot_of(int fd) noexcept {
  return static_cast<unsigned>(fd) < descriptors_max ? &descriptors->slots[fd] : nullptr;
}

/// Lets the epoll report every edge of a stream socket; false when it cannot.
bool watch(int fd) noexcept {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = static_cast<std::uint64_t>(fd);
  int changed = kernel::epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
  if (changed == -ENOENT) changed = kernel::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  return changed == 0;
}

std::uint32_t union_of_events(const slot& s) noexcept {
  std::uint32_t events = 0;
  for (const descriptor_wait* w = s.first; w; w = w->next) events |= w->events;
  return events;
}

void push(slot& s, descriptor_wait& w) noexcept {
  w.prev = nullptr;
  w.next = s.first;
  if (s.first) s.first->prev = &w;
  s.first = &w;
  w.is_linked = true;
  descriptors->armed.fetch_add(1, std::memory_order_relaxed);
}

void remove(slot& s, descriptor_wait& w) noexcept {
  (w.prev ? w.prev->next : s.first) = w.next;
  if (w.next) w.next->prev = w.prev;
  w.is_linked = false;
  descriptors->armed.fetch_sub(1, std::memory_order_relaxed);
}

/// The same as link() for a stream socket. -EALREADY: an event has come that nobody has used.
int link_watched(slot& s, descriptor_wait& w, std::uint32_t notes) noexcept {
  s.stray_events = 0;
  if (!(notes & watched) || (notes & hung_up) || (w.events & EPOLLOUT)) {
    // Tells of what is there already, too. Edges of room for output are not noted, nor does the end
    // of a stream come twice.
    if (!watch(w.fd)) return -EBADF;
    s.notes.fetch_or(watched, std::memory_order_relaxed);
    s.notes.fetch_and(~has_event, std::memory_order_relaxed);
  } else if (notes & has_event) {
    s.notes.fetch_and(~has_event, std::memory_order_relaxed);
    return -EALREADY;
  }
  push(s, w);
  return 0;
}

/// 0, or -errno: -EPERM for what epoll does not take because it never blocks.
int link(descriptor_wait& w) noexcept {
  if (static_cast<unsigned>(w.fd) >= descriptors_max) return -EBADF;
  slot& s = descriptors->slots[w.fd];
  const guard hold(s.guard_of_waits);
  const std::uint32_t notes = s.notes.load(std::memory_order_relaxed);
  if ((notes & (plain_stream | unwatchable)) == plain_stream && w.is_movable)
    return link_watched(s, w, notes);
  if (notes & watched) s.notes.fetch_and(~(watched | dry), std::memory_order_relaxed);
  const int error = arm(w.fd, union_of_events(s) | w.events);
  if (error < 0) return error;
  push(s, w);
  return 0;
}

void unlink(descriptor_wait& w) noexcept {
  for (;;) {
    const int fd = w.fd;  // a close may move the wait to another slot
    slot& s = descriptors->slots[fd];
    const guard hold(s.guard_of_waits);
    if (w.fd != fd) continue;
    if (w.is_linked) remove(s, w);
    return;
  }
}

/// An event of a watched socket.
void note_event(slot& s, int fd, std::uint32_t events, bool is_used) noexcept {
  if (events & EPOLLIN) s.notes.fetch_and(~dry, std::memory_order_relaxed);
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    s.notes.fetch_or(hung_up | has_event, std::memory_order_relaxed);
  } else if (!is_used && (events & EPOLLIN)) {
    s.notes.fetch_or(has_event, std::memory_order_relaxed);
  }
  if (is_used || !(events & EPOLLIN)) {
    s.stray_events = 0;
  } else if (++s.stray_events > stray_events_max) {
    s.notes.fetch_or(unwatchable, std::memory_order_relaxed);
    s.notes.fetch_and(~watched, std::memory_order_relaxed);
    if (s.first) {
      arm(fd, union_of_events(s));
    } else {
      epoll_event nothing{};
      kernel::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &nothing);
    }
  }
}

int wake_waiters(int fd, std::uint32_t events) noexcept {
  slot& s = descriptors->slots[fd];
  int woken = 0;
  const guard hold(s.guard_of_waits);
  descriptor_wait* next = nullptr;
  for (descriptor_wait* w = s.first; w; w = next) {
    next = w->next;
    const bool is_for_it = (events & (w->events | EPOLLERR | EPOLLHUP)) != 0;
    if (!is_for_it) continue;
    w->ready = events;
    remove(s, *w);
    wake(*w->fiber);
    ++woken;
  }
  if (s.notes.load(std::memory_order_relaxed) & watched) {
    note_event(s, fd, events, woken > 0);
  } else if (s.first) {
    arm(fd, union_of_events(s));
  }
  return woken;
}

/// Only for the poller, and while it still is: whoever merely looks, or was it before, would
/// take the kick from the one that sleeps now. Who kicks between the two steps is not heard, and
/// need not be: the poller is awake.
void take_kick() noexcept {
  std::uint64_t count_of_kicks;
  kernel::read(kick_fd, &count_of_kicks, sizeof count_of_kicks);
  descriptors->is_kicked.store(0, std::memory_order_seq_cst);
}

int handle(const epoll_event* events, int count) noexcept {
  int woken = 0;
  for (int i = 0; i < count; ++i)
    if (events[i].data.u64 != kick_tag)
      woken += wake_waiters(static_cast<int>(events[i].data.u64), events[i].events);
  return woken;
}

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

int start_descriptors() noexcept {
  if (!descriptors.wipe_on_fork()) return -ENOSYS;
  epoll_fd = move_up(kernel::epoll_create1(EPOLL_CLOEXEC));
  kick_fd = move_up(kernel::eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (epoll_fd < 0) return epoll_fd;
  if (kick_fd < 0) return kick_fd;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kick_tag;
  return kernel::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, kick_fd, &event);
}

void close_inherited_descriptors() noexcept {
  if (epoll_fd >= 0) kernel::close(epoll_fd);
  if (kick_fd >= 0) kernel::close(kick_fd);
  epoll_fd = -1;
  kick_fd = -1;
}

bool is_runtime_descriptor(int fd) noexcept { return fd >= 0 && (fd == epoll_fd || fd == kick_fd); }

int lowest_runtime_descriptor(unsigned first, unsigned last) noexcept {
  int lowest = -1;
  for (const int own : {epoll_fd, kick_fd}) {
    const auto number = static_cast<unsigned>(own);
    if (own >= 0 && number >= first && number <= last && (lowest < 0 || own < lowest)) lowest = own;
  }
  return lowest;
}

int await_descriptor(int& fd, short events, deadline until) noexcept {
  thread_fiber& self = *here.self;
  descriptor_wait wait;
  wait.fiber = &self;
  wait.fd = fd;
  wait.events = static_cast<std::uint16_t>(events);
  wait.is_movable = true;
  prepare_to_park(self, true);
  if (const int error = link(wait); error < 0) {
    abandon_park(self);
    return error == -EPERM || error == -EALREADY ? 0 : error;
  }
  count(counter::descriptor_parks);
  const wake_cause cause = park(self, until);
  unlink(wait);
  fd = wait.fd;
  return wait.ready ? 0 : result_of(cause, self);
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
    error = link(w);
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
    unlink(waits[i]);
    is_any_ready |= waits[i].ready != 0;
  }
  return is_any_ready ? 0 : result;
}

bool is_plain_stream(int fd) noexcept {
  const slot* const s = slot_of(fd);
  return s && (s->notes.load(std::memory_order_relaxed) & plain_stream);
}

void note_plain_stream(int fd) noexcept {
  if (slot* const s = slot_of(fd)) s->notes.fetch_or(plain_stream, std::memory_order_relaxed);
}

bool is_dry(int fd) noexcept {
  const slot* const s = slot_of(fd);
  constexpr std::uint32_t relevant = watched | dry | has_event | hung_up;
  return s && (s->notes.load(std::memory_order_relaxed) & relevant) == (watched | dry);
}

void note_dry(int fd) noexcept {
  slot* const s = slot_of(fd);
  if (s && (s->notes.load(std::memory_order_relaxed) & (watched | dry)) == watched)
    s->notes.fetch_or(dry, std::memory_order_relaxed);
}

void forget_notes(int fd) noexcept {
  slot* const s = slot_of(fd);
  if (!s || s->notes.load(std::memory_order_relaxed) == 0) return;
  const std::uint32_t before = s->notes.exchange(0, std::memory_order_relaxed);
  // Else its edges would go on coming, under this number, while a duplicate of it is open.
  epoll_event nothing{};
  if (before & watched) kernel::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &nothing);
}

void keep_for_waiters(int fd) noexcept {
  if (static_cast<unsigned>(fd) >= descriptors_max) return;
  forget_notes(fd);
  slot& s = descriptors->slots[fd];
  bool has_movable = false;
  {
    const guard hold(s.guard_of_waits);
    for (const descriptor_wait* w = s.first; w; w = w->next) has_movable |= w->is_movable;
  }
  if (!has_movable) return;
  // Each waiter gets a duplicate of its own, which it closes when its call is done.
  const guard hold(s.guard_of_waits);
  descriptor_wait* next = nullptr;
  for (descriptor_wait* w = s.first; w; w = next) {
    next = w->next;
    if (!w->is_movable) continue;
    const int copy = move_up(kernel::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (copy < 0 || copy >= descriptors_max) continue;
    slot& to = descriptors->slots[copy];
    remove(s, *w);
    const guard hold_other(to.guard_of_waits);
    w->fd = copy;
    arm(copy, w->events);
    push(to, *w);
  }
}

int poll_descriptors_now() noexcept {
  if (!has_armed_descriptors()) return 0;
  epoll_event events[events_per_poll];
  const int count_of_events = kernel::epoll_wait(epoll_fd, events, events_per_poll, 0);
  return handle(events, count_of_events);
}

int poll_descriptors(std::int64_t timeout_ns, void (*back)(void*) noexcept,
                     void* argument) noexcept {
  epoll_event events[events_per_poll];
  constexpr std::int64_t second_ns = 1'000'000'000;
  const timespec limit{timeout_ns / second_ns, timeout_ns % second_ns};
  const std::uint64_t mask = mask_of_poller();
  long count_of_events = kernel::call(SYS_epoll_pwait2, epoll_fd, events, events_per_poll,
                                      timeout_ns < 0 ? nullptr : &limit, &mask, sizeof mask);
  if (count_of_events == -ENOSYS) {  // before Linux 5.11: whole milliseconds
    constexpr std::int64_t ms_ns = 1'000'000;
    const std::int64_t ms = (timeout_ns + ms_ns - 1) / ms_ns;
    constexpr std::int64_t ms_max = 1'000'000;
    count_of_events = kernel::call(SYS_epoll_pwait, epoll_fd, events, events_per_poll,
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

bool has_armed_descriptors() noexcept {
  return descriptors->armed.load(std::memory_order_relaxed) > 0;
}

void kick_poller() noexcept {
  if (descriptors->is_kicked.exchange(1, std::memory_order_seq_cst) != 0) return;
  count(counter::kicks);
  const std::uint64_t one = 1;
  kernel::write(kick_fd, &one, sizeof one);
}

}  // namespace coir::threads
