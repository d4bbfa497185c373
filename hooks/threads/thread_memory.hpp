/// Thread control blocks with their stacks: made, prepared for a new thread, and reused.
///
///     guard | stack ... | thread-locals of the libraries | control block of glibc | thread_fiber
///
/// A reused block keeps libc's own thread-locals, malloc's cache among them: libc has no way to
/// free them for a thread that is not the kernel's. All other thread-locals are as new.
#pragma once

#include "hooks/threads/libc_layout.hpp"
#include "hooks/threads/thread_fiber.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace coir::threads {

/// What make_thread is asked for.
struct thread_request {
  std::size_t stack_bytes = 0;
  std::size_t guard_bytes = 0;
  void* own_stack = nullptr;  ///< lowest byte of a stack that the program gave, or null
  void (*entry)() noexcept = nullptr;
};

/// Remembers what the layout is. Before anything else here.
void use_layout(const libc_layout& layout) noexcept;
const libc_layout& layout() noexcept;
/// libc's word about the cancellation of any thread of the process.
inline std::atomic<int>& cancel_word(std::uintptr_t thread_pointer) noexcept {
  return *reinterpret_cast<std::atomic<int>*>(thread_pointer + layout().cancel_state);
}

/// A thread ready to be switched to. Null when there is no memory. Any fiber, not a hub: it
/// allocates.
thread_fiber* make_thread(const thread_request& request) noexcept;

/// Takes back a thread that has ended and left its stack. Any kernel thread.
void recycle(thread_fiber& thread) noexcept;

/// The control block that belongs to a thread pointer of ours, which is a pthread_t.
thread_fiber& fiber_at(std::uintptr_t thread_pointer) noexcept;

/// True when a pthread_t is a thread of ours: its number is none that the kernel gives.
bool is_ours(std::uintptr_t thread_pointer) noexcept;

/// Makes the current context, the only one of its process, the thread `main`. Its thread control
/// block stays the kernel's.
void adopt_main(thread_fiber& main) noexcept;

/// For the start: true when the memory can be wiped on fork.
bool start_memory() noexcept;
/// Makes `self` the one that runs when the context with this thread pointer does.
void set_self_of(std::uintptr_t thread_pointer, thread_fiber& self) noexcept;

/// Puts the thread control block of a process that has just forked, which may be one of ours, back
/// into libc's list of stacks that are not libc's.
void relist_after_fork() noexcept;

/// Frees the memory of idle threads when there are many.
inline constexpr int warm_threads_max = 128;

}  // namespace coir::threads
