#include "hooks/threads/signals.hpp"

#include "hooks/threads/descriptors.hpp"
#include "hooks/threads/machine.hpp"
#include "hooks/threads/monitor.hpp"
#include "hooks/threads/thread_memory.hpp"
#include "hooks/threads/vfork_child.hpp"
#include "runtime/kernel/calls.hpp"

#include <bit>
#include <cerrno>

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace coir::threads {
namespace {

constexpr std::size_t signal_stack_bytes = 64 * 1024;
constexpr unsigned long flag_restorer = 0x04000000;
// Of libc itself, which wants them untouched: cancellation and setuid.
constexpr signal_set reserved = bit_of(32) | bit_of(33);
constexpr signal_set unblockable = bit_of(SIGKILL) | bit_of(SIGSTOP);

// Real-time signals that were sent to fibers and wait there, each with its value.
constexpr int queued_signals_max = 1024;
constexpr int first_queued = 34;  // SIGRTMIN: libc keeps two
struct queued_signal {
  thread_fiber* target;  ///< null: free
  std::uint64_t order;
  siginfo_t info;
};

struct signals_state {
  lock guard_of_queue;
  std::uint64_t next_order;
  queued_signal queue[queued_signals_max];
  std::atomic<signal_set> process_pending;
  std::atomic<int> blockers[signals_max + 1];  ///< fibers that block each signal
  std::atomic<int> masks_in_use;               ///< sum of all blockers
};
constinit wiped<signals_state> state{};

// What the program has set. It survives a fork, as the handlers do. The table is read in signal
// handlers: an action is changed while its signal is blocked on the changing thread, and `version`
// is odd meanwhile.
struct program_action {
  std::atomic<unsigned> version;
  kernel_action action;
  std::atomic<bool> is_taken_over;  ///< the kernel calls our handler for it
};
constinit program_action actions[signals_max + 1]{};
constinit std::atomic<bool> has_taken_over{false};
constinit siginfo_t last_info[signals_max + 1]{};
void (*restorer)() = nullptr;

// Marks a signal that only interrupts a carrier so that its fiber looks at `pending`.
constinit char poke_mark = 0;

long kernel_sigaction(int signal, const kernel_action* next, kernel_action* old) noexcept {
  return kernel::call(SYS_rt_sigaction, signal, next, old, sizeof(signal_set));
}

kernel_action action_of(int signal) noexcept {
  program_action& entry = actions[signal];
  for (;;) {
    const unsigned before = entry.version.load(std::memory_order_acquire);
    const kernel_action copy = entry.action;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && entry.version.load(std::memory_order_relaxed) == before) return copy;
  }
}

bool is_function(void (*handler)(int)) noexcept { return handler != SIG_DFL && handler != SIG_IGN; }

// The two kinds of handlers share one place, as in the kernel's structure, and one convention.
using long_handler = void (*)(int, siginfo_t*, void*);

/// The end of the stack that the fiber has given for handlers, when this one is to run there.
void* own_signal_stack(const kernel_action& action) noexcept {
  const thread_fiber* const self = here.self;
  if (!(action.flags & SA_ONSTACK) || !self || self->is_hub) return nullptr;
  const stack_t& stack = self->signal_stack;
  if (!stack.ss_sp || (stack.ss_flags & SS_DISABLE)) return nullptr;
  const auto here_on_stack = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto start = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
  const bool is_there = here_on_stack >= start && here_on_stack < start + stack.ss_size;
  return is_there ? nullptr : static_cast<char*>(stack.ss_sp) + stack.ss_size;
}

void call_handler(const kernel_action& action, int signal, siginfo_t* info,
                  void* context) noexcept(false) {
  const auto handler = reinterpret_cast<long_handler>(reinterpret_cast<void*>(action.handler));
  if (void* const top = own_signal_stack(action)) {
    call_on_stack(top, handler, signal, info, context);
  } else {
    handler(signal, info, context);
  }
}

void reset_if_asked(int signal, const kernel_action& action) noexcept {
  if (!(action.flags & SA_RESETHAND)) return;
  kernel_action none;
  change_action(signal, &none, nullptr);
}

signal_set mask_inside(const kernel_action& action, int signal, signal_set outside) noexcept {
  const signal_set own = action.flags & SA_NODEFER ? 0 : bit_of(signal);
  return (outside | action.mask | own) & ~unblockable;
}

void note_handler(thread_fiber& self, const kernel_action& action) noexcept {
  self.has_run_handler = true;
  if (!(action.flags & SA_RESTART)) self.restarts_calls = false;
}

/// In the kernel's signal frame, on the fiber whose signal it is.
void run_here(thread_fiber& self, int signal, siginfo_t* info, void* context) {
  const kernel_action action = action_of(signal);
  if (!is_function(action.handler)) return;
  reset_if_asked(signal, action);
  const signal_set outside = self.blocked;
  self.blocked = mask_inside(action, signal, outside);
  self.on->kernel_mask = self.blocked;
  set_kernel_mask(self.blocked, nullptr);
  ++self.handler_depth;
  call_handler(action, signal, info, context);
  --self.handler_depth;
  note_handler(self, action);
  // The return from the frame sets the kernel's mask to what it was.
  self.blocked = outside;
  self.on->kernel_mask = outside;
  auto* const frame = static_cast<ucontext_t*>(context);
  __builtin_memcpy(&frame->uc_sigmask, &outside, sizeof outside);
}

bool enqueue_signal(thread_fiber& target, const siginfo_t& info) noexcept {
  const guard hold(state->guard_of_queue);
  for (queued_signal& entry : state->queue) {
    if (entry.target) continue;
    entry = {&target, ++state->next_order, info};
    return true;
  }
  return false;
}

/// Takes the oldest one of a number that waits for the fiber; `is_last` when none is left then.
bool dequeue_signal(const thread_fiber& target, int signal, siginfo_t& info,
                    bool& is_last) noexcept {
  const guard hold(state->guard_of_queue);
  queued_signal* oldest = nullptr;
  int waiting = 0;
  for (queued_signal& entry : state->queue) {
    if (entry.target != &target || entry.info.si_signo != signal) continue;
    ++waiting;
    if (!oldest || entry.order < oldest->order) oldest = &entry;
  }
  is_last = waiting <= 1;
  if (!oldest) return false;
  info = oldest->info;
  oldest->target = nullptr;
  return true;
}

/// Takes a signal out of `pending`, unless more of its number are queued.
siginfo_t take_pending(thread_fiber& self, int signal) noexcept {
  siginfo_t info = last_info[signal];
  bool is_last = true;
  if (signal >= first_queued) dequeue_signal(self, signal, info, is_last);
  if (is_last) self.pending.fetch_and(~bit_of(signal), std::memory_order_relaxed);
  return info;
}

/// On the fiber, outside of any frame: at the end of a park or of a runtime section.
void run_on_fiber(thread_fiber& self, int signal, siginfo_t info) {
  const kernel_action action = action_of(signal);
  if (!is_function(action.handler)) return;
  reset_if_asked(signal, action);
  ucontext_t context{};
  const signal_set outside = self.blocked;
  __builtin_memcpy(&context.uc_sigmask, &outside, sizeof outside);
  set_signal_mask(self, mask_inside(action, signal, outside));
  call_handler(action, signal, &info, &context);
  note_handler(self, action);
  set_signal_mask(self, outside);
}

// --- whose signal ---------------------------------------------------------------------------------

bool is_fault(int signal, const siginfo_t& info) noexcept {
  const bool is_kind = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
                       signal == SIGILL || signal == SIGTRAP || signal == SIGSYS;
  return is_kind && info.si_code > 0;
}

/// Sent to one thread, not to the process. SIGPIPE belongs to the writer although it does not say.
bool is_for_thread(int signal, const siginfo_t& info) noexcept {
  return signal == SIGPIPE || info.si_code == SI_TKILL || is_fault(signal, info);
}

bool accepts(const thread_fiber& fiber, int signal) noexcept {
  return (fiber.blocked & bit_of(signal)) == 0 &&
         (fiber.ending.load(std::memory_order_relaxed) & has_finished) == 0;
}

/// Makes the fiber look at `pending` soon, wherever it is.
void poke(thread_fiber& fiber, int signal) noexcept {
  carrier* const c = fiber.on;
  if (c && c->running == &fiber && here.self != &fiber) {
    siginfo_t info{};
    info.si_signo = signal;
    info.si_code = SI_QUEUE;
    info.si_value.sival_ptr = &poke_mark;
    kernel::call(SYS_rt_tgsigqueueinfo, ::getpid(), c->tid, signal, &info);
  }
  wake(fiber);
}

/// The fiber that gets a signal for the process; null when all block it.
thread_fiber* choose_fiber(int signal) noexcept {
  if (accepts(main_thread, signal)) return &main_thread;
  thread_fiber* const self = here.self;
  if (self && !self->is_hub && accepts(*self, signal)) return self;
  const guard hold(sched->threads_lock);
  for (thread_fiber* f = sched->newest; f; f = f->older)
    if (accepts(*f, signal)) return f;
  return nullptr;
}

/// For the process, in a place where the scheduler's locks may be held: only noted.
void note_for_process(int signal, const siginfo_t& info) noexcept {
  last_info[signal] = info;
  state->process_pending.fetch_or(bit_of(signal), std::memory_order_seq_cst);
  if (here.self && !here.self->is_hub) {
    here.has_deferred_signals = true;
  } else {
    kick_poller();
    wake_monitor();
  }
}

/// What the kernel calls for every signal that the program handles.
void on_signal(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  thread_fiber* const self = here.self;
  if (!sched->is_on.load(std::memory_order_relaxed) || !self || is_vfork_child(*self)) {
    // A native thread, a child that has not started, or one of a vfork: as without us.
    const kernel_action action = action_of(signal);
    reset_if_asked(signal, action);
    if (is_function(action.handler)) call_handler(action, signal, info, context);
    errno = saved_errno;
    return;
  }
  const bool is_poke = info->si_code == SI_QUEUE && info->si_value.sival_ptr == &poke_mark;
  const bool may_run_here = !self->is_hub && here.critical == 0;
  if (is_fault(signal, *info)) {
    run_here(*self, signal, info, context);
  } else if (is_poke || is_for_thread(signal, *info)) {
    if (self->is_hub) return;  // a poke that came too late: its fiber has seen it
    const signal_set waiting = self->pending.load(std::memory_order_relaxed);
    if (is_poke && !(waiting & bit_of(signal))) return;
    if (may_run_here && accepts(*self, signal)) {
      siginfo_t own = *info;
      if (is_poke) own = take_pending(*self, signal);
      run_here(*self, signal, &own, context);
      run_pending_handlers(*self);
    } else {
      if (!is_poke) last_info[signal] = *info;
      self->pending.fetch_or(bit_of(signal), std::memory_order_relaxed);
      here.has_deferred_signals = true;
    }
  } else if (may_run_here &&
             (accepts(main_thread, signal) ? self == &main_thread : accepts(*self, signal))) {
    run_here(*self, signal, info, context);
  } else {
    note_for_process(signal, *info);
    if (may_run_here) deliver_deferred_signals();
  }
  errno = saved_errno;
}

void take_over(int signal, const kernel_action& wanted) noexcept {
  program_action& entry = actions[signal];
  entry.version.fetch_add(1, std::memory_order_acq_rel);
  entry.action = wanted;
  entry.version.fetch_add(1, std::memory_order_acq_rel);
  kernel_action ours = wanted;
  if (is_function(wanted.handler)) {
    ours.handler = reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(&on_signal));
    ours.flags = (wanted.flags & ~static_cast<unsigned long>(SA_RESETHAND)) | SA_SIGINFO;
    ours.flags |= flag_restorer;
    ours.restorer = restorer;
    ours.mask = wanted.mask & ~reserved;
  }
  entry.is_taken_over.store(true, std::memory_order_release);
  kernel_sigaction(signal, &ours, nullptr);
}

