// One-shot waits keep no state in the kernel that must be right: each arms its descriptor anew with
// MOD, or ADD when the kernel knows none (the number is new, or was closed behind our back). A
// descriptor with a watch stays armed edge-triggered; MOD makes the kernel look again, so that a
// one-shot wait beside the watch misses nothing.
#include "runtime/reactor/epoll_reactor.hpp"

#include <coir/detail/clock.hpp>

#include <cerrno>
#include <new>

namespace coir::detail {
namespace {

constexpr std::uint32_t watch_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::int64_t ns_per_s = 1'000'000'000;

}  // namespace

std::unique_ptr<reactor> epoll_reactor::make(int& error) noexcept {
  std::unique_ptr<epoll_reactor> made(new (std::nothrow) epoll_reactor);
  error = made ? made->start() : -ENOMEM;
  if (error < 0) made.reset();
  return made;
}

int epoll_reactor::start() noexcept {
  if (wake_event_.fd() < 0) return wake_event_.fd();
  epoll_fd_ = kernel::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd_ < 0) return epoll_fd_;
  epoll_event event{EPOLLIN | EPOLLET, {.fd = wake_event_.fd()}};
  return kernel::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_event_.fd(), &event);
}

epoll_reactor::~epoll_reactor() {
  if (epoll_fd_ >= 0) kernel::close(epoll_fd_);
}

int epoll_reactor::submit(operation& op) noexcept {
  if (op.kind != operation_kind::readiness) return -EOPNOTSUPP;
  fd_slot* s = slot(op.fd);
  if (!s) return op.fd < 0 ? -EBADF : -ENOMEM;
  link(*s, op);
  const int error = arm(op.fd, interest(*s));
  if (error == 0) return 0;
  unlink(op);
  if (error != -EPERM) return error;
  op.result = op.events;  // a regular file: always ready
  op.is_done = true;
  return 1;
}

void epoll_reactor::cancel(operation& op) noexcept {
  unlink(op);
}  // what stays armed fires once, for nobody

int epoll_reactor::add_watch(watch& w) noexcept {
  const int error = link_watch(w);
  if (error < 0) return error;
  const int refused = arm(w.fd, watch_events);
  if (refused < 0) unlink_watch(w);
  return refused;
}

void epoll_reactor::remove_watch(watch& w) noexcept {
  unlink_watch(w);
  epoll_event unused{};
  kernel::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, w.fd, &unused);
}

void epoll_reactor::poll(std::int64_t timeout_ns, fiber_list& ready) noexcept {
  epoll_event events[events_per_turn];
  const int count = wait(events, timeout_ns);
  for (int i = 0; i < count; ++i) handle(events[i], ready);
}

int epoll_reactor::arm(int fd, std::uint32_t events) noexcept {
  epoll_event event{events, {.fd = fd}};
  const int error = kernel::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event);
  return error == -ENOENT ? kernel::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) : error;
}

int epoll_reactor::wait(epoll_event* events, std::int64_t timeout_ns) noexcept {
  return host_ ? wait_in_host(events, timeout_ns) : wait_in_kernel(events, timeout_ns);
}

/// On a thread that is itself a fiber: it parks until the epoll has something.
int epoll_reactor::wait_in_host(epoll_event* events, std::int64_t timeout_ns) noexcept {
  if (timeout_ns == 0) host_->give_way();
  const int count = wait_in_kernel(events, 0);
  if (count != 0 || timeout_ns == 0) return count;
  const deadline until = timeout_ns < 0 ? never : now_ns() + timeout_ns;
  const bool has_parked = host_->await_readable(epoll_fd_, until);
  return wait_in_kernel(events, has_parked ? 0 : timeout_ns);
}

int epoll_reactor::wait_in_kernel(epoll_event* events, std::int64_t timeout_ns) noexcept {
  if (timeout_ns <= 0) {
    return kernel::epoll_wait(epoll_fd_, events, events_per_turn, timeout_ns < 0 ? -1 : 0);
  }
  if (has_pwait2_) {
    const timespec timeout{timeout_ns / ns_per_s, timeout_ns % ns_per_s};
    const int count = kernel::epoll_pwait2(epoll_fd_, events, events_per_turn, &timeout);
    if (count != -ENOSYS) return count;
    has_pwait2_ = false;
  }
  const std::int64_t ms = (timeout_ns + ns_per_ms - 1) / ns_per_ms;
  return kernel::epoll_wait(epoll_fd_, events, events_per_turn,
                            static_cast<int>(ms < 60'000 ? ms : 60'000));
}

void epoll_reactor::handle(const epoll_event& event, fiber_list& ready) noexcept {
  const int fd = event.data.fd;
  if (fd == wake_event_.fd()) return;
  fd_slot* s = existing_slot(fd);
  if (!s) return;
  if (s->persistent) deliver(*s->persistent, event.events, ready);
  if (s->operations.empty()) return;
  complete_matching(*s, event.events, ready);
  if (!s->operations.empty()) arm(fd, interest(*s));
}

void epoll_reactor::complete_matching(fd_slot& s, std::uint32_t events,
                                      fiber_list& ready) noexcept {
  for (operation *op = s.operations.front(), *after; op; op = after) {
    after = op->next;
    const std::uint32_t got = events & (op->events | EPOLLERR | EPOLLHUP);
    if (!got) continue;
    unlink(*op);
    complete(*op, got, ready);
  }
}

std::uint32_t epoll_reactor::interest(const fd_slot& s) noexcept {
  if (s.persistent) return watch_events;
  std::uint32_t events = EPOLLONESHOT;
  for (const operation* op = s.operations.front(); op; op = op->next) events |= op->events;
  return events;
}

}  // namespace coir::detail
