/// What differs from processor to processor: the thread pointer, and the switch between two
/// contexts that changes it too.
#pragma once

#include <csignal>
#include <cstdint>

namespace coir::threads {

/// The thread pointer of whoever runs: the address of its thread control block.
inline std::uintptr_t thread_pointer() noexcept {
  std::uintptr_t address;
#if defined(__x86_64__)
  asm("mov %%fs:0, %0" : "=r"(address));
#else
  address = 0;
#endif
  return address;
}

/// Chooses the instruction that writes the thread pointer, or the system call where the kernel does
/// not allow it (no FSGSBASE). To be called once, before the first switch. Null, or why this
/// machine cannot.
const char* prepare_switching() noexcept;

/// True when the thread pointer is written by an instruction.
bool switches_without_kernel() noexcept;

/// A pause of a loop that spins.
inline void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// The rights of the running context to memory with protection keys, pkeys(7). Only where the
/// kernel has enabled these.
inline std::uint32_t read_key_rights() noexcept {
#if defined(__x86_64__)
  std::uint32_t rights;
  std::uint32_t high;
  asm volatile("rdpkru" : "=a"(rights), "=d"(high) : "c"(0));
  return rights;
#else
  return 0;
#endif
}
inline void write_key_rights(std::uint32_t rights) noexcept {
#if defined(__x86_64__)
  asm volatile("wrpkru" : : "a"(rights), "c"(0), "d"(0) : "memory");
#else
  static_cast<void>(rights);
#endif
}

/// Saves the callee-saved registers and the floating-point modes on the stack, and the stack
/// pointer in `*from`; goes on at the stack pointer `to` with the thread pointer `pointer`. Returns
/// when somebody switches back.
extern "C" void (*coir_switch_thread)(void** from, void* to, std::uintptr_t pointer) noexcept;

/// Calls a signal handler on the stack that ends at `top`.
void call_on_stack(void* top, void (*handler)(int, siginfo_t*, void*), int signal, siginfo_t* info,
                   void* context);

/// Lays out the stack that ends at `top` so that the first switch to it calls `entry`, which must
/// not return, with the caller's floating-point modes. Returns the stack pointer to switch to.
void* prepare_stack(void* top, void (*entry)() noexcept) noexcept;

}  // namespace coir::threads