constexpr int cancel_signal = 32;  // libc's own
constinit std::atomic<long_handler> libcs_cancel_handler{};

/// libc's handler cancels whoever runs it. A carrier may run another fiber by the time the signal
/// comes, which is to live on: that one has no cancellation under way.
void on_cancel_signal(int signal, siginfo_t* info, void* context) {
  std::atomic<int>& word = cancel_word(threads::thread_pointer());
  if (!(word.load(std::memory_order_relaxed) & cancel_is_under_way)) return;
  if (here.self && (here.self->is_hub || here.critical > 0)) {
    word.fetch_or(cancel_was_asked, std::memory_order_relaxed);  // for the end of the park
    return;
  }
  libcs_cancel_handler.load(std::memory_order_relaxed)(signal, info, context);
}

/// libc sets its handler when it cancels for the first time.
void stand_before_libcs_cancel_handler() noexcept {
  kernel_action action;
  if (kernel_sigaction(cancel_signal, nullptr, &action) != 0) return;
  const auto handler = reinterpret_cast<long_handler>(reinterpret_cast<void*>(action.handler));
  if (!is_function(action.handler) || handler == &on_cancel_signal) return;
  libcs_cancel_handler.store(handler, std::memory_order_relaxed);
  action.handler = reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(&on_cancel_signal));
  kernel_sigaction(cancel_signal, &action, nullptr);
}

