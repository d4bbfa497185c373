#include "hooks/threads/thread.hpp"

#include "hooks/threads/call_sites.hpp"
#include "hooks/threads/counters.hpp"
#include "hooks/threads/hub.hpp"
#include "hooks/threads/machine.hpp"
#include "hooks/threads/monitor.hpp"
#include "hooks/threads/parking_lot.hpp"
#include "hooks/threads/poller.hpp"
#include "hooks/threads/runtime_descriptors.hpp"
#include "hooks/threads/scheduler.hpp"
#include "hooks/threads/settings.hpp"
#include "hooks/threads/signals.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "hooks/threads/timers.hpp"
#include "hooks/threads/tokens.hpp"
#include "runtime/kernel/report.hpp"

#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include <locale.h>
#include <malloc.h>
#include <setjmp.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" void __pthread_register_cancel(__pthread_unwind_buf_t*);

namespace coir::threads {
namespace {

constinit bool has_tried = false;  // in this process; a child of a fork tries again

// --- the end of a thread -------------------------------------------------------------------------

/// Runs the destructors of thread-specific values as libc does: up to four rounds.
void run_key_destructors(std::uintptr_t pointer) noexcept(false) {
  const libc_layout& known = layout();
  auto* const blocks = reinterpret_cast<libc_key_value**>(pointer + known.key_block_table);
  bool is_done = false;
  for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS && !is_done; ++round) {
    is_done = true;
    for (std::size_t b = 0; b < key_blocks; ++b) {
      for (std::size_t i = 0; blocks[b] && i < keys_per_block; ++i) {
        libc_key_value& slot = blocks[b][i];
        void* const value = slot.value;
        if (!value) continue;
        const libc_key& key = known.keys[b * keys_per_block + i];
        slot.value = nullptr;
        if (slot.sequence != key.sequence || !key.destructor) continue;
        is_done = false;
        key.destructor(value);
      }
    }
  }
  for (std::size_t b = 1; b < key_blocks; ++b) {
    std::free(blocks[b]);
    blocks[b] = nullptr;
  }
}

/// What the kernel does at the end of a thread that holds robust locks: marks and wakes.
void release_robust_locks(const thread_fiber& thread) noexcept {
  struct robust_head {
    void* next;
    long futex_offset;
  };
  const auto* const head =
      reinterpret_cast<robust_head*>(thread.thread_pointer + layout().robust_list);
  constexpr int entries_max = 2048;
  auto* entry = static_cast<void**>(head->next);
  for (int i = 0; i < entries_max && entry && static_cast<void*>(entry) != head; ++i) {
    constexpr std::uintptr_t priority_inheritance = 1;
    entry =
        reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(entry) & ~priority_inheritance);
    void* const place = reinterpret_cast<char*>(entry) + head->futex_offset;
    auto* const word = static_cast<std::atomic<std::uint32_t>*>(place);
    auto* const next = static_cast<void**>(*entry);
    std::uint32_t value = word->load(std::memory_order_relaxed);
    if ((value & FUTEX_TID_MASK) == static_cast<std::uint32_t>(thread.tid)) {
      const std::uint32_t died = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
      if (word->compare_exchange_strong(value, died)) kernel::call(SYS_futex, word, FUTEX_WAKE, 1);
    }
    entry = next;
  }
}

void forget_thread(thread_fiber& thread) noexcept {
  {
    const guard hold(sched->threads_lock);
    if (thread.newer) {
      thread.newer->older = thread.older;
    } else {
      sched->newest = thread.older;
    }
    if (thread.older) thread.older->newer = thread.newer;
  }
  count_mask(thread.blocked, -1);
}

void after_end(thread_fiber& thread) noexcept {
  if (thread.ending.fetch_or(has_finished, std::memory_order_seq_cst) & is_detached) {
    recycle(thread);
  } else {
    wake_at(&thread.ending, everybody);
  }
}

[[noreturn]] void end(thread_fiber& self) noexcept(false) {
  layout().run_thread_local_destructors();
  run_key_destructors(self.thread_pointer);
  release_robust_locks(self);
  // What stays with the block for its next thread is as in a new one.
  ::uselocale(LC_GLOBAL_LOCALE);
  errno = 0;
  forget_thread(self);
  const bool is_last = sched->live_threads.fetch_sub(1, std::memory_order_seq_cst) == 2;
  if (is_last && sched->main_has_exited.load(std::memory_order_seq_cst)) std::exit(0);
  leave_for_good(&after_end);
}

/// The only thread of a process ends: as libc does then.
[[noreturn]] void end_process() noexcept(false) {
  layout().run_thread_local_destructors();
  run_key_destructors(threads::thread_pointer());
  std::exit(0);
}

