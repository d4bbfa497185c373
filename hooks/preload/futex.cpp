// syscall(): locks of other languages' libraries stand on it, by the futex call. All other system
// calls pass through, but for those that would stop a carrier and have a hook, and those that name
// threads by their numbers.
//
// Fibers wait for a futex in the parking lot. Where other processes could wake it, that is in
// memory that is shared with them, a fiber waits in the kernel, without a token: many libraries
// leave the flag for private futexes out, so the memory itself is asked.
//
// A wake goes to the parking lot first, then to the kernel, where native threads sleep.
#include "hooks/preload/async_io.hpp"
#include "hooks/preload/waiting.hpp"
#include "hooks/threads/parking_lot.hpp"
#include "hooks/threads/signals.hpp"
#include "hooks/time_limit.hpp"
#include "runtime/kernel/calls.hpp"

#include <cstdarg>

#include <linux/futex.h>
#include <sys/syscall.h>

using namespace coir;
using namespace coir::hooks;
using threads::lot_result;
using threads::thread_fiber;

namespace {

struct arguments {
  long a, b, c, d, e, f;
};

template <class T>
T* pointer(long argument) noexcept {
  return reinterpret_cast<T*>(argument);
}

long call_kernel(long number, const arguments& args) noexcept {
  return kernel::call(number, args.a, args.b, args.c, args.d, args.e, args.f);
}

/// As libc's syscall() tells an error from a large result.
long finish_system_call(long result) noexcept {
  constexpr long errno_max = 4095;
  if (result >= 0 || result < -errno_max) return result;
  return finish(result);
}

// --- futexes -------------------------------------------------------------------------------------

/// The futex call's arguments under their names.
struct futex_call {
  std::uint32_t* word;
  int operation;
  bool is_private;
  bool is_on_wall_clock;
  std::uint32_t value;
  const timespec* time;  ///< or, in requeues, how many to move
  std::uint32_t* other_word;
  std::uint32_t third_value;

  explicit futex_call(const arguments& args) noexcept
      : word(pointer<std::uint32_t>(args.a)),
        operation(static_cast<int>(args.b) & FUTEX_CMD_MASK),
        is_private((args.b & FUTEX_PRIVATE_FLAG) != 0),
        is_on_wall_clock((args.b & FUTEX_CLOCK_REALTIME) != 0),
        value(static_cast<std::uint32_t>(args.c)),
        time(pointer<const timespec>(args.d)),
        other_word(pointer<std::uint32_t>(args.e)),
        third_value(static_cast<std::uint32_t>(args.f)) {}

