/// What other threads may touch of a worker.
#pragma once

#include "runtime/base/inbox.hpp"
#include "runtime/reactor/reactor.hpp"
#include "runtime/sched/counters.hpp"

#include <cstdint>
#include <memory>

namespace coir::detail {

/// The inbox, the way to wake the thread that sleeps behind it, and the counters.
class worker_door {
 public:
  worker_door() noexcept = default;
  worker_door(const worker_door&) = delete;
  worker_door& operator=(const worker_door&) = delete;

  /// Runs `call` on the worker's thread, in its loop. Any thread: one push, and one system call if
  /// the worker sleeps.
  void post(remote_call& call) noexcept {
    if (inbox_.push(call)) reactor_->wake();
  }
  /// Ends its sleep, without anything to do; false when it does not sleep. Any thread.
  bool rouse() noexcept {
    if (!inbox_.rouse()) return false;
    reactor_->wake();
    return true;
  }

  worker_counters& count() noexcept { return count_; }
  const worker_counters& count() const noexcept { return count_; }

 protected:
  ~worker_door() = default;

  worker_counters count_;
  std::unique_ptr<reactor> reactor_;
  std::uint64_t wakes_due_ = 0;  ///< how many of its sleeps others have ended, ever
  alignas(64) inbox inbox_;      ///< what others write
};

}  // namespace coir::detail
