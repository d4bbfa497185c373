/// Facts about the runtime of the calling thread.
#pragma once

#include <coir/export.hpp>

#include <cstddef>

namespace coir {

/// The I/O backend that the calling thread's worker uses: "io_uring" or "epoll". Makes the thread a
/// worker if it is none; throws std::system_error, with what to do, when neither backend can be had
/// or the one that COIR_BACKEND asks for is missing. Never parks.
COIR_API const char* backend();

/// How many fibers of the calling thread's worker have been spawned and not ended, the main fiber
/// not counted. Never parks.
COIR_API std::size_t fiber_count();

}  // namespace coir