/// glibc's own trampoline for the return from a handler, taken from an action that it sets.
bool find_restorer() noexcept {
  if (restorer) return true;
  struct sigaction before {};
  struct sigaction probe {};
  probe.sa_handler = [](int) {};
  constexpr int unused = SIGURG;
  if (::sigaction(unused, nullptr, &before) != 0) return false;
  if (::sigaction(unused, &probe, nullptr) != 0) return false;
  kernel_action made;
  kernel_sigaction(unused, nullptr, &made);
  restorer = made.restorer;
  ::sigaction(unused, &before, nullptr);
  return true;
}

}  // namespace

bool start_signals() noexcept {
  if (!state.wipe_on_fork() || !find_restorer()) return false;
  kernel::call(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &main_thread.blocked, sizeof(signal_set));
  count_mask(main_thread.blocked, 1);
  has_taken_over.store(true, std::memory_order_release);
  for (int signal = 1; signal <= signals_max; ++signal) {
    if ((reserved | unblockable) & bit_of(signal)) continue;
    if (actions[signal].is_taken_over.load(std::memory_order_relaxed)) continue;  // a fork's child
    kernel_action set;
    if (kernel_sigaction(signal, nullptr, &set) == 0 && is_function(set.handler))
      take_over(signal, set);
  }
  return true;
}

