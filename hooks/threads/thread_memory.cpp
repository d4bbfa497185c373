#include "hooks/threads/thread_memory.hpp"

#include "hooks/threads/lock.hpp"
#include "hooks/threads/machine.hpp"
#include "hooks/threads/wiped.hpp"
#include "runtime/fiber/guard_page.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include <resolv.h>
#include <sys/mman.h>

namespace coir::threads {
namespace {

using coir::detail::page_bytes;

constexpr std::size_t cache_line = 64;
constexpr std::size_t stack_bytes_min = 16 * 1024;
constexpr std::size_t stack_bytes_max = std::size_t{1} << 40;
// The kernel's own numbers end below this one, so that a stray tgkill finds nobody.
constexpr pid_t first_tid = 4194304 + 1;
constexpr pid_t last_tid = 0x3fffffff;        // what fits into a futex word
constexpr int restartable_unregistered = -2;  // RSEQ_CPU_ID_REGISTRATION_FAILED
constexpr std::size_t libc_locals_max = 4096;
// How many different sizes of stacks are kept for reuse; a program uses one or two.
constexpr int size_classes = 16;

struct idle_threads {
  lock guard;
  std::size_t bytes;  ///< of the mapping; 0: unused
  thread_fiber* first;
  int count;
};

struct memory_state {
  idle_threads idle[size_classes];
};

constinit libc_layout known{};
constinit wiped<memory_state> memory_of_threads{};
constinit std::atomic<pid_t> next_tid{first_tid};

std::size_t round_up(std::size_t n, std::size_t unit) noexcept {
  return (n + unit - 1) / unit * unit;
}

std::uintptr_t word_at(std::uintptr_t address) noexcept {
  return *reinterpret_cast<std::uintptr_t*>(address);
}
void set_word(std::uintptr_t address, std::uintptr_t value) noexcept {
  *reinterpret_cast<std::uintptr_t*>(address) = value;
}

std::size_t control_bytes() noexcept { return round_up(known.block_bytes, cache_line); }
std::size_t locals_bytes() noexcept {
  const std::size_t alignment = std::max(known.static_tls_alignment, cache_line);
  return round_up(known.static_tls_bytes - known.block_bytes, alignment);
}
/// What lies above the stack.
std::size_t head_bytes() noexcept {
  return locals_bytes() + control_bytes() + round_up(sizeof(thread_fiber), cache_line) +
         round_up(sizeof(struct __res_state), cache_line);
}

pid_t new_tid() noexcept {
  pid_t tid = next_tid.fetch_add(1, std::memory_order_relaxed);
  if (tid >= last_tid) next_tid.store(first_tid, std::memory_order_relaxed);
  return tid;
}

// --- libc's list of threads, which dlopen, dlclose, setuid and debuggers walk --------------------

class lists_guard {
 public:
  lists_guard() noexcept : word_(*reinterpret_cast<std::atomic<int>*>(known.lists_lock)) {
    enter_runtime();
    int expected = 0;
    if (word_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) return;
    while (word_.exchange(2, std::memory_order_acquire) != 0) kernel::futex_wait(&word_, 2);
  }
  ~lists_guard() {
    if (word_.exchange(0, std::memory_order_release) == 2) kernel::futex_wake(&word_, 1);
    leave_runtime();
  }
  lists_guard(const lists_guard&) = delete;
  lists_guard& operator=(const lists_guard&) = delete;