// --- the start of a thread -----------------------------------------------------------------------

/// Calls the thread's function inside what libc unwinds to at pthread_exit and pthread_cancel.
void call_function(thread_fiber& self) noexcept(false) {
  __pthread_unwind_buf_t buffer{};
  if (__sigsetjmp(reinterpret_cast<__jmp_buf_tag*>(buffer.__cancel_jmp_buf), 0) == 0) {
    __pthread_register_cancel(&buffer);
    self.result = self.function(self.argument);
  } else if (!self.has_called_exit) {
    self.result = PTHREAD_CANCELED;
    if (sched->is_on.load(std::memory_order_relaxed)) unblock_after_unwinding(*self.on);
  }
}

void begin() noexcept {
  thread_fiber& self = *here.self;
  if (sched->has_memory_keys.load(std::memory_order_relaxed)) write_key_rights(self.key_rights);
  finish_switch();
  layout().initialise_ctype();
  run_pending_handlers(self);
  call_function(self);
  // In the child of a fork this is the main thread, or the only one.
  if (!sched->is_on.load(std::memory_order_seq_cst)) end_process();
  if (here.self == &main_thread) exit_main();
  end(self);
}

void remember_thread(thread_fiber& thread) noexcept {
  count_mask(thread.blocked, 1);
  sched->live_threads.fetch_add(1, std::memory_order_seq_cst);
  const guard hold(sched->threads_lock);
  thread.newer = nullptr;
  thread.older = sched->newest;
  if (sched->newest) sched->newest->newer = &thread;
  sched->newest = &thread;
}

struct wanted_thread {
  thread_request request;
  bool is_detached = false;
  bool has_mask = false;
  signal_set mask = 0;
};

wanted_thread read_attributes(const pthread_attr_t* attributes) noexcept {
  pthread_attr_t defaults;
  if (!attributes) ::pthread_getattr_default_np(&defaults);
  const pthread_attr_t* const from = attributes ? attributes : &defaults;
  wanted_thread wanted;
  int detach_state = PTHREAD_CREATE_JOINABLE;
  ::pthread_attr_getdetachstate(from, &detach_state);
  wanted.is_detached = detach_state == PTHREAD_CREATE_DETACHED;
  ::pthread_attr_getguardsize(from, &wanted.request.guard_bytes);
  void* stack = nullptr;
  std::size_t bytes = 0;
  ::pthread_attr_getstack(from, &stack, &bytes);
  // Without a stack of its own the address is the size below zero.
  const bool has_own = stack && reinterpret_cast<std::uintptr_t>(stack) + bytes != 0;
  ::pthread_attr_getstacksize(from, &bytes);
  wanted.request.own_stack = has_own ? stack : nullptr;
  const bool asks_for_none = !attributes && settings().stack_bytes > 0;
  wanted.request.stack_bytes = asks_for_none ? settings().stack_bytes : bytes;
  sigset_t set;
  if (::pthread_attr_getsigmask_np(from, &set) == 0) {
    wanted.has_mask = true;
    std::memcpy(&wanted.mask, &set, sizeof wanted.mask);
  }
  if (!attributes) ::pthread_attr_destroy(&defaults);
  wanted.request.entry = &begin;
  return wanted;
}

// --- the start of the runtime --------------------------------------------------------------------

bool wipe_everything() noexcept {
  return sched.wipe_on_fork() && start_timers() && start_parking_lot() && start_counting() &&
         start_memory() && start_call_sites();
}

const char* try_start(thread_maker maker) noexcept {
  libc_layout found;
  if (const char* why = discover(found)) return why;
  if (const char* why = prepare_switching()) return why;
  use_layout(found);
  if (!wipe_everything()) return "this kernel cannot wipe memory on fork (Linux 4.14)";
  if (start_poller() < 0) return "no descriptor is left for an epoll";
  const thread_memory former = here.self ? here.self->memory : thread_memory{};
  new (&main_thread) thread_fiber;
  main_thread.memory = former;
  adopt_main(main_thread);
  sched->tokens = settings().tokens;
  sched->kernel_threads_max = settings().kernel_threads_max;
  sched->live_threads.store(1);
  if (!start_signals()) return "the program's signal handlers cannot be taken over";
  // One allocator arena for each that can run, not one for each thread.
  ::mallopt(M_ARENA_MAX, 2 * sched->tokens);
  carrier* const first = make_first_carrier(maker, &run_hub);
  if (!first) return "there is no memory";
  get_token(*first);
  prepare_signal_stack();
  sched->is_on.store(true, std::memory_order_seq_cst);
  // A kernel thread made by libc, so that libc no longer takes the process for one with one thread.
  if (start_monitor() != 0) {
    sched->is_on.store(false, std::memory_order_seq_cst);
    return "the system gives no kernel thread";
  }
  return nullptr;
}

