/// Switching between fibers of one thread, on Boost.Context's fast path.
///
/// Boost.Context 1.81 leaves the C++ exception state to the thread: two fibers that both switch
/// away inside a catch block would rethrow each other's exception. Each switch therefore saves and
/// restores it, and errno with it. From Boost 1.88 on the library does so itself; the two would
/// collide.
#pragma once

#include "runtime/fiber/control_block.hpp"
#include "runtime/fiber/sanitizer.hpp"

#include <boost/context/detail/fcontext.hpp>
#include <boost/version.hpp>

static_assert(BOOST_VERSION < 108800,
              "Boost.Context saves the exception state itself now: drop ours");

namespace coir::detail {

/// Prepares `f`, whose stack, entry and kind are set, to begin at its entry with the next switch:
/// by switch_stack when it is a generator's, else by switch_context.
void prepare_context(control_block& f) noexcept;

#if defined(__x86_64__)
/// jump_fcontext, entered and left so that the processor's return predictor stays in step: see
/// context.cpp.
extern "C" boost::context::detail::transfer_t coir_jump_fcontext(
    boost::context::detail::fcontext_t to, void* data);
#else
inline boost::context::detail::transfer_t coir_jump_fcontext(boost::context::detail::fcontext_t to,
                                                             void* data) {
  return boost::context::detail::jump_fcontext(to, data);
}
#endif

/// Leaves `from`, the running fiber, and goes on with `to`, which has the same home. Returns when
/// somebody switches back to `from`.
[[gnu::always_inline]] inline void switch_context(control_block& from, control_block& to) noexcept {
  thread_slots& slots = *from.home;
  from.exceptions = *slots.exceptions;
  from.error_number = *slots.error_number;
  slots.running = &to;
  to.state = fiber_state::running;
  sanitizer_before_switch(from, to);
  const auto arrived = coir_jump_fcontext(to.context, &from);
  static_cast<control_block*>(arrived.data)->context = arrived.fctx;
  sanitizer_after_switch(from);
  *slots.exceptions = from.exceptions;
  *slots.error_number = from.error_number;
}

}  // namespace coir::detail
