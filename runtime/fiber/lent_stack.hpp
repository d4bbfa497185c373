/// Switching to a stack that is lent to the running fiber: how generators are entered and left.
#pragma once

#include "runtime/fiber/context.hpp"

#include <utility>

namespace coir::detail {

/// jump_fcontext without a call, and so without an entry on the processor's stack of predicted
/// returns. Between fibers both sides mostly wait at the same depth of calls, and the return that
/// coir_jump_fcontext makes is predicted right. A generator and its caller never do: each of its
/// returns, and that of the function which switches, would be mispredicted.
#if defined(__x86_64__)
[[gnu::always_inline]] inline boost::context::detail::transfer_t jump_in_line(
    boost::context::detail::fcontext_t to, void* data) {
  boost::context::detail::transfer_t arrived;
  // jump_fcontext keeps what a call keeps. The 128 bytes below the stack pointer may be in use: the
  // compiler does not know of the push.
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp jump_fcontext@PLT\n"
      "1:\n\t"
      "leaq 128(%%rsp), %%rsp"
      : "=a"(arrived.fctx), "=d"(arrived.data), "+D"(to), "+S"(data)
      :
      : "rcx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
        "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory",
        "cc");
  return arrived;
}
#else
inline boost::context::detail::transfer_t jump_in_line(boost::context::detail::fcontext_t to,
                                                       void* data) {
  return boost::context::detail::jump_fcontext(to, data);
}
#endif

/// std::swap of both members, one by one: a copy of the whole is read in one piece, for which the
/// processor has to wait where the parts have just been written.
inline void exchange(exception_globals& a, exception_globals& b) noexcept {
  std::swap(a.caught, b.caught);
  std::swap(a.uncaught, b.uncaught);
}
inline void exchange(stack_memory& a, stack_memory& b) noexcept {
  std::swap(a.bottom, b.bottom);
  std::swap(a.bytes, b.bytes);
}

/// Goes on with the stack that `other` holds, still as fiber `self`, which is running; `other` then
/// holds what was left: stack, place and exception state. Entering a generator and leaving it are
/// this same exchange. errno passes through, as in a call. Returns when a second exchange leads
/// back, in whatever fiber.
[[gnu::always_inline]] inline void switch_stack(control_block& self,
                                                control_block& other) noexcept {
  thread_slots& slots = *self.home;
  exchange(*slots.exceptions, other.exceptions);
  exchange(self.record->stack, other.record->stack);
  sanitizer_before_stack_switch(self, other);
  const auto arrived = jump_in_line(other.context, &other);
  static_cast<control_block*>(arrived.data)->context = arrived.fctx;
  sanitizer_after_switch(*slots.running);
}

}  // namespace coir::detail
