/// Name look-ups that do not block the thread.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/export.hpp>

#include <netdb.h>

namespace coir::io {

/// getaddrinfo(3) on an offload thread, the fiber parked; the result is to be freed with
/// freeaddrinfo. Returns 0 or an EAI_ code. The deadline, or a kill, ends the wait early:
/// EAI_SYSTEM with `*error` set to ETIMEDOUT or ECANCELED; the look-up itself then goes on alone
/// and its result is freed. `*error` is errno's value for every EAI_SYSTEM. To be called on a
/// worker thread. `real` is the getaddrinfo to call, so that a hook can pass libc's own.
COIR_API int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                         addrinfo** result, int* error, detail::deadline until,
                         int (*real)(const char*, const char*, const addrinfo*, addrinfo**),
                         void (*free_result)(addrinfo*)) noexcept;

}  // namespace coir::io
