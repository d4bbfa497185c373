#include <coir/dump.hpp>
#include <coir/semaphore.hpp>

#include "runtime/diag/wait_graph.hpp"
#include "runtime/kernel/syscall.hpp"
#include "runtime/sched/worker.hpp"

#include <memory>
#include <mutex>
#include <new>

#include <pthread.h>

namespace coir {
namespace {

constexpr std::int64_t patience_ns = 1'000'000'000;

/// What the workers have answered. Shared by the one who asks and those who have not answered.
struct answers {
  detail::short_lock lock;
  std::string text;  ///< guarded by lock
  counting_semaphore given{0};
};

/// A worker's fibers, under a line that says which thread it is. On that thread.
std::string describe_this_worker() {
  char name[32] = {};
  pthread_getname_np(pthread_self(), name, sizeof name);
  return "worker of thread " + std::to_string(kernel::call(SYS_gettid)) + " \"" + name + "\"\n" +
         detail::wait_graph::describe_all(detail::worker::current());
}

struct question final : detail::remote_call {
  explicit question(std::shared_ptr<answers> into) : to(std::move(into)) {
    invoke = [](remote_call& call) noexcept {
      const std::unique_ptr<question> self(static_cast<question*>(&call));
      try {
        const std::string text = describe_this_worker();
        const std::lock_guard guard(self->to->lock);
        self->to->text += text;
      } catch (const std::bad_alloc&) {
        return;  // it counts as one that did not answer
      }
      self->to->given.release();
    };
  }
  const std::shared_ptr<answers> to;
};

}  // namespace

std::string dump_all() {
  const std::string own = describe_this_worker();
  const auto collected = std::make_shared<answers>();
  std::size_t asked = 0;
  detail::worker::post_to_others([&] {
    ++asked;
    return new question(collected);
  });
  const detail::deadline until = detail::now_ns() + patience_ns;
  std::size_t missing = asked;
  while (missing > 0 &&
         collected->given.try_acquire_for(std::chrono::nanoseconds(until - detail::now_ns()))) {
    --missing;
  }
  const std::lock_guard guard(collected->lock);
  std::string text = own + collected->text;
  if (missing > 0) {
    text += std::to_string(missing) +
            " more: did not answer within a second, since a fiber holds the thread\n";
  }
  return text;
}

}  // namespace coir
