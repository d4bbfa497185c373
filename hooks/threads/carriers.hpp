/// How carriers are made.
#pragma once

#include "hooks/threads/carrier.hpp"

#include <cstddef>

#include <pthread.h>

namespace coir::threads {

/// How carriers and the monitor are made: libc's own pthread_create.
using thread_maker = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

/// Makes a carrier of the running kernel thread, whose context becomes the first fiber. The
/// contexts of this carrier and of those to come begin in `hub`, which does not return. Null
/// without memory.
carrier* make_first_carrier(thread_maker maker, void (*hub)() noexcept) noexcept;

/// Makes one more carrier, which holds the token that the caller has taken for it.
bool make_carrier() noexcept;

/// A kernel thread of the runtime itself, with all signals blocked. 0 or an errno.
int make_kernel_thread(void* (*function)(void*), void* argument, std::size_t stack_bytes) noexcept;

/// Gives the calling carrier an alternate stack, on which handlers of stack overflows can run.
void prepare_signal_stack() noexcept;

}  // namespace coir::threads
