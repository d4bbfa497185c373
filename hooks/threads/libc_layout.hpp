/// What glibc keeps for a thread, and where: enough to make thread control blocks of our own.
///
/// Nothing of it is written down here as a number. The offsets come from the descriptors that libc
/// exports for debuggers (libthread_db), from system calls, and from looking at the main thread.
/// discover() checks each against what must hold in a process that has not made a thread of ours
/// yet, and refuses where something does not: then threads stay what they are. Checked with glibc
/// 2.36.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coir::threads {

/// The first members of glibc's list_t: the links of its lists of threads.
struct libc_list {
  libc_list* next;
  libc_list* prev;
};

/// One entry of libc's table of thread-specific keys; used while `sequence` is odd.
struct libc_key {
  std::uintptr_t sequence;
  void (*destructor)(void*);
};

/// A value of a thread-specific key, in a thread's blocks of `keys_per_block` of them.
struct libc_key_value {
  std::uintptr_t sequence;
  void* value;
};

/// Bits of the word at `cancel_state`.
inline constexpr int cancel_is_disabled = 1 << 0;
inline constexpr int cancel_is_under_way = 1 << 2;  ///< alone: the signal of libc is to come
inline constexpr int cancel_was_asked = 1 << 3;
inline constexpr int cancel_is_exiting = 1 << 4;

inline constexpr std::size_t keys_per_block = 32;
inline constexpr std::size_t key_blocks = 32;

struct libc_layout {
  // Sizes of a thread control block, and of it with the thread-locals of the libraries before it.
  std::size_t block_bytes = 0;
  std::size_t static_tls_bytes = 0;
  std::size_t static_tls_alignment = 0;

  // Offsets from the thread pointer.
  std::size_t tid = 0;
  std::size_t list = 0;
  std::size_t key_block_table = 0;  ///< of pointers to blocks of libc_key_value
  std::size_t first_key_block = 0;  ///< the one that lies in the control block itself
  std::size_t cancel_state = 0;
  std::size_t robust_list = 0;
  std::ptrdiff_t resolver_state = 0;  ///< a pointer to the state of the resolver
  std::ptrdiff_t restartable = 0;     ///< the area of rseq(2); its second word is the processor
  std::size_t restartable_bytes = 0;  ///< 0: libc has not registered it
  std::ptrdiff_t libc_locals = 0;     ///< libc's own thread-locals: errno, locale, malloc's cache
  std::size_t libc_locals_bytes = 0;

  // libc's lists of threads whose stacks it made and did not make, and the lock of both.
  libc_list* threads_with_libc_stacks = nullptr;
  libc_list* threads_with_own_stacks = nullptr;
  int* lists_lock = nullptr;
  libc_key* keys = nullptr;

  void* (*allocate_tls)(void*) = nullptr;
  void (*deallocate_tls)(void*, bool) = nullptr;
  void (*initialise_ctype)() = nullptr;
  void (*run_thread_local_destructors)() = nullptr;
};

/// Finds everything, for the calling thread as the main one. Null, or why threads cannot become
/// fibers with this libc; `found` is then of no use.
const char* discover(libc_layout& found) noexcept;

}  // namespace coir::threads
