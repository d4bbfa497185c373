/// Threads of the program: what pthread_create and its kin do, on fibers.
#pragma once

#include "hooks/threads/carriers.hpp"
#include "hooks/threads/thread_fiber.hpp"

#include <coir/detail/clock.hpp>

#include <pthread.h>

namespace coir::threads {

/// Takes the running thread, which must be the main one and the only one of ours, as the first
/// fiber, once. False when threads stay the kernel's; says why on stderr if that is not the
/// operator's wish. `maker` is libc's pthread_create.
bool start(thread_maker maker) noexcept;

/// Registers what a fork needs. To be called once, early.
void watch_forks() noexcept;

/// The fiber behind a pthread_t; null for a native thread.
thread_fiber* find_thread(pthread_t handle) noexcept;
pthread_t handle_of(const thread_fiber& thread) noexcept;

/// pthread_create(3) on a fiber.
int create(pthread_t* handle, const pthread_attr_t* attributes, void* (*function)(void*),
           void* argument) noexcept;
/// pthread_join(3) and its kin; a deadline of 0 tries only (EBUSY). A positive errno, ECANCELED
/// when the caller is cancelled.
int join(thread_fiber& thread, void** result, coir::detail::deadline until) noexcept;
int detach(thread_fiber& thread) noexcept;
/// What is left to do when the function of the main thread calls pthread_exit.
[[noreturn]] void exit_main() noexcept;

}  // namespace coir::threads
