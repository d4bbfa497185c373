#include "hooks/threads/descriptor_slots.hpp"

#include "hooks/threads/lock.hpp"
#include "hooks/threads/ready.hpp"
#include "hooks/threads/runtime_descriptors.hpp"
#include "hooks/threads/wiped.hpp"
#include "runtime/kernel/calls.hpp"

#include <atomic>
#include <cerrno>

#include <fcntl.h>
#include <sys/epoll.h>

namespace coir::threads {
namespace {

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
  slot slots[descriptors_max];
};

constinit wiped<descriptors_state> descriptors{};

/// Makes the epoll report `events` of `fd`, whether it knows the file under this number or not.
int tell_epoll(int fd, std::uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<std::uint64_t>(fd);
  const int changed = kernel::epoll_ctl(own_descriptors.epoll, EPOLL_CTL_MOD, fd, &event);
  return changed == -ENOENT ? kernel::epoll_ctl(own_descriptors.epoll, EPOLL_CTL_ADD, fd, &event)
                            : changed;
}

int arm(int fd, std::uint32_t events) noexcept { return tell_epoll(fd, events | EPOLLONESHOT); }

/// Lets the epoll report every edge of a stream socket; false when it cannot.
bool watch(int fd) noexcept {
  return tell_epoll(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) == 0;
}

void stop_watching(int fd) noexcept {
  epoll_event unused{};
  kernel::epoll_ctl(own_descriptors.epoll, EPOLL_CTL_DEL, fd, &unused);
}

slot* slot_of(int fd) noexcept {
  return static_cast<unsigned>(fd) < descriptors_max ? &descriptors->slots[fd] : nullptr;
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

/// The same as link_wait() for a stream socket. -EALREADY: an event has come that nobody has used.
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
      stop_watching(fd);
    }
  }
}

}  // namespace

int link_wait(descriptor_wait& w) noexcept {
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

void unlink_wait(descriptor_wait& w) noexcept {
  for (;;) {
    const int fd = w.fd;  // a close may move the wait to another slot
    slot& s = descriptors->slots[fd];
    const guard hold(s.guard_of_waits);
    if (w.fd != fd) continue;
    if (w.is_linked) remove(s, w);
    return;
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

void prefetch_slot(int fd) noexcept {
  if (const slot* const s = slot_of(fd)) __builtin_prefetch(s);
}

void prefetch_waiter(int fd) noexcept {
  const slot* const s = slot_of(fd);
  if (s && s->first) __builtin_prefetch(s->first);
}

bool has_armed_descriptors() noexcept {
  return descriptors->armed.load(std::memory_order_relaxed) > 0;
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
  if (before & watched) stop_watching(fd);
}

void keep_for_waiters(int fd) noexcept {
  if (static_cast<unsigned>(fd) >= descriptors_max) return;
  forget_notes(fd);
  slot& s = descriptors->slots[fd];
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

bool start_slots() noexcept { return descriptors.wipe_on_fork(); }

}  // namespace coir::threads
