#include "runtime/io/await.hpp"

#include "runtime/io/library_state.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>

namespace coir::io {
namespace {

using detail::operation;
using detail::wait_status;
using detail::worker;

/// What setsockopt(SO_RCVTIMEO or SO_SNDTIMEO) set, in ns; 0 when unset or when `fd` is no socket.
std::int64_t socket_timeout_ns(int fd, short events) noexcept {
  timeval timeout{};
  socklen_t size = sizeof timeout;
  const int option = events & POLLOUT ? SO_SNDTIMEO : SO_RCVTIMEO;
  if (kernel::getsockopt(fd, SOL_SOCKET, option, &timeout, &size) < 0) return 0;
  return timeout.tv_sec * std::int64_t{1'000'000'000} + timeout.tv_usec * std::int64_t{1'000};
}

bool is_stream(int fd) noexcept {
  int type = 0;
  socklen_t size = sizeof type;
  return kernel::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/// The wait was ended by time or kill. A readiness operation goes at once; one with a buffer when
/// the kernel says so.
std::int64_t abandon(operation& op, worker& w, wait_status how) noexcept {
  const int error = how == wait_status::timed_out ? -ETIMEDOUT : -ECANCELED;
  w.io().cancel(op);
  if (!op.kernel_owns_buffer()) return error;
  while (!op.is_done) w.park(detail::wait_reason::io, detail::never, detail::interruptible::no);
  return op.result == -ECANCELED || op.result == -EINTR ? error : op.result;
}

}  // namespace

bool patience::has_time_limit(short events) noexcept {
  const std::int64_t timeout_ns = socket_timeout_ns(fd_, events);
  if (timeout_ns == 0) return false;
  const detail::deadline by_socket = detail::now_ns() + timeout_ns;
  if (by_socket < mode_.until) {
    mode_.until = by_socket;
    timeout_error_ = -EAGAIN;
  }
  return true;
}

int patience::ask_descriptor(short events) noexcept {
  is_asked_ = true;
  if (threads_ && threads_->is_plain_stream(fd_)) return 0;
  const int flags = kernel::fcntl(fd_, F_GETFL, 0);
  if (flags < 0) return flags;
  if (flags & O_NONBLOCK) return -EAGAIN;
  if (has_time_limit(events) || !threads_) return 0;
  const short other = events & POLLOUT ? POLLIN : POLLOUT;
  if (is_stream(fd_) && socket_timeout_ns(fd_, other) == 0) threads_->note_plain_stream(fd_);
  return 0;
}

void patience::close_duplicate() noexcept { kernel::close(fd_); }

int patience::await_as_thread(short events) noexcept {
  for (;;) {
    const int before = fd_;
    const int result = threads_->await_ready(fd_, events, mode_.until);
    if (fd_ != before) {
      if (owns_duplicate_) kernel::close(before);
      owns_duplicate_ = true;
    }
    if (result == -ETIMEDOUT) return timeout_error_;
    if (result != -ERESTART) return result;
    if (!restarts()) return -EINTR;
  }
}

void count_call() noexcept {
  if (worker* const w = worker::current_or_null()) {
    if (!w->spend_call()) return;
    const own_library_state kept;
    w->yield();
  } else if (thread_scheduler* const threads = threads_of_caller()) {
    threads->count_call();
  }
}

std::int64_t await(operation& op, detail::deadline until) noexcept {
  worker& w = *worker::current_or_null();
  const own_library_state kept;
  op.waiter = w.running;
  const int begun = w.io().submit(op);
  if (begun < 0) return begun;
  while (!op.is_done) {
    const wait_status how = w.park(detail::wait_reason::io, until, detail::interruptible::yes);
    if (how != wait_status::woken && !op.is_done) {
      const std::int64_t result = abandon(op, w, how);
      if (result < 0) return result;
    }
  }
  if (op.result < 0 || !op.kernel_owns_buffer()) {
    if (detail::fd_table::generation(op.fd) != op.generation) return -EBADF;  // reused by now
  }
  return op.result;
}

int interruption_error() noexcept {
  detail::control_block& self = *worker::current_or_null()->running;
  if (!self.is_interrupted) return ECANCELED;
  detail::interruption& first = *self.record->interruptions.front();
  first.is_told = true;
  return first.error_number;
}

int pause(const patience& left) noexcept {
  constexpr std::int64_t pause_ns = 1'000'000;
  if (detail::now_ns() >= left.until()) return left.timeout_error();
  const int fd = left.fd();
  const std::uint32_t generation = detail::fd_table::generation(fd);
  const int error = sleep_until(std::min(left.until(), detail::now_ns() + pause_ns));
  if (error < 0 && !(error == -EINTR && left.restarts())) return error;
  return detail::fd_table::generation(fd) == generation ? 0 : -EBADF;
}

int await_ready(short events, patience& left) noexcept {
  if (const int refused = left.before_wait(events); refused < 0) return refused;
  if (left.threads()) return left.await_as_thread(events);
  operation op;
  op.fd = left.fd();
  op.events = static_cast<std::uint16_t>(events);
  const std::int64_t result = await(op, left.until());
  if (result == -ETIMEDOUT) return left.timeout_error();
  return result < 0 ? static_cast<int>(result) : 0;
}

}  // namespace coir::io
