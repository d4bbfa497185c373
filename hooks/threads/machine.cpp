#include "hooks/threads/machine.hpp"

#include "runtime/kernel/syscall.hpp"

#include <cstddef>
#include <cstring>

#include <sys/auxv.h>

#if defined(__x86_64__)
#include <asm/prctl.h>

// One frame for both ways: six registers, the two floating-point control words. The thread pointer
// changes while no stack is in use that a signal handler would mind: it may run at any instruction
// here, on either stack with either thread pointer (signals.cpp defers those).
asm(R"(
.macro coir_leave_context
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  sub $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  mov %rsp, (%rdi)
  mov %rsi, %rsp
.endm
.macro coir_enter_context
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  add $8, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.endm

.text
.p2align 4
.globl coir_switch_by_instruction
.hidden coir_switch_by_instruction
.type coir_switch_by_instruction,@function
coir_switch_by_instruction:
  coir_leave_context
  wrfsbase %rdx
  coir_enter_context
.size coir_switch_by_instruction, .-coir_switch_by_instruction

.p2align 4
.globl coir_switch_by_kernel
.hidden coir_switch_by_kernel
.type coir_switch_by_kernel,@function
coir_switch_by_kernel:
  coir_leave_context
  mov $158, %eax      /* arch_prctl */
  mov $0x1002, %edi   /* ARCH_SET_FS */
  mov %rdx, %rsi
  syscall
  coir_enter_context
.size coir_switch_by_kernel, .-coir_switch_by_kernel
)");

asm(R"(
.text
.p2align 4
.globl coir_call_on_stack
.hidden coir_call_on_stack
.type coir_call_on_stack,@function
coir_call_on_stack:
  .cfi_startproc
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  mov %rsp, %rbp
  .cfi_def_cfa_register %rbp
  and $-64, %rdi
  mov %rdi, %rsp
  mov %rsi, %rax
  mov %edx, %edi
  mov %rcx, %rsi
  mov %r8, %rdx
  call *%rax
  mov %rbp, %rsp
  pop %rbp
  .cfi_def_cfa %rsp, 8
  ret
  .cfi_endproc
.size coir_call_on_stack, .-coir_call_on_stack
)");

extern "C" {
void coir_call_on_stack(void* top, void (*handler)(int, siginfo_t*, void*), int signal,
                        siginfo_t* info, void* context);
void coir_switch_by_instruction(void** from, void* to, std::uintptr_t pointer) noexcept;
void coir_switch_by_kernel(void** from, void* to, std::uintptr_t pointer) noexcept;
}
#endif

namespace coir::threads {

void (*coir_switch_thread)(void**, void*, std::uintptr_t) noexcept = nullptr;

#if defined(__x86_64__)

const char* prepare_switching() noexcept {
  constexpr unsigned long fsgsbase_is_allowed = 1UL << 1;  // HWCAP2_FSGSBASE
  const bool by_instruction = ::getauxval(AT_HWCAP2) & fsgsbase_is_allowed;
  coir_switch_thread = by_instruction ? &coir_switch_by_instruction : &coir_switch_by_kernel;
  return nullptr;
}

bool switches_without_kernel() noexcept {
  return coir_switch_thread == &coir_switch_by_instruction;
}

void call_on_stack(void* top, void (*handler)(int, siginfo_t*, void*), int signal, siginfo_t* info,
                   void* context) {
  coir_call_on_stack(top, handler, signal, info, context);
}

namespace {

/// What the switches pop, from the stack pointer upwards.
struct frame {
  std::uint32_t mxcsr;
  std::uint32_t x87_control;
  std::uintptr_t registers[6];
  void (*entry)() noexcept;
  std::uintptr_t caller;  ///< zero: the end of the stack for debuggers and unwinders
};

}  // namespace

void* prepare_stack(void* top, void (*entry)() noexcept) noexcept {
  const auto end = reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{63};
  frame f{};
  std::uint16_t control;
  asm("stmxcsr %0" : "=m"(f.mxcsr));
  asm("fnstcw %0" : "=m"(control));
  f.x87_control = control;
  f.entry = entry;
  // At the entry the stack is as after a call: 8 bytes off a multiple of 16.
  static_assert(offsetof(frame, caller) % 16 == 0);
  void* const place = reinterpret_cast<void*>(end - 16 - sizeof f);
  std::memcpy(place, &f, sizeof f);
  return place;
}

#else

const char* prepare_switching() noexcept { return "threads become fibers on x86-64 only"; }
bool switches_without_kernel() noexcept { return false; }
void call_on_stack(void*, void (*handler)(int, siginfo_t*, void*), int signal, siginfo_t* info,
                   void* context) {
  handler(signal, info, context);
}
void* prepare_stack(void*, void (*)() noexcept) noexcept { return nullptr; }

#endif

}  // namespace coir::threads
