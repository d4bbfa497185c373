/// Waiting for the asynchronous files of the kernel, as the program's own libaio does it.
#pragma once

#include <ctime>

#include <linux/aio_abi.h>

namespace coir::hooks {

/// io_getevents(2): the number of events, or -errno. On a fiber it waits in a region; a signal that
/// is sent to the fiber interrupts it, and io_destroy ends it. No cancellation point.
long wait_io_getevents(aio_context_t context, long least, long most, io_event* events,
                       timespec* timeout) noexcept;

}  // namespace coir::hooks
