#include "runtime/io/resolve.hpp"

#include "runtime/io/offload.hpp"
#include "runtime/sched/worker.hpp"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace coir::io {
namespace {

using real_getaddrinfo = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
using real_freeaddrinfo = void (*)(addrinfo*);

struct free_text {
  void operator()(char* text) const noexcept { std::free(text); }
};
using owned_text = std::unique_ptr<char, free_text>;

/// One look-up, owned by the fiber and the thread together: whoever is last frees it, with a result
/// nobody took.
struct look_up final : offload_job {
  owned_text node;
  owned_text service;
  addrinfo hints{};
  bool has_hints = false;
  real_getaddrinfo resolve = nullptr;
  real_freeaddrinfo free_result = nullptr;
  detail::control_block* waiter = nullptr;
  addrinfo* result = nullptr;
  int status = 0;
  int error_number = 0;
  std::atomic<bool> is_done{false};
  std::atomic<int> owners{2};

  ~look_up() {
    if (result) free_result(result);
  }
  void release() noexcept {
    if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

/// False when there was no memory for the copy.
bool copy_text(const char* text, owned_text& copy) noexcept {
  if (!text) return true;
  copy.reset(strdup(text));
  return copy != nullptr;
}

void run_look_up(offload_job& job) noexcept {
  auto& own = static_cast<look_up&>(job);
  own.status = own.resolve(own.node.get(), own.service.get(), own.has_hints ? &own.hints : nullptr,
                           &own.result);
  own.error_number = errno;
  if (own.status != 0) own.result = nullptr;
}

void end_look_up(offload_job& job) noexcept {
  auto& own = static_cast<look_up&>(job);
  detail::control_block& waiter = *own.waiter;
  own.is_done.store(true, std::memory_order_release);
  detail::worker::wake(waiter);
  own.release();
}

/// 0 when the look-up is done, else -ETIMEDOUT or -ECANCELED.
int await_look_up(const look_up& work, detail::deadline until) noexcept {
  detail::worker& w = *detail::worker::current_or_null();
  while (!work.is_done.load(std::memory_order_acquire)) {
    const auto how = w.park(detail::wait_reason::offload, until, detail::interruptible::yes);
    if (how == detail::wait_status::woken || work.is_done.load(std::memory_order_acquire)) continue;
    return how == detail::wait_status::timed_out ? -ETIMEDOUT : -ECANCELED;
  }
  return 0;
}

}  // namespace

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result,
                int* error, detail::deadline until, real_getaddrinfo real,
                real_freeaddrinfo free_result) noexcept {
  auto* work = new (std::nothrow) look_up;
  if (!work || !copy_text(node, work->node) || !copy_text(service, work->service)) {
    delete work;
    return EAI_MEMORY;
  }
  work->run = run_look_up;
  work->done = end_look_up;
  work->resolve = real;
  work->free_result = free_result;
  work->has_hints = hints != nullptr;
  if (hints) work->hints = *hints;
  work->waiter = detail::worker::current_or_null()->running;
  int refused = submit_offload(*work);
  if (refused < 0) {
    delete work;
  } else {
    refused = await_look_up(*work, until);
    if (refused == 0) {
      const int status = work->status;
      *error = work->error_number;
      *result = work->result;
      work->result = nullptr;
      work->release();
      return status;
    }
    work->release();
  }
  *error = -refused;
  return EAI_SYSTEM;
}

}  // namespace coir::io
