// The registration outlives the object while a fiber is still inside a call: close() by another
// fiber wakes that fiber, which then still looks at it. It counts its users for that. It is
// registered with the reactor of the first worker that has to wait; a fiber of another worker waits
// with one-shot operations like anybody else. In the child of a fork the parent's reactor is gone,
// and with it what it knew of the socket: whoever uses it there first begins anew.
#include <coir/detail/reference_count.hpp>
#include <coir/detail/stream_socket.hpp>

#include "runtime/io/await.hpp"
#include "runtime/kernel/calls.hpp"

#include <memory>
#include <utility>

namespace coir::io {

using detail::edge_wait;
using detail::watch;
using detail::worker;

struct stream_socket::registration final : detail::remote_call {
  watch watched;
  std::atomic<worker*> home{nullptr};  ///< whose reactor may know the watch; constant once set
  detail::reference_count users;       ///< the stream_socket, and each call in progress
  std::atomic<int> fd{-1};             ///< -1 once closed or released
  /// The process that it was registered in
  std::uint32_t fork_generation = detail::fork_generation.load(std::memory_order_relaxed);

  bool is_home(const worker& w) const noexcept {
    return home.load(std::memory_order_relaxed) == &w;
  }
  bool is_foreign(const worker& w) const noexcept {
    const worker* const known = home.load(std::memory_order_relaxed);
    return known && known != &w;
  }

  /// To be called before anything of the above is looked at.
  void begin_anew_after_fork() noexcept {
    const std::uint32_t now = detail::fork_generation.load(std::memory_order_relaxed);
    if (now == fork_generation) [[likely]]
      return;
    fork_generation = now;
    home.store(nullptr, std::memory_order_relaxed);
    watched.is_registered = false;
    watched.readable = watched.writable = true;
    while (watched.readers.pop_front() || watched.writers.pop_front()) {
    }
  }

  /// Drops one user; the last one takes the watch out, on its worker, and frees this.
  void drop() noexcept {
    if (!users.drop()) return;
    begin_anew_after_fork();
    worker* const known = home.load(std::memory_order_relaxed);
    if (!known || known == worker::current_or_null()) return dispose();
    invoke = [](detail::remote_call& call) noexcept { static_cast<registration&>(call).dispose(); };
    known->post(*this);
  }
  void dispose() noexcept {
    if (watched.is_registered) home.load(std::memory_order_relaxed)->io().remove_watch(watched);
    delete this;
  }

  /// A short read has emptied the socket.
  void mark_dry() noexcept {
    if (!watched.has_hangup && !is_foreign(*worker::current_or_null())) watched.readable = false;
  }

  template <class Call>
  ssize_t transfer(short events, detail::deadline until, Call call) noexcept;
  template <class Call>
  ssize_t attempt(short events, Call call) noexcept;
  int await_next(short events, detail::deadline until) noexcept;
  int wait(worker& w, short events, detail::deadline until) noexcept;
  int await_edge(worker& w, detail::intrusive_list<edge_wait>& waiting,
                 detail::deadline until) noexcept;
};

namespace {

/// Keeps a registration for the length of a call.
template <class Registration>
class use {
 public:
  explicit use(Registration& r) noexcept : used_(r) { used_.users.add(); }
  use(const use&) = delete;
  use& operator=(const use&) = delete;
  ~use() { used_.drop(); }

