#include "stop_signal.hpp"

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include <sys/socket.h>

namespace example {
namespace {

// The one thing a handler can reach; -1 while nobody waits.
std::atomic<int> handler_socket{-1};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not lock");

void tell_waiter(int) {
  const int saved = errno;
  const char byte = 0;
  (void)!::send(handler_socket.load(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  errno = saved;
}

}  // namespace

stop_signal::stop_signal(std::function<void()> stop) : stop_(std::move(stop)) {
  std::tie(waiting_end_, handler_end_) = coir::net::unix_stream::pair();
  waiter_ = coir::spawn({.name = "stop signal"}, [this] { wait_and_stop(); });
  handler_socket = handler_end_.native_handle();
  struct sigaction action {};
  action.sa_handler = tell_waiter;
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &former_interrupt_);
  sigaction(SIGTERM, &action, &former_terminate_);
}

stop_signal::~stop_signal() {
  sigaction(SIGINT, &former_interrupt_, nullptr);
  sigaction(SIGTERM, &former_terminate_, nullptr);
  handler_socket = -1;
  waiter_.kill();
}

void stop_signal::wait_and_stop() {
  char byte;
  waiting_end_.read_exactly(coir::net::mutable_buffer(&byte, 1));
  stop_();
}

}  // namespace example
