#include <coir/poller.hpp>

#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/system/edge.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

#include <sys/epoll.h>

namespace coir::detail {
namespace {

constexpr short events_allowed = POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM |
                                 POLLWRBAND | POLLRDHUP | POLLERR | POLLHUP;
static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT &&
              EPOLLERR == POLLERR && EPOLLHUP == POLLHUP && EPOLLRDHUP == POLLRDHUP);

void become_worker(const char* what) {
  std::error_code ec;
  if (!ensure_worker(ec)) throw_error(ec, what);
}

/// The value of a wait; throws what interrupted it, or the error.
std::size_t value_of(int result, const char* what) {
  std::error_code ec;
  const std::size_t value = finish(result, ec);
  if (ec) throw_error(ec, what);
  return value;
}

int control(int epoll_fd, int what, int fd, short events) noexcept {
  if (events & ~events_allowed) return EINVAL;
  epoll_event event{static_cast<std::uint32_t>(events), {.fd = fd}};
  return -kernel::epoll_ctl(epoll_fd, what, fd, &event);
}

}  // namespace

std::size_t poll_until(std::span<pollfd> descriptors, deadline until) {
  become_worker("coir::poll");
  return value_of(io::poll(descriptors.data(), descriptors.size(), until), "coir::poll");
}

short wait_fd_until(int fd, short events, deadline until) {
  become_worker("coir::wait_fd");
  const int result = io::wait_ready(fd, events, until);
  return static_cast<short>(value_of(result == -ETIMEDOUT ? 0 : result, "coir::wait_fd"));
}

epoll_set::epoll_set() : fd_(kernel::epoll_create1(EPOLL_CLOEXEC)) {
  if (fd_ < 0) throw_error(code_of(fd_), "coir::poller");
}

epoll_set::~epoll_set() { io::close(fd_); }

int epoll_set::add(int fd, short events) noexcept {
  return control(fd_, EPOLL_CTL_ADD, fd, events);
}

int epoll_set::modify(int fd, short events) noexcept {
  return control(fd_, EPOLL_CTL_MOD, fd, events);
}

int epoll_set::remove(int fd) noexcept { return control(fd_, EPOLL_CTL_DEL, fd, 0); }

std::vector<epoll_set::event> epoll_set::wait(std::size_t room, deadline until) {
  become_worker("coir::poller");
  std::vector<epoll_event> got(std::max<std::size_t>(room, 1));
  got.resize(value_of(io::epoll_wait(fd_, got.data(), static_cast<int>(got.size()), until),
                      "coir::poller: select"));
  std::vector<event> result;
  result.reserve(got.size());
  for (const epoll_event& each : got)
    result.push_back({each.data.fd, static_cast<short>(each.events)});
  return result;
}

void throw_poller_error(const char* what, int fd, int error) {
  throw_error(code_of(-error),
              std::string("coir::poller: ") + what + " descriptor " + std::to_string(fd));
}

}  // namespace coir::detail