 private:
  Registration& used_;
};

}  // namespace

/// Tries `call` unless the socket is known not to be ready, and waits until it is.
template <class Call>
ssize_t stream_socket::registration::transfer(short events, detail::deadline until,
                                              Call call) noexcept {
  worker& w = *worker::current_or_null();
  bool& may_succeed = events == POLLIN ? watched.readable : watched.writable;
  use keep(*this);
  begin_anew_after_fork();
  for (;;) {
    const int number = fd.load(std::memory_order_relaxed);
    if (number < 0) return -EBADF;
    const bool is_elsewhere = is_foreign(w);
    if (is_elsewhere || may_succeed) {
      const ssize_t result = call(number);
      if (result != -EAGAIN) {
        w.count_call();
        return result;
      }
      if (!is_elsewhere) may_succeed = false;
    }
    const int error = wait(w, events, until);
    if (error == -ETIMEDOUT) {
      // What has arrived meanwhile counts, also when the deadline had passed before.
      const ssize_t result = call(number);
      return result == -EAGAIN ? error : result;
    }
    if (error < 0) return error;
  }
}

/// Tries `call`, once, unless the socket is known not to be ready.
template <class Call>
ssize_t stream_socket::registration::attempt(short events, Call call) noexcept {
  const int number = fd.load(std::memory_order_relaxed);
  if (number < 0) return -EBADF;
  begin_anew_after_fork();
  if (is_foreign(*worker::current_or_null())) return call(number);
  bool& may_succeed = events == POLLIN ? watched.readable : watched.writable;
  if (!may_succeed) return -EAGAIN;
  const ssize_t result = call(number);
  if (result == -EAGAIN) may_succeed = false;
  return result;
}

/// Waits until another attempt is due.
int stream_socket::registration::await_next(short events, detail::deadline until) noexcept {
  worker& w = *worker::current_or_null();
  use keep(*this);
  begin_anew_after_fork();
  if (fd.load(std::memory_order_relaxed) < 0) return -EBADF;
  const int error = wait(w, events, until);
  if (error == -ETIMEDOUT && !is_foreign(w)) {
    (events == POLLIN ? watched.readable : watched.writable) = true;
  }
  return error;
}

int stream_socket::registration::wait(worker& w, short events, detail::deadline until) noexcept {
  worker* nobody = nullptr;
  home.compare_exchange_strong(nobody, &w, std::memory_order_relaxed);
  if (is_home(w) && !watched.is_registered && !watched.is_closed) {
    watched.fd = fd.load(std::memory_order_relaxed);
    const int error = w.io().add_watch(watched);
    if (error < 0 && error != -EEXIST) return error;
  }
  if (!is_home(w) || !watched.is_registered) {
    patience left(fd.load(std::memory_order_relaxed), {until});
    const int error = await_ready(events, left);
    if (error == 0 && is_home(w)) (events == POLLIN ? watched.readable : watched.writable) = true;
    return error;
  }
  return await_edge(w, events == POLLIN ? watched.readers : watched.writers, until);
}

int stream_socket::registration::await_edge(worker& w, detail::intrusive_list<edge_wait>& waiting,
                                            detail::deadline until) noexcept {
  edge_wait op;
  op.waiter = w.running;
  waiting.push_back(op);
  while (!op.is_done) {
    const auto how = w.park(detail::wait_reason::io, until, detail::interruptible::yes);
    if (how == detail::wait_status::woken || op.is_done) continue;
    waiting.remove(op);
    return how == detail::wait_status::timed_out ? -ETIMEDOUT : -ECANCELED;
  }
  return op.result < 0 ? static_cast<int>(op.result) : 0;
}

stream_socket::stream_socket(int fd) noexcept : state_(new (std::nothrow) registration) {
  if (!state_) {
    kernel::close(fd);  // its calls then fail with EBADF
    return;
  }
  state_->fd.store(fd, std::memory_order_relaxed);
}

stream_socket::stream_socket(stream_socket&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)) {}

stream_socket& stream_socket::operator=(stream_socket&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

stream_socket::~stream_socket() { close(); }

int stream_socket::fd() const noexcept {
  return state_ ? state_->fd.load(std::memory_order_relaxed) : -1;
}

ssize_t stream_socket::recv(void* data, std::size_t size, int flags,
                            detail::deadline until) noexcept {
  if (!state_) return -EBADF;
  registration& r = *state_;
  return r.transfer(POLLIN, until, [&](int fd) {
    const ssize_t got = kernel::recvfrom(fd, data, size, flags | MSG_DONTWAIT, nullptr, nullptr);
    // Less than asked for: the socket was emptied. After a hang-up that says nothing: the end is
    // still to be read.
    if (got > 0 && static_cast<std::size_t>(got) < size && !(flags & MSG_PEEK)) r.mark_dry();
    return got;
  });
}

ssize_t stream_socket::send(const void* data, std::size_t size, int flags,
                            detail::deadline until) noexcept {
  if (!state_) return -EBADF;
  return state_->transfer(POLLOUT, until, [&](int fd) {
    return kernel::sendto(fd, data, size, flags | MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
  });
}

ssize_t stream_socket::sendmsg(const msghdr* message, int flags, detail::deadline until) noexcept {
  if (!state_) return -EBADF;
  return state_->transfer(POLLOUT, until, [&](int fd) {
    return kernel::sendmsg(fd, message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
  });
}

ssize_t stream_socket::try_recv(void* data, std::size_t size, int flags) noexcept {
  if (!state_) return -EBADF;
  registration& r = *state_;
  return r.attempt(POLLIN, [&](int fd) {
    const ssize_t got = kernel::recvfrom(fd, data, size, flags | MSG_DONTWAIT, nullptr, nullptr);
    if (got > 0 && static_cast<std::size_t>(got) < size && !(flags & MSG_PEEK)) r.mark_dry();
    return got;
  });
}

ssize_t stream_socket::try_send(const void* data, std::size_t size, int flags) noexcept {
  if (!state_) return -EBADF;
  return state_->attempt(POLLOUT, [&](int fd) {
    return kernel::sendto(fd, data, size, flags | MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
  });
}

int stream_socket::wait_readable(detail::deadline until) noexcept {
  return state_ ? state_->await_next(POLLIN, until) : -EBADF;
}

int stream_socket::wait_writable(detail::deadline until) noexcept {
  return state_ ? state_->await_next(POLLOUT, until) : -EBADF;
}

void stream_socket::count_call() noexcept { worker::current_or_null()->count_call(); }

int stream_socket::close() noexcept {
  if (!state_) return -EBADF;
  registration& r = *std::exchange(state_, nullptr);
  const int fd = r.fd.exchange(-1, std::memory_order_relaxed);
  // Before the registration goes: the descriptor is still watched
  const int result = io::close(fd);
  r.drop();
  return result;
}

int stream_socket::release() noexcept {
  if (!state_) return -1;
  registration& r = *std::exchange(state_, nullptr);
  const int fd = r.fd.exchange(-1, std::memory_order_relaxed);
  r.drop();
  return fd;
}

}  // namespace coir::io