void prepare_signal_stack(carrier&) noexcept {
  void* const memory = ::mmap(nullptr, signal_stack_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = signal_stack_bytes;
  kernel::call(SYS_sigaltstack, &stack, nullptr);
}

void set_kernel_mask(signal_set mask, signal_set* old) noexcept {
  kernel::call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, old, sizeof mask);
}

void block_all_signals(carrier& c) noexcept {
  if (c.kernel_mask == ~signal_set{0}) return;
  c.kernel_mask = ~signal_set{0};
  set_kernel_mask(c.kernel_mask, nullptr);
}

void count_mask(signal_set blocked, int change) noexcept {
  for (signal_set rest = blocked; rest != 0; rest &= rest - 1) {
    state->blockers[std::countr_zero(rest) + 1].fetch_add(change, std::memory_order_relaxed);
    state->masks_in_use.fetch_add(change, std::memory_order_relaxed);
  }
}

signal_set mask_of_poller() noexcept {
  if (state->masks_in_use.load(std::memory_order_relaxed) == 0) return 0;
  const int all = sched->live_threads.load(std::memory_order_relaxed);
  signal_set mask = 0;
  for (int signal = 1; signal <= signals_max; ++signal)
    if (state->blockers[signal].load(std::memory_order_relaxed) >= all) mask |= bit_of(signal);
  return mask;
}

bool has_process_signals() noexcept {
  return state->process_pending.load(std::memory_order_seq_cst) != 0;
}

void route_process_signals() noexcept {
  if (!has_process_signals()) return;
  signal_set left = state->process_pending.exchange(0, std::memory_order_seq_cst);
  for (; left != 0; left &= left - 1) {
    const int signal = std::countr_zero(left) + 1;
    if (thread_fiber* const target = choose_fiber(signal)) {
      target->pending.fetch_or(bit_of(signal), std::memory_order_seq_cst);
      poke(*target, signal);
    } else {
      state->process_pending.fetch_or(bit_of(signal), std::memory_order_seq_cst);
    }
  }
}

