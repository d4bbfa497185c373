/// Ending a server on SIGINT or SIGTERM.
#pragma once

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <functional>

#include <signal.h>

namespace example {

/// While it lives, the first SIGINT or SIGTERM makes a fiber call `stop()`, once; a second one ends
/// the process as if nobody had caught it. One object at a time; the thread that made it is a
/// worker and destroys it. `stop` may do what a fiber may, and must not throw.
///
/// The handler writes a byte into a socket pair and a fiber reads it at the other end, since a
/// handler itself may call next to nothing.
class stop_signal {
 public:
  /// Catches the signals; throws std::system_error when there is no descriptor or stack left.
  explicit stop_signal(std::function<void()> stop);
  stop_signal(const stop_signal&) = delete;
  stop_signal& operator=(const stop_signal&) = delete;
  /// Puts the former handlers back, and ends the fiber if it still waits.
  ~stop_signal();

 private:
  void wait_and_stop();

  coir::net::unix_stream waiting_end_;
  coir::net::unix_stream handler_end_;
  std::function<void()> stop_;
  coir::fiber<> waiter_;
  struct sigaction former_interrupt_;
  struct sigaction former_terminate_;
};

}  // namespace example
