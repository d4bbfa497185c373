#include "hooks/threads/carriers.hpp"

#include "hooks/threads/machine.hpp"
#include "hooks/threads/signal_mask.hpp"
#include "hooks/threads/state.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/report.hpp"

#include <new>

#include <sys/mman.h>

namespace coir::threads {
namespace {

constexpr std::size_t carrier_stack_bytes = 256 * 1024;
constexpr std::size_t signal_stack_bytes = 64 * 1024;

constinit thread_maker make_real_thread = nullptr;
void (*run_hub)() noexcept = nullptr;

carrier* allocate_carrier() noexcept {
  void* const memory =
      ::mmap(nullptr, sizeof(carrier), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* const c = new (memory) carrier{};
  c->hub.is_hub = true;
  c->hub.on = c;
  return c;
}

bool publish(carrier& c) noexcept {
  const guard hold(sched->carriers_lock);
  const int count = sched->carrier_count.load(std::memory_order_relaxed);
  if (count == carriers_max) return false;
  c.index = count;
  c.tid = static_cast<pid_t>(kernel::call(SYS_gettid));
  sched->carriers[count] = &c;
  sched->carrier_count.store(count + 1, std::memory_order_release);
  return true;
}

void* carrier_main(void* argument) {
  carrier& c = *static_cast<carrier*>(argument);
  c.hub.thread_pointer = threads::thread_pointer();
  c.kernel_mask = ~std::uint64_t{0};
  here.self = &c.hub;
  prepare_signal_stack();
  publish(c);
  run_hub();
  return nullptr;
}

void report_limit(const char* reason) noexcept {
  if (sched->has_reported_limit) return;
  sched->has_reported_limit = true;
  kernel::report(
      "%d kernel threads are blocked in calls that coir cannot make wait, and %s; other "
      "threads go on as these return (COIR_KERNEL_THREADS raises the limit)",
      sched->carrier_count.load(), reason);
}

}  // namespace

carrier* make_first_carrier(thread_maker maker, void (*hub)() noexcept) noexcept {
  make_real_thread = maker;
  run_hub = hub;
  carrier* const c = allocate_carrier();
  if (!c) return nullptr;
  // The main thread moves to other carriers, so that this one needs a control block of its own.
  thread_fiber* const context = make_thread({carrier_stack_bytes, 1, nullptr, hub});
  if (!context) return nullptr;
  c->hub.stack_pointer = context->stack_pointer;
  c->hub.thread_pointer = context->thread_pointer;
  set_self_of(context->thread_pointer, c->hub);
  main_thread.on = c;
  c->running = &main_thread;
  c->runs_fiber.store(true, std::memory_order_relaxed);
  c->kernel_mask = main_thread.blocked;
  return publish(*c) ? c : nullptr;
}

bool make_carrier() noexcept {
  if (sched->carrier_count.load(std::memory_order_relaxed) >= sched->kernel_threads_max) {
    report_limit("no more are allowed");
    return false;
  }
  carrier* const c = allocate_carrier();
  if (!c) return false;
  c->state.store(carrier_state::running, std::memory_order_relaxed);
  if (make_kernel_thread(&carrier_main, c, carrier_stack_bytes) == 0) return true;
  ::munmap(c, sizeof *c);
  report_limit("the system gives no more");
  return false;
}

int make_kernel_thread(void* (*function)(void*), void* argument, std::size_t stack_bytes) noexcept {
  const std::uint64_t all = ~std::uint64_t{0};
  std::uint64_t usual = 0;
  set_kernel_mask(all, &usual);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, stack_bytes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t made;
  const int error = make_real_thread(&made, &attributes, function, argument);
  ::pthread_attr_destroy(&attributes);
  set_kernel_mask(usual, nullptr);
  return error;
}

void prepare_signal_stack() noexcept {
  void* const memory = ::mmap(nullptr, signal_stack_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = signal_stack_bytes;
  kernel::call(SYS_sigaltstack, &stack, nullptr);
}

}  // namespace coir::threads
