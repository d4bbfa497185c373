/// Says what happened when a fiber runs over the end of its stack.
#pragma once

#include "runtime/fiber/control_block.hpp"

namespace coir::detail {

/// Installs, once per process, a handler for SIGSEGV and SIGBUS that recognises a touched guard of
/// the fiber that `running` returns, prints the fiber's name, stack size, spawn site and what to
/// do, and aborts. Any other fault goes on to the handler that was there before.
void install_overflow_report(control_block* (*running)() noexcept) noexcept;

/// Gives the calling thread a signal stack if it has none: the handler cannot run on the stack that
/// overflowed.
void ensure_signal_stack() noexcept;

/// Takes back what ensure_signal_stack gave; to be called before the thread ends.
void release_signal_stack() noexcept;

}  // namespace coir::detail