 private:
  std::atomic<int>& word_;
};

libc_list& list_entry(std::uintptr_t pointer) noexcept {
  return *reinterpret_cast<libc_list*>(pointer + known.list);
}

void link(libc_list& entry) noexcept {
  libc_list& head = *known.threads_with_own_stacks;
  entry.next = head.next;
  entry.prev = &head;
  head.next->prev = &entry;
  head.next = &entry;
}

void unlink(libc_list& entry) noexcept {
  entry.next->prev = entry.prev;
  entry.prev->next = entry.next;
}

// --- memory --------------------------------------------------------------------------------------

idle_threads* class_of(std::size_t bytes) noexcept {
  for (idle_threads& c : memory_of_threads->idle) {
    const guard hold(c.guard);
    if (c.bytes == 0) c.bytes = bytes;
    if (c.bytes == bytes) return &c;
  }
  return nullptr;
}

thread_fiber* take_idle(std::size_t bytes) noexcept {
  idle_threads* const c = class_of(bytes);
  if (!c) return nullptr;
  const guard hold(c->guard);
  thread_fiber* const found = c->first;
  if (!found) return nullptr;
  c->first = found->next;
  --c->count;
  return found;
}

thread_memory map_memory(std::size_t bytes, std::size_t guard_bytes) noexcept {
  void* const start = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (start == MAP_FAILED) return {};
  thread_memory memory;
  memory.start = static_cast<std::byte*>(start);
  memory.bytes = bytes;
  memory.guard_bytes = guard_bytes;
  if (guard_bytes > 0) coir::detail::install_guard(memory.start);
  return memory;
}

/// The thread pointer of the control block in `memory`.
std::uintptr_t pointer_in(const thread_memory& memory) noexcept {
  const auto end = reinterpret_cast<std::uintptr_t>(memory.start) + memory.bytes;
  return end - head_bytes() + locals_bytes();
}

/// Fills a zeroed control block with what glibc's own start of a thread would.
void fill_control_block(std::uintptr_t pointer, pid_t tid) noexcept {
  const std::uintptr_t creator = threads::thread_pointer();
  set_word(pointer, pointer);
  set_word(pointer + 16, pointer);
  *reinterpret_cast<int*>(pointer + 24) = 1;      // the process has several threads
  set_word(pointer + 40, word_at(creator + 40));  // stack protector
  set_word(pointer + 48, word_at(creator + 48));  // pointer guard
  *reinterpret_cast<pid_t*>(pointer + known.tid) = tid;
  const std::uintptr_t robust = pointer + known.robust_list;
  set_word(robust, robust);
  set_word(robust + 8, word_at(creator + known.robust_list + 8));
  set_word(robust - 8, robust);
  if (known.restartable > 0)
    *reinterpret_cast<int*>(pointer + static_cast<std::uintptr_t>(known.restartable) + 4) =
        restartable_unregistered;
}

std::byte* libc_locals_of(std::uintptr_t pointer) noexcept {
  return reinterpret_cast<std::byte*>(pointer) + known.libc_locals;
}

/// Makes control block and thread-locals anew. libc's own are kept when the block was in use.
bool initialise_locals(std::uintptr_t pointer, bool is_reused, pid_t tid) noexcept {
  std::byte kept[libc_locals_max];
  if (is_reused) {
    std::memcpy(kept, libc_locals_of(pointer), known.libc_locals_bytes);
    known.deallocate_tls(reinterpret_cast<void*>(pointer), false);
  }
  std::memset(reinterpret_cast<void*>(pointer - locals_bytes()), 0,
              locals_bytes() + known.block_bytes);
  fill_control_block(pointer, tid);
  if (!known.allocate_tls(reinterpret_cast<void*>(pointer))) return false;
  if (is_reused) std::memcpy(libc_locals_of(pointer), kept, known.libc_locals_bytes);
  set_word(pointer + known.key_block_table, pointer + known.first_key_block);
  return true;
}

void* resolver_of(std::uintptr_t pointer) noexcept {
  return reinterpret_cast<void*>(pointer + control_bytes() +
                                 round_up(sizeof(thread_fiber), cache_line));
}

thread_fiber* build(thread_memory memory, const thread_request& request, bool is_reused) noexcept {
  const std::uintptr_t pointer = pointer_in(memory);
  const pid_t tid = new_tid();
  if (!initialise_locals(pointer, is_reused, tid)) return nullptr;
  thread_fiber& thread = *new (&fiber_at(pointer)) thread_fiber;
  std::byte* top = reinterpret_cast<std::byte*>(pointer - locals_bytes());
  memory.stack = memory.start + memory.guard_bytes;
  memory.stack_bytes = static_cast<std::size_t>(top - memory.stack);
  if (request.own_stack) {
    memory.stack = static_cast<std::byte*>(request.own_stack);
    memory.stack_bytes = request.stack_bytes;
    top = memory.stack + memory.stack_bytes;
  }
  thread.memory = memory;
  thread.thread_pointer = pointer;
  thread.tid = tid;
  thread.resolver = resolver_of(pointer);
  thread.state.store(park_state::parked, std::memory_order_relaxed);
  thread.stack_pointer = prepare_stack(top, request.entry);
  set_self_of(pointer, thread);
  // libc finds the resolver's state by this pointer; the state itself outlives the thread.
  set_word(pointer + static_cast<std::uintptr_t>(known.resolver_state),
           reinterpret_cast<std::uintptr_t>(thread.resolver));
  const lists_guard hold;
  link(list_entry(pointer));
  return &thread;
}

}  // namespace

void use_layout(const libc_layout& layout) noexcept { known = layout; }
const libc_layout& layout() noexcept { return known; }

thread_fiber* make_thread(const thread_request& request) noexcept {
  if (known.libc_locals_bytes > libc_locals_max) return nullptr;
  const std::size_t own = request.own_stack ? 0 : std::max(request.stack_bytes, stack_bytes_min);
  if (own > stack_bytes_max) return nullptr;
  const std::size_t guarded = request.guard_bytes > 0 ? coir::detail::guard_bytes : 0;
  const std::size_t bytes = round_up(own + head_bytes() + guarded, page_bytes);
  if (bytes < own) return nullptr;
  if (thread_fiber* const old = take_idle(bytes)) {
    thread_fiber* const made = build(old->memory, request, true);
    if (!made) ::munmap(old->memory.start, old->memory.bytes);
    return made;
  }
  const thread_memory memory = map_memory(bytes, guarded);
  if (!memory.start) return nullptr;
  thread_fiber* const made = build(memory, request, false);
  if (!made) ::munmap(memory.start, memory.bytes);
  return made;
}

void recycle(thread_fiber& thread) noexcept {
  {
    const lists_guard hold;
    unlink(list_entry(thread.thread_pointer));
  }
  // Also of a thread that ran on a stack of the program's: its own mapping is a small one.
  thread.memory.stack = thread.memory.start + thread.memory.guard_bytes;
  idle_threads* const c = class_of(thread.memory.bytes);
  if (!c) {
    known.deallocate_tls(reinterpret_cast<void*>(thread.thread_pointer), false);
    ::munmap(thread.memory.start, thread.memory.bytes);
    return;
  }
  bool is_cold;
  {
    const guard hold(c->guard);
    is_cold = c->count >= warm_threads_max;
  }
  if (is_cold) {
    const auto top = thread.thread_pointer - locals_bytes();
    const auto bottom = reinterpret_cast<std::uintptr_t>(thread.memory.stack);
    const std::uintptr_t whole = top / page_bytes * page_bytes;
    if (whole > bottom) kernel::madvise(thread.memory.stack, whole - bottom, MADV_DONTNEED);
  }
  const guard hold(c->guard);
  thread.next = c->first;
  c->first = &thread;
  ++c->count;
}

bool start_memory() noexcept { return memory_of_threads.wipe_on_fork(); }

void set_self_of(std::uintptr_t pointer, thread_fiber& self) noexcept {
  const auto offset = reinterpret_cast<std::uintptr_t>(&here) - threads::thread_pointer();
  new (reinterpret_cast<void*>(pointer + offset)) per_thread{&self};
}

thread_fiber& fiber_at(std::uintptr_t thread_pointer) noexcept {
  return *reinterpret_cast<thread_fiber*>(thread_pointer + control_bytes());
}

bool is_ours(std::uintptr_t thread_pointer) noexcept {
  return *reinterpret_cast<pid_t*>(thread_pointer + known.tid) >= first_tid;
}

void adopt_main(thread_fiber& main) noexcept {
  const std::uintptr_t pointer = threads::thread_pointer();
  main.thread_pointer = pointer;
  main.tid = *reinterpret_cast<pid_t*>(pointer + known.tid);
  main.state.store(park_state::running, std::memory_order_relaxed);
  here.self = &main;
  if (known.restartable_bytes == 0) return;
  // The kernel writes the processor's number into the area of the thread that it knows; the main
  // thread will run on others too, and ask the kernel instead.
  constexpr unsigned signature = 0x53053053;
  const auto area = pointer + static_cast<std::uintptr_t>(known.restartable);
  constexpr int area_bytes = 32;
  constexpr int unregister = 1;
  kernel::call(SYS_rseq, area, area_bytes, unregister, signature);
  *reinterpret_cast<int*>(area + 4) = restartable_unregistered;
}

void relist_after_fork() noexcept {
  libc_list& own = list_entry(threads::thread_pointer());
  unlink(own);
  link(own);
}

}  // namespace coir::threads
