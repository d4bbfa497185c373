/// What waits for the kernel on behalf of one worker. It takes operations and marks fibers ready;
/// it never runs one.
///
/// Two twins of one shape: uring_reactor and epoll_reactor. Only the owning worker's thread may
/// call, except wake().
///
/// Invariants
///   1 A readiness operation is unknown to the kernel's side when cancel() returns: its fiber may
///     go at once. One whose buffer the kernel owns completes later, with its result or -ECANCELED;
///     its fiber stays parked until then.
///   2 A pending operation, or a registered watch, is linked in the slot of its descriptor, so that
///     forget() finds it.
///   3 After forget(fd) nothing here holds the descriptor's file open.
#pragma once

#include "runtime/kernel/event_fd.hpp"
#include "runtime/reactor/fd_table.hpp"
#include "runtime/reactor/operation.hpp"

#include <memory>
#include <vector>

namespace coir::detail {

/// A turn hands on at most so many events: waking a thousand fibers at a time costs 6 % in cache
/// misses.
inline constexpr int events_per_turn = 128;

class reactor {
 public:
  virtual ~reactor() = default;

  /// Begins `op`. 0: pending, its waiter becomes ready when it is done. 1: done already,
  /// `op.result` is set. Else -errno: -EOPNOTSUPP when this reactor does not perform such
  /// operations, otherwise what the kernel said.
  virtual int submit(operation& op) noexcept = 0;
  /// Ends a pending operation: see invariant 1.
  virtual void cancel(operation& op) noexcept = 0;
  /// Looks for events, waits up to `timeout_ns` for the first (-1: without limit, 0: not at all),
  /// and queues the fibers whose operations are done.
  virtual void poll(std::int64_t timeout_ns, fiber_list& ready) noexcept = 0;
  /// Ends a poll() that waits, or the next one. Any thread.
  void wake() noexcept { wake_event_.signal(); }
  /// True when wake() has been called that often since the beginning: nobody is inside it any
  /// longer.
  bool has_been_woken(std::uint64_t times) noexcept {
    wakes_seen_ += wake_event_.take();
    return wakes_seen_ >= times;
  }

  /// Registers `w` with the kernel; 0 or -errno.
  virtual int add_watch(watch& w) noexcept = 0;
  /// Takes it out again; its descriptor must still be open. Waiting operations stay linked in it.
  virtual void remove_watch(watch& w) noexcept = 0;

  /// A descriptor that becomes readable when poll() would find something, for a loop that is not
  /// coir's; -errno when there is none to be had. The reactor owns it.
  virtual int pollable_fd() noexcept = 0;
  /// True for the number that pollable_fd() returns, or would.
  virtual bool is_pollable_fd(int fd) const noexcept = 0;
  /// Before a wait for that descriptor: tells the kernel what it does not know yet. False when
  /// there is something to poll for already, of which the descriptor may say nothing.
  virtual bool prepare_foreign_wait() noexcept = 0;

  /// The name of the backend.
  virtual const char* name() const noexcept = 0;

  /// Ends with -EBADF every operation and watch of `fd` that is older than `generation` of the
  /// number: it was, or is about to be, closed. Younger ones belong to its next owner.
  void forget(int fd, std::uint32_t generation, fiber_list& ready) noexcept;
  /// How many operations and watches are linked for `fd` here.
  std::uint32_t waiters(int fd) const noexcept;

 protected:
  struct fd_slot {
    operation_list operations;
    watch* persistent = nullptr;
    std::uint32_t count = 0;
  };

  /// The slot of `fd`; null when there is no memory for the table.
  fd_slot* slot(int fd) noexcept;
  fd_slot* existing_slot(int fd) const noexcept;
  void link(fd_slot& s, operation& op) noexcept;
  void unlink(operation& op) noexcept;
  int link_watch(watch& w) noexcept;
  void unlink_watch(watch& w) noexcept;
  /// Called by forget() when it has ended something, for a backend that has to tell the kernel at
  /// once.
  virtual void after_forget() noexcept {}

  /// Becomes readable by each wake(), and is never read meanwhile: a backend watches for edges.
  kernel::event_fd wake_event_;

  /// Updates `w` by an event mask and makes those who wait for it ready.
  static void deliver(watch& w, std::uint32_t events, fiber_list& ready) noexcept;

 private:
  static constexpr std::size_t slots_per_chunk = 1024;
  std::vector<std::unique_ptr<fd_slot[]>> chunks_;
  std::uint64_t wakes_seen_ = 0;
};

/// Chooses by COIR_BACKEND and by what the kernel permits, and makes a reactor for the calling
/// thread; epoll where threads are fibers (see kernel/thread_host.hpp). Says once on stderr why it
/// fell back to epoll. Throws std::system_error, with what to
/// do, when none can be had, and std::invalid_argument when COIR_BACKEND names none.
std::unique_ptr<reactor> make_reactor();

}  // namespace coir::detail
