/// Waiting for several descriptors at a time, on a worker.
#pragma once

#include "runtime/sched/worker.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>

#include <poll.h>

namespace coir::io {

/// One readiness operation of the running fiber for each descriptor of a poll; takes all that are
/// still pending back at its end.
class poll_set {
 public:
  poll_set(detail::worker& w, const pollfd* fds, nfds_t count) noexcept : worker_(w) {
    if (count > operations_on_stack) heap_.reset(new (std::nothrow) detail::operation[count]);
    operations_ = count > operations_on_stack ? heap_.get() : stack_;
    if (operations_) begin(fds, count);
  }
  poll_set(const poll_set&) = delete;
  poll_set& operator=(const poll_set&) = delete;
  ~poll_set() {
    for (nfds_t i = 0; i < begun_; ++i) {
      if (!operations_[i].is_done) worker_.io().cancel(operations_[i]);
    }
  }

  /// 0, or -errno when the wait could not begin.
  int error() const noexcept { return operations_ ? error_ : -ENOMEM; }
  /// True once one of the operations is done.
  bool is_done() const noexcept {
    return std::any_of(operations_, operations_ + begun_,
                       [](const detail::operation& op) { return op.is_done; });
  }
  /// True when one of the descriptors was closed through coir.
  bool has_closed() const noexcept {
    return std::any_of(operations_, operations_ + begun_, [](const detail::operation& op) {
      return op.is_done && op.result == -EBADF;
    });
  }

 private:
  static constexpr nfds_t operations_on_stack = 8;

  void begin(const pollfd* fds, nfds_t count) noexcept {
    for (nfds_t i = 0; i < count && error_ >= 0; ++i) {
      if (fds[i].fd < 0) continue;
      detail::operation& op = operations_[begun_];
      op.fd = fds[i].fd;
      op.events = static_cast<std::uint16_t>(fds[i].events);
      op.waiter = worker_.running;
      error_ = worker_.io().submit(op);
      if (error_ >= 0) ++begun_;
    }
    error_ = std::min(error_, 0);
  }

  detail::worker& worker_;
  detail::operation stack_[operations_on_stack];
  std::unique_ptr<detail::operation[]> heap_;
  detail::operation* operations_;
  nfds_t begun_ = 0;
  int error_ = 0;
};

}  // namespace coir::io
