#include "runtime/fiber/context.hpp"

#include "runtime/base/assert.hpp"

#include <cerrno>

#include <cxxabi.h>

#if defined(__x86_64__)
// jump_fcontext is left by an indirect jump, not by a return. Called directly, each switch would
// leave one return address too many on the processor's stack of predicted returns, and every return
// after it would be mispredicted: 7 ns each, and a full memory latency where the fiber's stack is
// not in the cache. Here the context's resume address is our own return instruction, which takes
// back what the call to this routine pushed.
asm(R"(
        .text
        .p2align 4
        .globl  coir_jump_fcontext
        .hidden coir_jump_fcontext
        .type   coir_jump_fcontext, @function
coir_jump_fcontext:
        .cfi_startproc
        leaq    1f(%rip), %rax
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        jmp     jump_fcontext@PLT
        .cfi_adjust_cfa_offset -8
1:      ret
        .cfi_endproc
        .size   coir_jump_fcontext, . - coir_jump_fcontext
)");
#endif

namespace coir::detail {
namespace {

namespace fcontext = boost::context::detail;

// Tops of stacks a cache line apart, in the upper half of their page, so that they do not all fall
// into one set of the first-level cache
constexpr std::size_t colours = 32;

// Stands at the head of the outermost frame of every stack. Declaring the return address undefined
// makes debuggers, profilers and the C++ unwinder end here instead of reading on into what lies
// above.
#if defined(__x86_64__)
#define COIR_OUTERMOST_FRAME() asm volatile(".cfi_undefined rip")
#elif defined(__aarch64__)
#define COIR_OUTERMOST_FRAME() asm volatile(".cfi_undefined x30")
#else
#define COIR_OUTERMOST_FRAME()
#endif

[[noreturn]] void begin(fcontext::transfer_t arrived) {
  COIR_OUTERMOST_FRAME();
  control_block& from = *static_cast<control_block*>(arrived.data);
  from.context = arrived.fctx;
  thread_slots& slots = *from.home;
  control_block& self = *slots.running;
  *slots.exceptions = self.exceptions;  // its own from the start, not those of whoever came here
  *slots.error_number = self.error_number;
  sanitizer_begin(self);
  self.record->entry(self);
  assertion_failed("a fiber's entry does not return", __FILE__, __LINE__);
}

// switch_stack has left in the generator's control block what was in use before.
[[noreturn]] void begin_on_lent_stack(fcontext::transfer_t arrived) {
  COIR_OUTERMOST_FRAME();
  control_block& lender = *static_cast<control_block*>(arrived.data);
  lender.context = arrived.fctx;
  sanitizer_begin(*lender.home->running);
  lender.record->entry(lender);
  assertion_failed("a generator's entry does not return", __FILE__, __LINE__);
}

}  // namespace

void thread_slots::adopt_this_thread() noexcept {
  exceptions = reinterpret_cast<exception_globals*>(abi::__cxa_get_globals());
  error_number = &errno;
}

void prepare_context(control_block& f) noexcept {
  const std::size_t offset = f.record->number % colours * 64;
  const auto entry = f.record->kind == fiber_kind::generator ? begin_on_lent_stack : begin;
  f.context = fcontext::make_fcontext(f.record->stack.top() - offset,
                                      f.record->stack.bytes - offset, entry);
  f.exceptions = {};
  f.error_number = 0;
  sanitizer_make(f);
}

}  // namespace coir::detail
