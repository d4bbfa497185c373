/// Waiting for descriptors that are no streams of coir's: gevent's socket.wait_read and its
/// select.poll, and Python's selectors for what is written as an event loop and lives beside
/// fibers.
///
/// Events are those of poll(2): POLLIN, POLLOUT, POLLPRI and POLLRDHUP may be asked for, POLLERR
/// and POLLHUP come unasked.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include <poll.h>

namespace coir {
namespace detail {

/// poll and wait_fd with a deadline.
COIR_API std::size_t poll_until(std::span<pollfd> descriptors, deadline until);
/// Returns what `fd` has; 0 when the deadline passes.
COIR_API short wait_fd_until(int fd, short events, deadline until);

/// An epoll descriptor of its own, for poller.
class COIR_API epoll_set {
 public:
  /// One that has come.
  struct event {
    int fd;
    short events;
  };

  /// Throws std::system_error when no descriptor is left.
  epoll_set();
  epoll_set(const epoll_set&) = delete;
  epoll_set& operator=(const epoll_set&) = delete;
  /// Wakes who waits in it, with an error.
  ~epoll_set();

  /// Each returns 0 or a positive errno. Never park.
  int add(int fd, short events) noexcept;
  int modify(int fd, short events) noexcept;
  int remove(int fd) noexcept;
  /// Parks until one has something, `room` of them at most. Throws what interrupts the wait.
  std::vector<event> wait(std::size_t room, deadline until);

  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Throws std::system_error saying what about which descriptor failed.
[[noreturn]] COIR_API void throw_poller_error(const char* what, int fd, int error);

}  // namespace detail

/// poll(2) for fibers: parks until one of the descriptors has one of its events, writes what each
/// has into its `revents`, and returns how many have something; 0 after `timeout`. Negative
/// descriptors are passed over; one that is not open has POLLNVAL. No descriptor need be
/// O_NONBLOCK. One that is closed through coir meanwhile ends the wait. Throws what interrupts the
/// wait, and std::system_error. Any thread, which becomes a worker if it is none.
template <class Rep, class Period>
std::size_t poll(std::span<pollfd> descriptors, std::chrono::duration<Rep, Period> timeout) {
  return detail::poll_until(descriptors, detail::deadline_after(timeout));
}
/// The same without a limit.
inline std::size_t poll(std::span<pollfd> descriptors) {
  return detail::poll_until(descriptors, detail::never);
}

/// Parks until `fd` has one of `events` or an error, and returns what it has; 0 after `timeout`.
/// Files on disks have everything at once. Throws what interrupts the wait, and std::system_error:
/// EBADF when it is not open, or is closed through coir meanwhile. Any thread, as poll.
template <class Rep, class Period>
short wait_fd(int fd, short events, std::chrono::duration<Rep, Period> timeout) {
  return detail::wait_fd_until(fd, events, detail::deadline_after(timeout));
}
/// The same without a limit.
inline short wait_fd(int fd, short events) {
  return detail::wait_fd_until(fd, events, detail::never);
}

/// What a poller keeps for each descriptor when its user wants nothing kept.
struct no_data {};

/// Descriptors with what is expected of them and a value for each, and a wait for them all that
/// takes as long for a thousand idle ones as for one: Python's selectors, an event loop's epoll.
///
///     coir::poller<std::function<void()>> loop;
///     loop.add(listener, POLLIN, accept_one);
///     for (;;) for (auto& each : loop.select()) each.data();
///
/// Level-triggered: what is not dealt with is reported again. The poller owns no descriptor; one
/// should be removed before it is closed. If it was not, the kernel drops it with its last
/// duplicate, and a later add() of the same number replaces what was kept.
///
/// One worker's fibers may use it; several may wait at a time, and others add, modify and remove
/// meanwhile. The child of a fork makes its own.
template <class Data = no_data>
  requires std::copy_constructible<Data>
class poller {
 public:
  /// One descriptor that has something.
  struct event {
    int fd;        ///< the descriptor
    short events;  ///< what it has, which may be POLLERR or POLLHUP
    Data data;     ///< a copy of what was given: it is there whatever others of the list remove
  };
  /// One descriptor as it is registered.
  struct registration {
    short events;  ///< what is waited for
    Data data;     ///< as given
  };