void deliver_deferred_signals() noexcept {
  here.has_deferred_signals = false;
  thread_fiber* const self = here.self;
  if (!self || self->is_hub) return;
  route_process_signals();
  // A fiber that is on its way into a park runs them when it is out of it.
  if (self->state.load(std::memory_order_relaxed) == park_state::running)
    run_pending_handlers(*self);
}

void run_pending_handlers_now(thread_fiber& self) noexcept {
  for (;;) {
    const signal_set due = self.pending.load(std::memory_order_acquire) & ~self.blocked;
    if (due == 0) return;
    const int signal = std::countr_zero(due) + 1;
    run_on_fiber(self, signal, take_pending(self, signal));
  }
}

bool manages_handlers() noexcept { return has_taken_over.load(std::memory_order_acquire); }

void exchange_mask(thread_fiber& self, signal_set blocked) noexcept {
  blocked &= ~(unblockable | reserved);
  const signal_set before = self.blocked;
  if (before == blocked) return;
  count_mask(before & ~blocked, -1);
  count_mask(blocked & ~before, 1);
  self.blocked = blocked;
  // Not a runtime section: the kernel delivers what this lets in right here, one after the other.
  adopt_signal_mask(*self.on, self);
}

void set_signal_mask(thread_fiber& self, signal_set blocked) noexcept {
  exchange_mask(self, blocked);
  route_process_signals();
  run_pending_handlers(self);
}

signal_set pending_signals(const thread_fiber& self) noexcept {
  return self.pending.load(std::memory_order_acquire) |
         state->process_pending.load(std::memory_order_acquire);
}

void interrupt_for_cancellation(thread_fiber& fiber) noexcept {
  stand_before_libcs_cancel_handler();
  carrier* const c = fiber.on;
  if (c && c->running == &fiber && here.self != &fiber)
    kernel::call(SYS_tgkill, ::getpid(), c->tid, cancel_signal);
  interrupt(fiber);
}

int send_signal(thread_fiber& fiber, int signal, const sigval* value) noexcept {
  if (signal < 0 || signal > signals_max) return EINVAL;
  if (signal == 0) return 0;
  const kernel_action action = action_of(signal);
  if (!actions[signal].is_taken_over.load(std::memory_order_acquire) ||
      !is_function(action.handler)) {
    // Ignored, or with a default action, which is the whole process's.
    if ((fiber.blocked & bit_of(signal)) == 0)
      return static_cast<int>(-kernel::call(SYS_tgkill, ::getpid(), ::getpid(), signal));
  }
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_TKILL;
  info.si_pid = ::getpid();
  info.si_uid = ::getuid();
  if (value) {
    info.si_code = SI_QUEUE;
    info.si_value = *value;
  }
  last_info[signal] = info;
  if (signal >= first_queued && !enqueue_signal(fiber, info)) return EAGAIN;
  fiber.pending.fetch_or(bit_of(signal), std::memory_order_seq_cst);
  if (&fiber == here.self) {
    run_pending_handlers(fiber);
  } else {
    poke(fiber, signal);
  }
  return 0;
}

int change_action(int signal, const kernel_action* next, kernel_action* old) noexcept {
  if (signal < 1 || signal > signals_max || (reserved & bit_of(signal))) return -EINVAL;
  if (next && (unblockable & bit_of(signal))) return -EINVAL;
  const bool is_known = actions[signal].is_taken_over.load(std::memory_order_acquire);
  kernel_action before;
  if (is_known) {
    before = action_of(signal);
  } else {
    kernel_sigaction(signal, nullptr, &before);
  }
  if (next) take_over(signal, *next);
  if (old) *old = before;
  return 0;
}

int take_signal(thread_fiber& self, signal_set set, siginfo_t* info) noexcept {
  signal_set own = self.pending.load(std::memory_order_acquire) & set;
  signal_set shared = state->process_pending.load(std::memory_order_acquire) & set;
  for (; own != 0; own &= own - 1) {
    const int signal = std::countr_zero(own) + 1;
    const siginfo_t found = take_pending(self, signal);
    if (info) *info = found;
    return signal;
  }
  for (; shared != 0; shared &= shared - 1) {
    const int signal = std::countr_zero(shared) + 1;
    if (!(state->process_pending.fetch_and(~bit_of(signal)) & bit_of(signal))) continue;
    if (info) *info = last_info[signal];
    return signal;
  }
  return 0;
}

}  // namespace coir::threads
