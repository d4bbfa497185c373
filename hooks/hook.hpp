/// What a hook is made of. A hook is three steps:
///
///     /// hook: sockets: readiness, then the call
///     COIR_HOOK ssize_t recv(int fd, void* data, size_t size, int flags) {
///       if (!on_fiber()) return real::recv(fd, data, size, flags);          // 1 off a fiber
///       return finish(io::recv(fd, data, size, flags, io::posix_manners));  // 2 and 3
///     }
///
/// To add one: write it in the file of its family, with the line `/// hook: FAMILY: PHRASE` above
/// it that becomes its row in docs/hooks.md (hooks/table.py; `./dev hooks-table`), its real
/// function into real.hpp, its name into exports.map. A test compares these with the library that
/// was built.
///
/// Invariants:
///   1 Off a fiber a hook calls libc's own function, which stays a cancellation point and sets
///     errno itself.
///   2 On a fiber nothing reads or writes errno until finish(): while the fiber was parked others
///     used errno too.
///   3 No C++ exception leaves a hook, for its callers are C frames. Only the forced unwinding of
///     pthread_cancel passes through, off a fiber: hooks of cancellation points are not noexcept.
///   4 Off a fiber a hook allocates nothing and needs no constructor to have run: allocators read
///     files while they start, and constructors of other libraries run before ours.
#pragma once

#include "hooks/families.hpp"
#include "hooks/finish.hpp"
#include "hooks/real.hpp"
#include "runtime/io/thread_scheduler.hpp"

#include <coir/offload.hpp>

#include <cerrno>
#include <system_error>

#include <sys/types.h>

/// Marks an exported hook. Everything else in the library is hidden.
#define COIR_HOOK extern "C" __attribute__((visibility("default")))
/// The same hook under another of libc's names for it.
#define COIR_HOOK_ALIAS(hook) __attribute__((visibility("default"), alias(#hook)))

namespace coir::hooks {

/// True when a hooked call is to cooperate: the thread is a worker, and the running fiber has no
/// `off` scope open; or it is itself a fiber of the preload library. Any thread, before
/// constructors too; in a forked child the thread is no worker any more.
bool on_fiber(family f = family::io) noexcept;
/// The same in a call that is a cancellation point: ends the thread when it has been cancelled.
bool on_fiber_or_cancelled(family f = family::io);
/// For calls that a cancellation has ended: ends the thread. Else does nothing.
inline void end_if_cancelled() { on_fiber_or_cancelled(); }

/// What a libc function returned on an offload thread, and the errno that it left there.
template <class Result>
struct offloaded_result {
  Result value;
  int error;
};

/// Runs `call` on an offload thread while the fiber is parked; a kill waits until it has returned,
/// for libc writes into the caller's buffers. Without a thread to run on it blocks this one
/// instead, which is slower but right. On a thread that is a fiber it blocks the kernel thread,
/// which is given up for it.
template <class Call>
auto offloaded(Call call) noexcept -> offloaded_result<decltype(call())> {
  auto keep_errno = [&] {
    auto value = call();
    return offloaded_result<decltype(call())>{value, errno};
  };
  if (io::thread_scheduler* const threads = io::threads_of_caller())
    return io::call_blocking(*threads, keep_errno);
  try {
    return coir::offload(keep_errno);
  } catch (const std::system_error&) {
    return keep_errno();
  }
}

}  // namespace coir::hooks
