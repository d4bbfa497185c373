/// The backend on io_uring: readiness by poll requests, files and whatever has no readiness by the
/// ring itself. One system call per turn submits all requests and reaps all events. Twin of
/// epoll_reactor.
#pragma once

#include "runtime/reactor/reactor.hpp"

#include <optional>

#include <liburing.h>

namespace coir::detail {

class uring_reactor final : public reactor {
 public:
  /// Null, `error` set to -errno and `missing` to what the kernel lacks, when it refuses.
  static std::unique_ptr<reactor> make(int& error, const char*& missing) noexcept;
  ~uring_reactor() override;

  int submit(operation& op) noexcept override;
  void cancel(operation& op) noexcept override;
  void poll(std::int64_t timeout_ns, fiber_list& ready) noexcept override;
  int add_watch(watch& w) noexcept override;
  void remove_watch(watch& w) noexcept override;
  int pollable_fd() noexcept override;
  bool is_pollable_fd(int fd) const noexcept override { return fd >= 0 && fd == foreign_epoll_; }
  bool prepare_foreign_wait() noexcept override;
  const char* name() const noexcept override { return "io_uring"; }

 private:
  /// What a request's events are for. A request whose target has gone stays, empty, until the
  /// kernel has answered.
  struct request {
    operation* op = nullptr;
    watch* persistent = nullptr;
    std::uint32_t next_free = 0;
  };

  uring_reactor() noexcept = default;
  int start(const char*& missing) noexcept;
  int start_ring() noexcept;
  const char* missing_feature() noexcept;

  io_uring_sqe* next_sqe() noexcept;
  std::uint32_t take_request() noexcept;
  void free_request(std::uint32_t ticket) noexcept;
  void prepare(io_uring_sqe& sqe, const operation& op) noexcept;
  int request_watch(watch& w) noexcept;
  void request_removal(std::uint32_t ticket) noexcept;
  void enter(std::int64_t timeout_ns) noexcept;
  void run_task_work() noexcept;
  void handle(const io_uring_cqe& cqe, fiber_list& ready) noexcept;
  void handle_wake(const io_uring_cqe& cqe) noexcept;
  void handle_watch(std::uint32_t ticket, const io_uring_cqe& cqe, fiber_list& ready) noexcept;
  void arm_wake_event() noexcept;
  void after_forget() noexcept override;

  io_uring ring_{};
  bool has_ring_ = false;
  /// The kernel sets a flag in shared memory when a zero-wait enter is worth it
  bool tells_task_work_ = false;
  std::optional<kernel::event_fd> completion_event_;  ///< in foreign_epoll_
  int foreign_epoll_ = -1;                            ///< what pollable_fd() returns
  std::vector<request> requests_;
  std::uint32_t first_free_ = 0;  ///< index + 1; 0: none
};

}  // namespace coir::detail
