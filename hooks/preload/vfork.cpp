// vfork on a fiber.
//
// The child runs on the stack and in the memory of its parent, with its thread pointer, until it
// has a program of its own or has ended; the kernel holds the parent's kernel thread so long. To
// the code in that memory the child is the fiber that called vfork, while the fibers of the parent
// go on running on other carriers. So the child must touch nothing of the runtime: its descriptor
// table, its handlers and its mask are not those that the records in memory describe.
//
// Invariants
//   1  handler_depth is raised before the system call and lowered by the parent after it. So
//      parking_fiber() is null in the child, as in a signal handler: hooks make plain calls. What
//      hooks record for handlers too is left alone where is_vfork_child() says so.
//   2  The token is given away before and taken again after the call: it is a region. The child
//      holds none, so that it cannot be asked to give one up.
//   3  Nothing on the stack below the caller's frame survives the child. The return address and
//      what is needed afterwards are kept in registers that the system call preserves, and the
//      parent calls C code only when the child is done with the stack.
//   4  The mask in the records is put back: a handler that ran in the child may have changed it,
//      and may have ended the child, but the mask of the parent's kernel thread is what it was. So
//      is the number of handlers that the fiber is inside: the high half of handler_depth keeps it.
//
// Inside a signal handler the token stays: its stack must not be left. Off a fiber, before the
// program has made a thread, and in the child of a vfork this is what libc's vfork does.
//
// A handler that runs in the parent between its return from the kernel and the lowering takes
// itself for the child; it makes plain calls, as every handler does.
#include "hooks/finish.hpp"
#include "hooks/preload/preload.hpp"
#include "hooks/threads/signals.hpp"
#include "hooks/threads/vfork_child.hpp"

#include <cerrno>

#include <unistd.h>

using namespace coir;
using namespace coir::hooks;

#if defined(__x86_64__)

namespace {

/// What lies in two registers over the system call.
struct vfork_record {
  threads::thread_fiber* self;  ///< null: not on a fiber
  threads::signal_set blocked;  ///< its mask
};

}  // namespace

/// Before the system call. Must not be inlined into anything that keeps a frame over it.
extern "C" __attribute__((visibility("hidden"), used)) vfork_record coir_before_vfork() noexcept {
  threads::thread_fiber* const self = recorded_fiber();
  if (!self) return {nullptr, 0};
  if (self->handler_depth == 0) threads::enter_region();
  self->handler_depth = (self->handler_depth + 1) * threads::vfork_depth;
  return {self, self->blocked};
}

/// After it, in the parent; `result` is the kernel's.
extern "C" __attribute__((visibility("hidden"), used)) long coir_after_vfork(
    long result, threads::thread_fiber* self, threads::signal_set blocked) noexcept {
  if (self) {
    const int caller_errno = errno;
    if (self->blocked != blocked) {
      threads::count_mask(self->blocked, -1);
      threads::count_mask(blocked, 1);
      self->blocked = blocked;
      self->on->kernel_mask = blocked;
    }
    self->handler_depth = self->handler_depth / threads::vfork_depth - 1;
    if (self->handler_depth == 0) threads::leave_region();
    errno = caller_errno;
  }
  return finish(result);
}

/// hook: processes: the child makes plain calls, and the other fibers run meanwhile
asm(R"(
  .text
  .p2align 4
  .globl vfork
  .type vfork, @function
vfork:
  .cfi_startproc
  endbr64
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  call coir_before_vfork
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  movq %rax, %rsi                # kept over the call, as its second argument
  popq %rdi                      # the return address, which the child overwrites on the stack
  .cfi_adjust_cfa_offset -8
  .cfi_register %rip, %rdi
  movl $58, %eax                 # vfork
  syscall
  pushq %rdi
  .cfi_adjust_cfa_offset 8
  .cfi_offset %rip, -8
  testq %rax, %rax
  jz 1f
  movq %rax, %rdi                # rsi and rdx are as they were
  jmp coir_after_vfork
1:
  ret
  .cfi_endproc
  .size vfork, .-vfork
)");

#else

/// hook: processes: a plain fork on processors without a trampoline
COIR_HOOK pid_t vfork() noexcept { return ::fork(); }

#endif