  /// Throws std::system_error when no descriptor is left: it needs one itself. Never parks.
  poller() = default;

  /// Registers `fd`. Throws std::system_error: EEXIST when it is registered, EPERM for files that
  /// are always ready (those on disks), EBADF, EINVAL for an event that cannot be asked for, ENOSPC
  /// when the user has too many (/proc/sys/fs/epoll/max_user_watches); and std::bad_alloc. Never
  /// parks.
  void add(int fd, short events, Data data = {}) {
    const auto at = table_.find(fd);
    if (at == table_.end()) {
      const auto made = table_.emplace(fd, registration{events, std::move(data)}).first;
      if (const int error = set_.add(fd, events)) {
        table_.erase(made);
        detail::throw_poller_error("add", fd, error);
      }
      return;
    }
    if (const int error = set_.add(fd, events)) detail::throw_poller_error("add", fd, error);
    at->second = registration{events, std::move(data)};
  }

  /// Changes what is waited for. Throws std::system_error: ENOENT when it is not registered, or was
  /// closed; else as add(). Never parks.
  void modify(int fd, short events) {
    const auto at = table_.find(fd);
    const int error = at == table_.end() ? ENOENT : set_.modify(fd, events);
    if (error != 0) detail::throw_poller_error("modify", fd, error);
    at->second.events = events;
  }
  /// Changes both.
  void modify(int fd, short events, Data data) {
    modify(fd, events);
    table_.find(fd)->second.data = std::move(data);
  }

  /// Forgets it, and returns its data. Throws std::system_error (ENOENT) when it is not registered;
  /// not when it was closed. Never parks.
  Data remove(int fd) {
    const auto at = table_.find(fd);
    if (at == table_.end()) detail::throw_poller_error("remove", fd, ENOENT);
    set_.remove(fd);
    Data data = std::move(at->second.data);
    table_.erase(at);
    return data;
  }

  /// Parks until at least one descriptor has something, and returns all that have, 1,024 at most;
  /// the others come with the next call. None after `timeout`; one of 0 only looks, and never
  /// parks. Without any descriptor it waits for others to add some. Throws what interrupts the
  /// wait, and std::system_error.
  template <class Rep, class Period>
  std::vector<event> select(std::chrono::duration<Rep, Period> timeout) {
    return select_until(detail::deadline_after(timeout));
  }
  /// The same without a limit.
  std::vector<event> select() { return select_until(detail::never); }

  /// What is registered for `fd`, or null. Never parks.
  const registration* find(int fd) const noexcept {
    const auto at = table_.find(fd);
    return at == table_.end() ? nullptr : &at->second;
  }
  /// All that is registered, by descriptor. Never parks.
  const std::unordered_map<int, registration>& registrations() const noexcept { return table_; }
  /// How many are registered. Never parks.
  std::size_t size() const noexcept { return table_.size(); }
  /// The descriptor of the poller, readable while one of its own has something. Never parks.
  int native_handle() const noexcept { return set_.fd(); }

 private:
  static constexpr std::size_t events_max = 1024;

  std::vector<event> select_until(detail::deadline until) {
    std::vector<event> result;
    const std::size_t expected = table_.size() < events_max ? table_.size() : events_max;
    for (const auto [fd, events] : set_.wait(expected, until)) {
      const auto at = table_.find(fd);
      if (at != table_.end()) result.push_back({fd, events, at->second.data});
    }
    return result;
  }

  detail::epoll_set set_;
  std::unordered_map<int, registration> table_;
};

}  // namespace coir
