// Closing a descriptor that others wait for: they wake with EBADF, on whatever worker, and a
// pending request no longer holds its file. Waits that began before carry an old generation, so
// that the next owner of the number is safe from them.
#include "runtime/io/io.hpp"
#include "runtime/io/thread_scheduler.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/sched/worker.hpp"

#include <memory>
#include <new>

namespace coir::io {
namespace {

using detail::worker;

// Of a range that is closed at once; a table of more descriptors than this is rare.
constexpr unsigned descriptors_looked_at = 65536;

/// Tells another worker that a number is closed.
struct closed_notice final : detail::remote_call {
  closed_notice(int closed, std::uint32_t since) noexcept : fd(closed), generation(since) {
    invoke = [](detail::remote_call& call) noexcept {
      const std::unique_ptr<closed_notice> self(static_cast<closed_notice*>(&call));
      worker& w = *worker::current_or_null();
      w.io().forget(self->fd, self->generation, w.run_queue());
    };
  }
  int fd;
  std::uint32_t generation;  ///< waits older than this are meant
};

}  // namespace

void forget(int fd) noexcept {
  if (fd < 0) return;
  if (thread_scheduler* const threads = registered_threads()) {
    threads->before_close(fd);
  } else if (const kernel::thread_host* const host = kernel::host_of_threads()) {
    host->before_close(fd);  // that of the preload library, which is another runtime
  }
  detail::fd_table::advance_generation(fd);
  const std::uint32_t generation = detail::fd_table::generation(fd);
  std::uint32_t waiting = detail::fd_table::waiters(fd);
  if (waiting == 0) return;
  if (worker* w = worker::current_or_null()) {
    waiting -= w->io().waiters(fd);
    w->io().forget(fd, generation, w->run_queue());
  }
  if (waiting == 0) return;
  worker::post_to_others([=] { return new (std::nothrow) closed_notice(fd, generation); });
}

void forget_range(unsigned first, unsigned last) noexcept {
  const auto end =
      registered_threads() ? descriptors_looked_at : static_cast<unsigned>(detail::fd_table::end());
  for (unsigned fd = first; fd < end && fd <= last; ++fd) forget(static_cast<int>(fd));
}

int close(int fd) noexcept {
  forget(fd);
  return kernel::close(fd);
}

bool on_worker() noexcept { return worker::current_or_null() != nullptr; }

bool may_park() noexcept { return on_worker() || threads_of_caller() != nullptr; }

}  // namespace coir::io
