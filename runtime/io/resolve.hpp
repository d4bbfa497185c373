/// Name look-ups that do not block the thread.
///
/// They have threads of their own, so that name servers which do not answer take none from other
/// blocking work; COIR_RESOLVER_THREADS says how many there may be. Fibers of any worker that ask
/// the same at the same time share one look-up.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

#include <atomic>
#include <cstdint>

#include <netdb.h>

namespace coir::io {

/// getaddrinfo(3) on a thread for look-ups, the fiber parked; the result is to be freed with
/// freeaddrinfo. Returns 0 or an EAI_ code. The deadline, or a kill, ends the wait early:
/// EAI_SYSTEM with `*error` set to ETIMEDOUT or ECANCELED. Others who wait for the same look-up are
/// not touched by that; one that nobody waits for any more is dropped if it has not begun, and else
/// goes on alone, for who asks the same meanwhile. `*error` is errno's value for every EAI_SYSTEM.
/// To be called on a worker thread. `real` is the getaddrinfo to call, so that a hook can pass
/// libc's own, and `free_result` frees what it gives; an answer that is shared is copied, in the
/// form that libc's freeaddrinfo takes.
COIR_API int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                         addrinfo** result, int* error, detail::deadline until,
                         int (*real)(const char*, const char*, const addrinfo*, addrinfo**),
                         void (*free_result)(addrinfo*)) noexcept;

/// Calls `work(argument)`, which must not throw, on a thread for look-ups and parks the running
/// fiber until it has returned; a kill is kept until then. 0, or -errno when there is no thread.
/// To be called on a worker thread.
COIR_API int run_look_up(void (*work)(void*), void* argument) noexcept;

/// What look-ups have done since the process began. Any thread may read and add.
struct look_up_counters {
  std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> coalesced{0};  ///< calls that shared a look-up that had begun
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> given_up{0};  ///< calls that a deadline or a kill ended
  std::atomic<std::uint64_t> waiting{0};   ///< fibers that wait now
  std::atomic<std::int64_t> queued_ns{0};  ///< how long look-ups waited for a thread, in all
  std::atomic<std::int64_t> queued_ns_max{0};
};

/// The counters of the process; in the child of a fork they begin at zero.
COIR_API look_up_counters& look_up_count() noexcept;

}  // namespace coir::io
