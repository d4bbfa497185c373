/// Tokens and carriers: who runs, who sleeps, and who is brought in when there is work.
///
/// A carrier without work either polls (one of them) or sleeps on its futex. Whoever queues a
/// fiber while a token is free sets is_waking and brings one carrier: an idle one, else the
/// poller, else a new one. That carrier clears is_waking when it has taken a fiber and brings the
/// next if there is more.
#pragma once

#include "hooks/threads/scheduler.hpp"

namespace coir::threads {

/// How carriers and the monitor are made: libc's own pthread_create.
using thread_maker = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

/// Makes the running context the first fiber of the first carrier. False without memory.
bool make_first_carrier(thread_maker maker) noexcept;
/// A kernel thread of the runtime itself, with all signals blocked. 0 or an errno.
int make_kernel_thread(void* (*function)(void*), void* argument, std::size_t stack_bytes) noexcept;

/// Brings a carrier to the ready fibers when a token is free.
void bring_runner() noexcept;
/// A hub has taken a fiber: lets others be brought again.
void found_work() noexcept;

/// The carrier of the caller goes on without a token; its queue goes to all.
void give_token(carrier& c) noexcept;
/// False when all are taken.
bool get_token(carrier& c) noexcept;

/// For hubs: returns with a token. A carrier that has lost its own sleeps until somebody needs it.
void rest_while_stuck(carrier& c) noexcept;
/// For hubs: gives the token back and sleeps, in the epoll or on the futex, unless there is work.
void rest(carrier& c) noexcept;

}  // namespace coir::threads
