// The C interface: each function is the C++ one with its exceptions turned into a negative errno.
// What interrupts a wait stays pending while C code runs, as in a hooked call, so that it is thrown
// when control is in C++ again, and so that every further wait of the C code fails, too.
#include <coir/coir.h>
#include <coir/fiber.hpp>
#include <coir/foreign_loop.hpp>
#include <coir/offload.hpp>
#include <coir/queue.hpp>
#include <coir/runtime.hpp>

#include "runtime/diag/wait_graph.hpp"
#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"

#include <cerrno>
#include <chrono>
#include <limits>
#include <new>
#include <stdexcept>
#include <system_error>

using namespace coir;

struct coir_queue {
  queue<void*> items;
};

namespace {

using std::chrono::nanoseconds;

detail::task* task_of(const coir_fiber* fiber) noexcept {
  return reinterpret_cast<detail::task*>(const_cast<coir_fiber*>(fiber));
}

coir_fiber* handle_of(detail::task* task) noexcept { return reinterpret_cast<coir_fiber*>(task); }

nanoseconds limit(std::int64_t timeout_ns) noexcept {
  return timeout_ns < 0 ? nanoseconds::max() : nanoseconds(timeout_ns);
}

detail::deadline deadline_in(std::int64_t timeout_ns) noexcept {
  return detail::deadline_after(limit(timeout_ns));
}

/// What `call` returns, or the negative errno of what it throws.
template <class Call>
int guarded(Call call) noexcept {
  try {
    detail::worker::current();
    const detail::c_frame frame;
    return call();
  } catch (const detail::told_interruption& e) {
    return -e.error_number;
  } catch (const shut_down&) {
    return -EPIPE;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (const std::logic_error&) {
    return -EDEADLK;
  } catch (const std::system_error& e) {
    return -e.code().value();
  }
}

/// What io returned, with the errno that fits an interruption.
int told(ssize_t result) noexcept {
  return result == -ECANCELED ? -io::interruption_error() : static_cast<int>(result);
}

}  // namespace

coir_fiber* coir_spawn(void (*function)(void*), void* argument,
                       const coir_attributes* attributes) noexcept {
  auto call = [function, argument] { function(argument); };
  const void* const site = detail::here();
  coir_fiber* handle = nullptr;
  const int error = guarded([&] {
    const coir_attributes how = attributes ? *attributes : coir_attributes{};
    coir::attributes given{how.name ? how.name : "", how.stack_bytes, how.run_first != 0};
    detail::task_ref<detail::task> task(new detail::bound_task<void, decltype(call)>(call));
    task->retain();
    if (how.delay_ns > 0) {
      detail::start_task_at(task.get(), given, site, deadline_in(how.delay_ns));
    } else {
      detail::start_task(task.get(), given, site);
    }
    handle = handle_of(task.detach());
    return 0;
  });
  if (!handle) errno = -error;
  return handle;
}

coir_fiber* coir_retain(coir_fiber* fiber) noexcept {
  task_of(fiber)->retain();
  return fiber;
}

void coir_release(coir_fiber* fiber) noexcept {
  if (fiber) task_of(fiber)->release();
}

int coir_join(coir_fiber* fiber, std::int64_t timeout_ns) noexcept {
  return guarded(
      [&] { return task_of(fiber)->wait_until(deadline_in(timeout_ns)) ? 0 : -ETIMEDOUT; });
}

int coir_kill(coir_fiber* fiber) noexcept {
  return guarded([&] {
    task_of(fiber)->request_kill(nullptr);
    return 0;
  });
}

int coir_is_done(const coir_fiber* fiber) noexcept { return task_of(fiber)->ready(); }

std::uint64_t coir_id(const coir_fiber* fiber) noexcept { return task_of(fiber)->id(); }

int coir_yield(void) noexcept {
  return guarded([] { return told(io::yield()); });
}

int coir_sleep_ns(std::int64_t length_ns) noexcept {
  if (length_ns == 0) return coir_yield();
  return guarded([&] { return told(io::sleep_until(deadline_in(length_ns))); });
}

int coir_wait_fd(int fd, short events, std::int64_t timeout_ns) noexcept {
  return guarded([&] { return told(io::wait_ready(fd, events, deadline_in(timeout_ns))); });
}

int coir_poll(pollfd* fds, std::size_t count, std::int64_t timeout_ns) noexcept {
  return guarded([&] { return told(io::poll(fds, count, deadline_in(timeout_ns))); });
}

int coir_close(int fd) noexcept { return io::close(fd); }

int coir_offload(void (*work)(void*), void* argument) noexcept {
  return guarded([&] {
    detail::run_offloaded(work, argument);
    return 0;
  });
}

coir_queue* coir_queue_new(std::size_t capacity) noexcept {
  try {
    return new coir_queue{queue<void*>(capacity)};
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
    return nullptr;
  }
}

void coir_queue_free(coir_queue* queue) noexcept { delete queue; }

int coir_queue_put(coir_queue* queue, void* item, std::int64_t timeout_ns) noexcept {
  return guarded([&] { return queue->items.put_for(item, limit(timeout_ns)) ? 0 : -ETIMEDOUT; });
}

int coir_queue_get(coir_queue* queue, void** item, std::int64_t timeout_ns) noexcept {
  return guarded([&] {
    const auto got = queue->items.get_for(limit(timeout_ns));
    if (got) *item = *got;
    return got ? 0 : -ETIMEDOUT;
  });
}

std::size_t coir_queue_size(coir_queue* queue) noexcept { return queue->items.size(); }

void coir_queue_shutdown(coir_queue* queue) noexcept { queue->items.shutdown(); }

int coir_pollable_fd() noexcept { return guarded(pollable_fd); }

int coir_run_once(std::int64_t* limit_ns) noexcept {
  return guarded([&] {
    const nanoseconds length = run_once();
    *limit_ns = length == nanoseconds::max() ? -1 : length.count();
    return 0;
  });
}

int coir_dump(int fd) noexcept {
  return guarded([&] {
    const std::string text = detail::wait_graph::describe_all(detail::worker::current());
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t written = kernel::write(fd, text.data() + done, text.size() - done);
      if (written < 0 && written != -EINTR) return static_cast<int>(written);
      if (written > 0) done += static_cast<std::size_t>(written);
    }
    return 0;
  });
}

const char* coir_backend(void) noexcept {
  const char* name = nullptr;
  const int error = guarded([&] {
    name = backend();
    return 0;
  });
  if (!name) errno = -error;
  return name;
}
