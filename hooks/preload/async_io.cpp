// The program's own asynchronous files: its io_uring rings, through liburing, and libaio.
//
// A ring is a descriptor, readable while it has completions. A fiber that waits for the first one
// parks until then; everything else (more than one completion, a signal mask, a ring that must be
// polled) is waited for in a region. Submission comes first, by the real function that waits for
// nothing. A signal ends each of these waits, also one with SA_RESTART, as it does in the kernel.
// They are no cancellation points: a thread that is cancelled waits on in a region.
//
// coir's own ring is linked into its library and hidden, and never comes by here. What a program
// calls inline (liburing as a static library) is left to the monitor.
//
// Rings that the kernel ties to one thread (IORING_SETUP_SINGLE_ISSUER, io_uring_register_ring_fd)
// fail on a fiber that has moved.
#include "hooks/preload/async_io.hpp"

#include "hooks/preload/in_region.hpp"
#include "hooks/threads/descriptors.hpp"
#include "hooks/time_limit.hpp"
#include "runtime/kernel/calls.hpp"

#include <dlfcn.h>
#include <liburing.h>

using namespace coir;
using namespace coir::hooks;

namespace {

/// A function of the program's liburing, which may be loaded later than this library, and apart
/// from it (dlopen).
template <class Signature>
class ring_function;

template <class Result, class... Args>
class ring_function<Result(Args...)> {
 public:
  using pointer = Result (*)(Args...);

  constexpr explicit ring_function(const char* name) noexcept : name_(name) {}

  Result operator()(Args... args) { return get()(args...); }

 private:
  pointer get() noexcept {
    const pointer found = address_.load(
        std::memory_order_relaxed);  // an address that is the same for all who find it
    return found ? found : look_up();
  }
  [[gnu::noinline]] pointer look_up() noexcept {
    void* found = find_next(name_);
    if (!found)
      if (void* const library = ::dlopen("liburing.so.2", RTLD_LAZY | RTLD_NOLOAD))
        found = ::dlsym(library, name_);
    if (!found) report_missing(name_);
    const auto address = reinterpret_cast<pointer>(found);
    address_.store(address, std::memory_order_relaxed);
    return address;
  }

  const char* name_;
  std::atomic<pointer> address_{nullptr};
};

constinit ring_function<int(io_uring*, io_uring_cqe**, unsigned, unsigned, sigset_t*)> real_get_cqe{
    "__io_uring_get_cqe"};
constinit ring_function<int(io_uring*, unsigned)> real_submit_and_wait{"io_uring_submit_and_wait"};
constinit ring_function<int(io_uring*, io_uring_cqe**, unsigned, __kernel_timespec*, sigset_t*)>
    real_submit_and_wait_timeout{"io_uring_submit_and_wait_timeout"};
constinit ring_function<int(io_uring*, io_uring_cqe**, unsigned, __kernel_timespec*, sigset_t*)>
    real_wait_cqes{"io_uring_wait_cqes"};

/// True for a wait that a fiber may make by parking, at least for its first completion.
bool can_park(const io_uring& ring, unsigned wanted, const sigset_t* mask) noexcept {
  const bool is_complete = (ring.features & IORING_FEAT_EXT_ARG) != 0;
  return parking_fiber(family::aio) && wanted > 0 && !mask && is_complete &&
         !(ring.flags & IORING_SETUP_IOPOLL);
}

/// How far a wait by parking has come.
enum class progress {
  done,         ///< all that was wanted is there
  unfinished,   ///< the rest is to be waited for in a region
  interrupted,  ///< by a signal
  timed_out,
};

progress await_completions(io_uring& ring, unsigned wanted, threads::deadline until) noexcept {
  for (;;) {
    const unsigned ready = ::io_uring_cq_ready(&ring);
    if (ready >= wanted) return progress::done;
    if (ready > 0) return progress::unfinished;
    awaited_descriptor at(ring.ring_fd);
    const int result = threads::await_descriptor(at.fd, POLLIN, until);
    if (result == -EINTR || result == -ERESTART) return progress::interrupted;
    if (result == -ETIMEDOUT) return progress::timed_out;
    // Readable without a completion: they have to be fetched from the kernel.
    if (result < 0 || ::io_uring_cq_ready(&ring) == 0) return progress::unfinished;
  }
}

threads::deadline deadline_of(const __kernel_timespec* timeout) noexcept {
  return timeout ? deadline_in(timeout->tv_sec, static_cast<long>(timeout->tv_nsec))
                 : coir::detail::never;
}

/// Sets `cqe` to the first completion.
int first_completion(io_uring* ring, io_uring_cqe** cqe) {
  return real_get_cqe(ring, cqe, 0, 0, nullptr);
}

/// After a submission: waits, and returns what io_uring_wait_cqes would.
int wait_for(io_uring* ring, io_uring_cqe** cqe, unsigned wanted, __kernel_timespec* timeout) {
  const threads::deadline until = deadline_of(timeout);
  switch (await_completions(*ring, wanted, until)) {
    case progress::done:
      return first_completion(ring, cqe);
    case progress::interrupted:
      *cqe = nullptr;
      return -EINTR;
    case progress::timed_out:
      *cqe = nullptr;
      return -ETIME;
    case progress::unfinished:
      break;
  }
  if (!timeout) return in_region([&] { return real_get_cqe(ring, cqe, 0, wanted, nullptr); });
  const timespec rest = to_timespec(left_ns(until));
  __kernel_timespec left{rest.tv_sec, rest.tv_nsec};
  return in_region([&] { return real_wait_cqes(ring, cqe, wanted, &left, nullptr); });
}

}  // namespace