void in_child() noexcept {
  has_tried = false;
  close_inherited_descriptors();
  if (here.self) relist_after_fork();
}

}  // namespace

void watch_forks() noexcept { ::pthread_atfork(nullptr, nullptr, &in_child); }

bool start(thread_maker maker) noexcept {
  if (sched->is_on.load(std::memory_order_relaxed)) return true;
  if (has_tried || !settings().makes_fibers) return false;
  if (kernel::call(SYS_gettid) != kernel::call(SYS_getpid)) return false;
  has_tried = true;
  const char* const why = try_start(maker);
  if (!why) return true;
  here.self = nullptr;
  close_inherited_descriptors();
  kernel::report("threads stay kernel threads: %s", why);
  return false;
}

thread_fiber* find_thread(pthread_t handle) noexcept {
  if (!sched->is_on.load(std::memory_order_relaxed)) return nullptr;
  if (handle == main_thread.thread_pointer) return &main_thread;
  return is_ours(handle) ? &fiber_at(handle) : nullptr;
}

pthread_t handle_of(const thread_fiber& thread) noexcept { return thread.thread_pointer; }

int create(pthread_t* handle, const pthread_attr_t* attributes, void* (*function)(void*),
           void* argument) noexcept {
  const thread_fiber& self = *here.self;
  const wanted_thread wanted = read_attributes(attributes);
  thread_fiber* const thread = make_thread(wanted.request);
  if (!thread) return EAGAIN;
  thread->function = function;
  thread->argument = argument;
  thread->blocked = wanted.has_mask ? wanted.mask : self.blocked;
  std::memcpy(thread->name, self.name, sizeof thread->name);
  if (sched->has_memory_keys.load(std::memory_order_relaxed))
    thread->key_rights = read_key_rights();
  thread->processors = self.processors;
  thread->guard_size = wanted.request.guard_bytes;
  thread->ending.store(wanted.is_detached ? is_detached : 0, std::memory_order_relaxed);
  remember_thread(*thread);
  count(counter::threads);
  *handle = handle_of(*thread);
  wake(*thread);
  return 0;
}

int join(thread_fiber& thread, void** result, deadline until) noexcept {
  thread_fiber* const self = current();
  if (&thread == self) return EDEADLK;
  if (self && thread.joins.load(std::memory_order_relaxed) == self) return EDEADLK;
  const int before = thread.ending.load(std::memory_order_seq_cst);
  if (until == 0 && !(before & has_finished)) return EBUSY;
  if (before & is_detached) return EINVAL;
  if (thread.ending.fetch_or(is_joined, std::memory_order_seq_cst) & is_joined) return EINVAL;
  if (self) self->joins.store(&thread, std::memory_order_relaxed);
  lot_result how = lot_result::woken;
  auto must_wait = [&]() noexcept {
    return !(thread.ending.load(std::memory_order_seq_cst) & has_finished);
  };
  while (must_wait() && how != lot_result::timed_out && how != lot_result::cancelled)
    how = wait_at(&thread.ending, {until, ~0U, true}, must_wait);
  if (self) self->joins.store(nullptr, std::memory_order_relaxed);
  if (must_wait()) {
    thread.ending.fetch_and(~is_joined, std::memory_order_seq_cst);
    return how == lot_result::cancelled ? ECANCELED : ETIMEDOUT;
  }
  if (result) *result = thread.result;
  if (&thread != &main_thread) recycle(thread);
  return 0;
}

int detach(thread_fiber& thread) noexcept {
  const int before = thread.ending.fetch_or(is_detached, std::memory_order_seq_cst);
  if (before & (is_detached | is_joined)) return EINVAL;
  if ((before & has_finished) && &thread != &main_thread) recycle(thread);
  return 0;
}

void exit_main() noexcept {
  thread_fiber& self = main_thread;
  layout().run_thread_local_destructors();
  run_key_destructors(self.thread_pointer);
  self.ending.fetch_or(has_finished, std::memory_order_seq_cst);
  wake_at(&self.ending, everybody);
  sched->main_has_exited.store(true, std::memory_order_seq_cst);
  if (sched->live_threads.load(std::memory_order_seq_cst) == 1) std::exit(0);
  for (;;) {
    prepare_to_park(self, false);
    park(self, coir::detail::never);
  }
}

}  // namespace coir::threads
