/// What a wait is made of: who waits, why, and how it ended.
#pragma once

#include <atomic>
#include <cstdint>

namespace coir::detail {

struct control_block;

/// How a wait ended.
enum class wait_status : std::uint8_t {
  woken,        ///< somebody took this waiter out of the queue
  timed_out,    ///< the deadline passed first; the waiter is out of the queue
  interrupted,  ///< the fiber is being killed; the waiter is out of the queue
};

/// Why a fiber waits, for reports.
enum class wait_reason : std::uint8_t {
  none,
  io,
  sleep,
  mutex,
  condition,
  semaphore,
  event,
  queue,
  join,
  offload,
  context
};

/// Whether a kill ends the wait.
enum class interruptible : bool { no, yes };

/// One waiting fiber. Lives on the stack of that fiber for the length of the wait. Guarded by the
/// lock of its queue.
struct waiter {
  waiter* next = nullptr;
  waiter* prev = nullptr;
  control_block* fiber = nullptr;
  void* payload = nullptr;  ///< what the waker hands over or takes; meaning is the queue owner's
  std::atomic<bool> is_waiting{
      false};  ///< false once a waker took it; its last touch of the waiter
};

}  // namespace coir::detail
