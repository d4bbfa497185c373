/// The waits for each descriptor number, and what is noted about it.
///
/// A wait arms the descriptor for one event: it tells the kernel anew each time (MOD, or ADD when
/// it does not know the file under this number), which costs one system call and is right for
/// numbers that were closed and used again behind our back. Waking a waiter without a cause is
/// harmless: it tries its call again.
///
/// Stream sockets are most of what servers wait for, and for them the kernel is asked less often.
/// Once a wait has shown that a socket is in blocking mode and has no time limits, that is noted
/// for its number, and the epoll watches it for edges for good. Events that find no waiter leave
/// `has_event`; a wait that finds it set does not park. A read that got less than it asked for
/// makes the socket dry: the next one waits first. All that is forgotten when the number is
/// closed, given to a new socket, or changed in mode, each by its hook. A socket whose events keep
/// coming while nobody waits is watched no longer, because each of them wakes the poller.
#pragma once

#include "hooks/threads/thread_fiber.hpp"

#include <cstdint>

namespace coir::threads {

/// One descriptor that one fiber waits for. On the fiber's stack.
struct descriptor_wait {
  thread_fiber* fiber = nullptr;
  int fd = -1;
  std::uint32_t events = 0;
  std::uint32_t ready = 0;
  bool is_linked = false;
  bool is_movable = false;
  descriptor_wait* next = nullptr;
  descriptor_wait* prev = nullptr;
};

/// 0, or -errno: -EPERM for what epoll does not take because it never blocks, -EALREADY when an
/// event has come that nobody has used.
int link_wait(descriptor_wait& w) noexcept;
void unlink_wait(descriptor_wait& w) noexcept;
/// Wakes those who wait for any of what the epoll has told; how many.
int wake_waiters(int fd, std::uint32_t events) noexcept;
/// Fetch what wake_waiters is about to read: the slot, then its first wait.
void prefetch_slot(int fd) noexcept;
void prefetch_waiter(int fd) noexcept;
/// True while somebody waits for a descriptor.
bool has_armed_descriptors() noexcept;

/// What is noted for a number. Any kernel thread.
bool is_plain_stream(int fd) noexcept;  ///< a stream socket, blocking, without time limits
void note_plain_stream(int fd) noexcept;
bool is_dry(int fd) noexcept;    ///< a read would have to wait
void note_dry(int fd) noexcept;  ///< a read got less than it asked for
/// The number means another file, or the file is in another mode.
void forget_notes(int fd) noexcept;

/// To be called before `fd` is closed: forgets its notes, and lets those who wait for it go on with
/// a duplicate, as the kernel lets a thread go on that is inside a call on a file that is closed.
void keep_for_waiters(int fd) noexcept;

/// For the start: true when the memory can be wiped on fork.
bool start_slots() noexcept;

}  // namespace coir::threads
