/// The backend for kernels and containers without io_uring. Waits for readiness only: what has none
/// is done by the offload threads. Twin of uring_reactor.
#pragma once

#include "runtime/kernel/thread_host.hpp"
#include "runtime/reactor/reactor.hpp"

namespace coir::detail {

class epoll_reactor final : public reactor {
 public:
  /// Null, and `error` set to -errno, when the kernel refuses.
  static std::unique_ptr<reactor> make(int& error) noexcept;
  ~epoll_reactor() override;

  int submit(operation& op) noexcept override;
  void cancel(operation& op) noexcept override;
  void poll(std::int64_t timeout_ns, fiber_list& ready) noexcept override;
  int add_watch(watch& w) noexcept override;
  void remove_watch(watch& w) noexcept override;
  int pollable_fd() noexcept override { return epoll_fd_; }
  bool is_pollable_fd(int fd) const noexcept override { return fd == epoll_fd_; }
  bool prepare_foreign_wait() noexcept override { return true; }
  const char* name() const noexcept override { return "epoll"; }

 private:
  epoll_reactor() noexcept = default;
  int start() noexcept;

  int arm(int fd, std::uint32_t events) noexcept;
  int wait(epoll_event* events, std::int64_t timeout_ns) noexcept;
  int wait_in_host(epoll_event* events, std::int64_t timeout_ns) noexcept;
  int wait_in_kernel(epoll_event* events, std::int64_t timeout_ns) noexcept;
  void handle(const epoll_event& event, fiber_list& ready) noexcept;
  void complete_matching(fd_slot& s, std::uint32_t events, fiber_list& ready) noexcept;
  static std::uint32_t interest(const fd_slot& s) noexcept;

  int epoll_fd_ = -1;
  bool has_pwait2_ = true;
  const kernel::thread_host* const host_ = kernel::host_of_threads();
};

}  // namespace coir::detail