/// hook: async I/O: submits, and parks until the first completion
COIR_HOOK int __io_uring_get_cqe(io_uring* ring, io_uring_cqe** cqe, unsigned submit,
                                 unsigned wanted, sigset_t* mask) {
  auto call = [&] { return real_get_cqe(ring, cqe, submit, wanted, mask); };
  if (!can_park(*ring, wanted, mask))
    return parking_fiber(family::aio) && wanted > 0 ? in_region(call) : call();
  int submitted = 0;
  if (submit > 0) {
    submitted = real_get_cqe(ring, cqe, submit, 0, nullptr);
    if (submitted < 0 && submitted != -EAGAIN) return submitted;
  }
  const int result = wait_for(ring, cqe, wanted, nullptr);
  return submitted > 0 && result >= 0 ? submitted : result;
}

/// hook: async I/O: parks until the first completion
COIR_HOOK int io_uring_wait_cqes(io_uring* ring, io_uring_cqe** cqe, unsigned wanted,
                                 __kernel_timespec* timeout, sigset_t* mask) {
  auto call = [&] { return real_wait_cqes(ring, cqe, wanted, timeout, mask); };
  if (can_park(*ring, wanted, mask)) return wait_for(ring, cqe, wanted, timeout);
  return parking_fiber(family::aio) && wanted > 0 ? in_region(call) : call();
}

/// hook: async I/O: parks until the first completion
COIR_HOOK int io_uring_wait_cqe_timeout(io_uring* ring, io_uring_cqe** cqe,
                                        __kernel_timespec* timeout) {
  return io_uring_wait_cqes(ring, cqe, 1, timeout, nullptr);
}

/// hook: async I/O: submits, and parks until the first completion
COIR_HOOK int io_uring_submit_and_wait(io_uring* ring, unsigned wanted) {
  auto call = [&] { return real_submit_and_wait(ring, wanted); };
  if (!can_park(*ring, wanted, nullptr))
    return parking_fiber(family::aio) && wanted > 0 ? in_region(call) : call();
  const int submitted = real_submit_and_wait(ring, 0);
  if (submitted < 0) return submitted;
  const progress how = await_completions(*ring, wanted, coir::detail::never);
  const int result = how == progress::unfinished    ? in_region(call)
                     : how == progress::interrupted ? -EINTR
                                                    : 0;
  return submitted > 0 ? submitted : result;
}

/// hook: async I/O: submits, and parks until the first completion
COIR_HOOK int io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** cqe, unsigned wanted,
                                               __kernel_timespec* timeout, sigset_t* mask) {
  auto call = [&] { return real_submit_and_wait_timeout(ring, cqe, wanted, timeout, mask); };
  if (!can_park(*ring, wanted, mask))
    return parking_fiber(family::aio) && wanted > 0 ? in_region(call) : call();
  const int submitted = real_submit_and_wait(ring, 0);
  if (submitted < 0) return submitted;
  const int result = wait_for(ring, cqe, wanted, timeout);
  return submitted > 0 ? submitted : result;
}

namespace coir::hooks {

long wait_io_getevents(aio_context_t context, long least, long most, io_event* events,
                       timespec* timeout) noexcept {
  auto get = [&](long at_least, long already, timespec* limit) noexcept {
    return kernel::call(SYS_io_getevents, context, at_least, most - already, events + already,
                        limit);
  };
  const bool is_valid_range = least >= 0 && least <= most;
  if (!parking_fiber(family::aio) || !is_valid_range) return get(least, 0, timeout);
  timespec no_time{0, 0};
  const long taken = get(0, 0, &no_time);
  if (taken < 0 || taken >= least) return taken;
  const long more = in_region([&] { return get(least - taken, taken, timeout); });
  if (more >= 0) return taken + more;
  return taken > 0 ? taken : more;
}

}  // namespace coir::hooks

/// hook: async I/O: waits in a region; returns -errno, as libaio does
COIR_HOOK int io_getevents(aio_context_t context, long least, long most, io_event* events,
                           timespec* timeout) {
  return static_cast<int>(wait_io_getevents(context, least, most, events, timeout));
}
