/// The stack of a fiber that runs on another thread.
///
/// Only the thread itself can unwind its stack, so it is sent SIGURG, which means nothing to most
/// programs and is ignored by default, as in Go. The handler unwinds on the thread's signal stack,
/// and only if the worker has not gone on since the sample was asked for: then it cannot be in the
/// middle of a switch.
///
/// Steps of one sample, in its state: the asker sets `asked` and sends the signal; the handler
/// takes `asked` to `filling`, and that to `filled`; the asker takes `filled` to `idle`. When the
/// handler does not come in time the asker takes `asked` back to `idle`, and a signal that comes
/// late finds nothing to do.
///
/// Rejected: unwinding from the registers that /proc shows, for which libgcc has no entry and an
/// unwinder of our own would be needed; ptrace, which a thread cannot do to its own process.
#pragma once

#include "runtime/sched/worker.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace coir::detail {

/// A number that changes whenever a fiber gives up the worker, and with every turn of its loop
/// that looks at the kernel. Any thread.
inline std::uint64_t progress_of(const worker& w) noexcept {
  return w.count().turns_given() + w.count().polls.read();
}

struct stack_sample {
  std::vector<void*> frames;      ///< innermost first; all but the first are return addresses
  const char* failure = nullptr;  ///< why there are none
  bool has_gone_on = false;       ///< the worker was no longer where it had been seen
};

/// Loads what the handler needs. Once, before the first sample.
void prepare_stack_samples() noexcept;

/// The stack of what `w` runs on thread `thread`, if its progress still is `seen`. One caller at a
/// time; waits for the answer, but not long.
stack_sample sample_stack(worker& w, int thread, std::uint64_t seen);

}  // namespace coir::detail