  int limit() const noexcept { return static_cast<int>(value); }
  int second_limit() const noexcept {
    return static_cast<int>(reinterpret_cast<std::intptr_t>(time));
  }
};

std::uint32_t load(const std::uint32_t* word) noexcept {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/// True for memory of this process alone, by the kernel's table of pages; false where that cannot
/// be read. The page has just been touched.
bool is_private_memory(const void* address) noexcept {
  constexpr std::uintptr_t page_bytes = 4096;
  constexpr std::uint64_t is_file_or_shared = std::uint64_t{1} << 61;
  constexpr std::uint64_t is_there = std::uint64_t{1} << 63;
  constexpr std::uint64_t is_swapped_out = std::uint64_t{1} << 62;
  const int fd = static_cast<int>(
      kernel::call(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0));
  if (fd < 0) return false;
  std::uint64_t entry = 0;
  const auto page = reinterpret_cast<std::uintptr_t>(address) / page_bytes;
  const long bytes = kernel::call(SYS_pread64, fd, &entry, sizeof entry, page * sizeof entry);
  kernel::close(fd);
  return bytes == sizeof entry && (entry & (is_there | is_swapped_out)) != 0 &&
         (entry & is_file_or_shared) == 0;
}

threads::deadline deadline_of(const futex_call& call) noexcept {
  if (!call.time) return detail::never;
  if (call.operation == FUTEX_WAIT_BITSET)
    return deadline_at(call.is_on_wall_clock ? CLOCK_REALTIME : CLOCK_MONOTONIC, call.time);
  return deadline_in(call.time);
}

bool is_valid_wait(const futex_call& call, std::uint32_t bits) noexcept {
  if (reinterpret_cast<std::uintptr_t>(call.word) % alignof(std::uint32_t) != 0) return false;
  if (call.time && (call.time->tv_sec < 0 || !has_valid_nanoseconds(call.time))) return false;
  return bits != 0;
}

/// 0 or -errno.
long wait_in_lot(thread_fiber& self, const futex_call& call) noexcept {
  const bool has_bits = call.operation == FUTEX_WAIT_BITSET;
  const std::uint32_t bits = has_bits ? call.third_value : ~std::uint32_t{0};
  if (!is_valid_wait(call, bits)) return -EINVAL;
  const threads::deadline until = deadline_of(call);
  auto is_as_expected = [&]() noexcept { return load(call.word) == call.value; };
  for (;;) {
    switch (threads::wait_at(call.word, {.until = until, .bits = bits}, is_as_expected)) {
      case lot_result::refused:
        return -EAGAIN;
      case lot_result::timed_out:
        return -ETIMEDOUT;
      case lot_result::signalled:
        if (call.time || !self.restarts_calls) return -EINTR;
        break;
      case lot_result::woken:
      case lot_result::cancelled:
        return 0;
    }
  }
}

long wait_for_futex(const futex_call& call, const arguments& args) noexcept {
  thread_fiber* const self = parking_fiber(family::sync);
  if (!self || !call.word) return call_kernel(SYS_futex, args);
  rejoin(*self);
  if (load(call.word) != call.value) return -EAGAIN;
  if (call.is_private || is_private_memory(call.word)) return wait_in_lot(*self, call);
  return in_region([&] { return call_kernel(SYS_futex, args); });
}

/// Wakes in the lot, then in the kernel. How many, or -errno.
long wake_everywhere(std::uint32_t* word, int limit, std::uint32_t bits, bool is_private) noexcept {
  // The kernel wakes one where none is asked for; whoever has nothing to wake says so by 0.
  const int woken = threads::wake_at(word, limit, bits);
  if (woken > 0 && woken >= limit) return woken;
  const int operation = FUTEX_WAKE_BITSET | (is_private ? FUTEX_PRIVATE_FLAG : 0);
  const long more = kernel::call(SYS_futex, word, operation, limit - woken, nullptr, nullptr, bits);
  return more < 0 ? (woken > 0 ? woken : more) : woken + more;
}

long requeue(const futex_call& call, const arguments& args) noexcept {
  const bool compares = call.operation == FUTEX_CMP_REQUEUE;
  if (compares && load(call.word) != call.third_value) return -EAGAIN;
  const int wakes = call.limit();
  const int moves = call.second_limit();
  if (wakes < 0 || moves < 0) return -EINVAL;
  const int woken = threads::wake_at(call.word, wakes);
  const int moved = threads::requeue(call.word, call.other_word, moves);
  arguments rest = args;
  rest.c = wakes - woken;
  rest.d = moves - moved;
  const long more = call_kernel(SYS_futex, rest);
  const int here = woken + moved;
  return more < 0 ? (here > 0 ? here : more) : here + more;
}

/// What FUTEX_WAKE_OP does to the other word; the value before.
std::uint32_t change(std::uint32_t* word, int operation, std::uint32_t operand) noexcept {
  switch (operation) {
    case FUTEX_OP_ADD:
      return __atomic_fetch_add(word, operand, __ATOMIC_SEQ_CST);
    case FUTEX_OP_OR:
      return __atomic_fetch_or(word, operand, __ATOMIC_SEQ_CST);
    case FUTEX_OP_ANDN:
      return __atomic_fetch_and(word, ~operand, __ATOMIC_SEQ_CST);
    case FUTEX_OP_XOR:
      return __atomic_fetch_xor(word, operand, __ATOMIC_SEQ_CST);
    default:
      return __atomic_exchange_n(word, operand, __ATOMIC_SEQ_CST);
  }
}

bool holds(int comparison, int value, int operand) noexcept {
  switch (comparison) {
    case FUTEX_OP_CMP_EQ:
      return value == operand;
    case FUTEX_OP_CMP_NE:
      return value != operand;
    case FUTEX_OP_CMP_LT:
      return value < operand;
    case FUTEX_OP_CMP_LE:
      return value <= operand;
    case FUTEX_OP_CMP_GT:
      return value > operand;
    default:
      return value >= operand;
  }
}

/// FUTEX_WAKE_OP: its third value packs the operation (with a flag for 1 << operand), the
/// comparison, and their operands of 12 bits with sign.
long wake_and_change(const futex_call& call) noexcept {
  const auto packed = static_cast<std::int32_t>(call.third_value);
  const int operation = packed >> 28 & 7;
  const int comparison = packed >> 24 & 15;
  std::int32_t operand = packed << 8 >> 20;
  const std::int32_t comparand = packed << 20 >> 20;
  if (packed < 0) operand = static_cast<std::int32_t>(1U << (operand & 31));
  if (operation > FUTEX_OP_XOR || comparison > FUTEX_OP_CMP_GE) return -ENOSYS;
  const std::uint32_t before =
      change(call.other_word, operation, static_cast<std::uint32_t>(operand));
  const std::uint32_t all_bits = ~std::uint32_t{0};
  const long first = wake_everywhere(call.word, call.limit(), all_bits, call.is_private);
  if (first < 0 || !holds(comparison, static_cast<std::int32_t>(before), comparand)) return first;
  const long second =
      wake_everywhere(call.other_word, call.second_limit(), all_bits, call.is_private);
  return second < 0 ? second : first + second;
}

long futex(const arguments& args) noexcept {
  const futex_call call(args);
  switch (call.operation) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
      return wait_for_futex(call, args);
    case FUTEX_WAKE:
      return wake_everywhere(call.word, call.limit(), ~std::uint32_t{0}, call.is_private);
    case FUTEX_WAKE_BITSET:
      if (call.third_value == 0) return -EINVAL;
      return wake_everywhere(call.word, call.limit(), call.third_value, call.is_private);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
      return requeue(call, args);
    case FUTEX_WAKE_OP:
      return wake_and_change(call);
    default:
      return call_kernel(SYS_futex, args);
  }
}

// --- threads by their numbers --------------------------------------------------------------------

pid_t number_of_caller() noexcept {
  const thread_fiber* const self = threads::current();
  return self ? self->tid : static_cast<pid_t>(kernel::call(SYS_gettid));
}

/// Sends to a fiber of that number: 0 or -errno; ESRCH where there is none.
int send_to(pid_t tid, int signal) noexcept {
  thread_fiber* const self = threads::current();
  if (self && self->tid == tid) return -threads::send_signal(*self, signal);
  if (threads::main_thread.tid == tid) return -threads::send_signal(threads::main_thread, signal);
  // Under the lock, so that the thread does not end meanwhile.
  const threads::guard hold(threads::sched->threads_lock);
  for (thread_fiber* f = threads::sched->newest; f; f = f->older)
    if (f->tid == tid) return -threads::send_signal(*f, signal);
  return -ESRCH;
}

long send_to_thread(long number, const arguments& args) noexcept {
  const bool has_group = number == SYS_tgkill;
  const auto tid = static_cast<pid_t>(has_group ? args.b : args.a);
  const auto signal = static_cast<int>(has_group ? args.c : args.b);
  const bool is_here = !has_group || args.a == kernel::call(SYS_getpid);
  const int result = is_here ? send_to(tid, signal) : -ESRCH;
  return result == -ESRCH ? call_kernel(number, args) : result;
}

// --- calls that have a hook ----------------------------------------------------------------------

/// A system call is no cancellation point, as the hook of the same name is.
class without_cancellation {
 public:
  without_cancellation() noexcept { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~without_cancellation() { ::pthread_setcancelstate(before_, nullptr); }
  without_cancellation(const without_cancellation&) = delete;
  without_cancellation& operator=(const without_cancellation&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

/// Calls that wait and have a hook; for them `result` becomes what syscall() returns.
bool call_hook(long number, const arguments& args, long& result) noexcept {
  const without_cancellation scope;
  const auto fd = static_cast<int>(args.a);
  const auto size = static_cast<std::size_t>(args.c);
  switch (number) {
    case SYS_read:
      result = ::read(fd, pointer<void>(args.b), size);
      return true;
    case SYS_write:
      result = ::write(fd, pointer<void>(args.b), size);
      return true;
    case SYS_recvfrom:
      result = ::recvfrom(fd, pointer<void>(args.b), size, static_cast<int>(args.d),
                          pointer<sockaddr>(args.e), pointer<socklen_t>(args.f));
      return true;
#if defined(SYS_poll)
    case SYS_poll:
      result =
          ::poll(pointer<pollfd>(args.a), static_cast<nfds_t>(args.b), static_cast<int>(args.c));
      return true;
    case SYS_epoll_wait:
      result = ::epoll_wait(fd, pointer<epoll_event>(args.b), static_cast<int>(args.c),
                            static_cast<int>(args.d));
      return true;
#endif
    case SYS_nanosleep:
      result = ::nanosleep(pointer<timespec>(args.a), pointer<timespec>(args.b));
      return true;
    case SYS_clock_nanosleep:
      result = finish(-::clock_nanosleep(static_cast<clockid_t>(args.a), static_cast<int>(args.b),
                                         pointer<timespec>(args.c), pointer<timespec>(args.d)));
      return true;
    case SYS_close:
      result = ::close(fd);
      return true;
    case SYS_sched_yield:
      result = ::sched_yield();
      return true;
    default:
      return false;
  }
}

/// libaio waits by it.
long get_events(const arguments& args) noexcept {
  return wait_io_getevents(static_cast<aio_context_t>(args.a), args.b, args.c,
                           pointer<io_event>(args.d), pointer<timespec>(args.e));
}

bool has_hook(long number) noexcept {
  switch (number) {
    case SYS_read:
    case SYS_write:
    case SYS_recvfrom:
#if defined(SYS_poll)
    case SYS_poll:
    case SYS_epoll_wait:
#endif
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_close:
    case SYS_sched_yield:
      return true;
    default:
      return false;
  }
}

/// While threads are fibers.
long call_or_park(long number, const arguments& args) noexcept {
  switch (number) {
    case SYS_futex:
      return finish_system_call(futex(args));
    case SYS_gettid:
      return number_of_caller();
    case SYS_tkill:
    case SYS_tgkill:
      return finish_system_call(send_to_thread(number, args));
    case SYS_io_getevents:
      return finish_system_call(get_events(args));
    default:
      break;
  }
  long result = 0;
  if (has_hook(number) && parking_fiber(family::sync) && call_hook(number, args, result))
    return result;
  return finish_system_call(call_kernel(number, args));
}

}  // namespace

/// hook: threads: futexes, numbers of threads and calls that wait, made as the hooks make them
COIR_HOOK long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  arguments args{};
  for (long* argument : {&args.a, &args.b, &args.c, &args.d, &args.e, &args.f})
    *argument = va_arg(list, long);
  va_end(list);
  if (threads::sched->is_on.load(std::memory_order_relaxed)) return call_or_park(number, args);
  return finish_system_call(call_kernel(number, args));
}

/// hook: threads: the number of the fiber
COIR_HOOK pid_t gettid() noexcept { return number_of_caller(); }
