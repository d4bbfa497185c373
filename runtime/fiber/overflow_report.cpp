// Runs in a signal handler: no allocation, no lock; dladdr is not promised to be safe there, but
// the process ends here.
#include "runtime/fiber/overflow_report.hpp"

#include "runtime/fiber/guard_page.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/report.hpp"

#include <cstdlib>
#include <mutex>
#include <utility>

#include <dlfcn.h>
#include <signal.h>

namespace coir::detail {
namespace {

constexpr std::size_t signal_stack_bytes = 64 * 1024;

control_block* (*running_fiber)() noexcept = nullptr;
struct sigaction previous_segv;
struct sigaction previous_bus;
constinit thread_local void* own_signal_stack = nullptr;

bool is_overflow(const control_block& f, const void* address) noexcept {
  const auto* fault = static_cast<const std::byte*>(address);
  return f.record->stack.bottom && fault < f.record->stack.bottom &&
         fault >= f.record->stack.bottom - guard_bytes;
}

void report_overflow(const control_block& f) noexcept {
  Dl_info where{};
  dladdr(f.record->spawn_site, &where);
  const auto offset =
      static_cast<const char*>(f.record->spawn_site) - static_cast<const char*>(where.dli_fbase);
  kernel::report(
      "stack overflow in fiber \"%s\" (#%llu): its stack of %zu KiB is used up. Spawned at %p, "
      "%s%s%s+0x%tx (look it "
      "up with addr2line -Cfie). Give it more: spawn(attributes{.stack_bytes = ...}, ...), or "
      "COIR_STACK=<bytes> for "
      "all fibers; only touched pages cost memory",
      f.record->name, static_cast<unsigned long long>(f.record->id), f.record->stack.bytes / 1024,
      f.record->spawn_site, where.dli_sname ? where.dli_sname : "", where.dli_sname ? " in " : "",
      where.dli_fname ? where.dli_fname : "?", offset);
}

void pass_on(int signal, siginfo_t* info, void* machine) noexcept {
  const struct sigaction& previous = signal == SIGSEGV ? previous_segv : previous_bus;
  if (previous.sa_flags & SA_SIGINFO) return previous.sa_sigaction(signal, info, machine);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
    return previous.sa_handler(signal);
  sigaction(signal, &previous, nullptr);
  if (info->si_code <= 0) raise(signal);  // somebody sent it; a fault comes again by itself
}

void handle_fault(int signal, siginfo_t* info, void* machine) {
  const control_block* f = running_fiber();
  if (f && info->si_code > 0 && is_overflow(*f, info->si_addr)) {
    report_overflow(*f);
    std::abort();
  }
  pass_on(signal, info, machine);
}

}  // namespace

void install_overflow_report(control_block* (*running)() noexcept) noexcept {
  static std::once_flag once;
  std::call_once(once, [running] {
    running_fiber = running;
    struct sigaction action {};
    action.sa_sigaction = handle_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &previous_segv);
    sigaction(SIGBUS, &action, &previous_bus);
  });
}

void ensure_signal_stack() noexcept {
  stack_t current{};
  sigaltstack(nullptr, &current);
  if (!(current.ss_flags & SS_DISABLE)) return;
  void* const memory =
      mmap(nullptr, signal_stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return;  // without it an overflow still ends the process, only without the report
  stack_t own{};
  own.ss_sp = memory;
  own.ss_size = signal_stack_bytes;
  sigaltstack(&own, nullptr);
  own_signal_stack = memory;
}

void release_signal_stack() noexcept {
  if (!own_signal_stack) return;
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  munmap(std::exchange(own_signal_stack, nullptr), signal_stack_bytes);
}

}  // namespace coir::detail
