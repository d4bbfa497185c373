// What the kernel keeps for each of its threads, asked for or changed for a fiber: affinity,
// scheduling, name, clock, nice value.
//
// A fiber runs on any carrier, so that affinity, scheduling and nice value cannot be its own. What
// the kernel would refuse is refused; what it would take has no effect; the answers are those of
// the carriers, which have what the process had when it made its first thread. Real-time scheduling
// is refused with EPERM, since a program that was granted it would rely on it. The processor time
// of a fiber is that of the process. Names are the fibers' own; that of the main thread is told to
// the kernel too, where tools look for it.
//
// None of these calls parks. In the child of a vfork they are libc's, for they are meant for the
// program that is to be run.
#include "hooks/preload/in_region.hpp"
#include "hooks/threads/lock.hpp"
#include "hooks/threads/thread.hpp"
#include "hooks/threads/vfork_child.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstring>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

COIR_DEFINE_REAL(sched_setaffinity);
COIR_DEFINE_REAL(sched_getaffinity);
COIR_DEFINE_REAL(sched_setscheduler);
COIR_DEFINE_REAL(sched_setparam);
COIR_DEFINE_REAL(sched_getscheduler);
COIR_DEFINE_REAL(sched_getparam);
COIR_DEFINE_REAL(pthread_setaffinity_np);
COIR_DEFINE_REAL(pthread_getaffinity_np);
COIR_DEFINE_REAL(pthread_setschedparam);
COIR_DEFINE_REAL(pthread_getschedparam);
COIR_DEFINE_REAL(pthread_setschedprio);
COIR_DEFINE_REAL(pthread_getcpuclockid);
COIR_DEFINE_REAL(pthread_setname_np);
COIR_DEFINE_REAL(pthread_getname_np);
COIR_DEFINE_REAL(setpriority);
COIR_DEFINE_REAL(getpriority);

namespace coir::hooks::real {
inline constinit real_function<int(int, unsigned long, unsigned long, unsigned long, unsigned long)>
    prctl{"prctl", system_call<SYS_prctl>{}};
[[gnu::constructor]] inline void look_up_prctl() noexcept { prctl.get(); }
}  // namespace coir::hooks::real

using namespace coir;
using namespace coir::hooks;

namespace {

/// True when `id`, as the calls take it that name a thread by its number, is a fiber; 0 is the
/// caller.
bool names_fiber(id_t id) noexcept {
  threads::thread_fiber* const self = recorded_fiber();
  if (!self) return false;
  const auto tid = static_cast<pid_t>(id);
  if (tid == 0 || tid == self->tid || tid == threads::main_thread.tid) return true;
  const threads::guard hold(threads::sched->threads_lock);
  for (const auto* fiber = threads::sched->newest; fiber; fiber = fiber->older)
    if (fiber->tid == tid) return true;
  return false;
}

// --- affinity ------------------------------------------------------------------------------------

/// 0 when the set has a processor that the process may use, else -EINVAL.
int check_affinity(size_t bytes, const cpu_set_t* wanted) noexcept {
  constexpr size_t words_max = 128;  // the kernel knows up to 8192 processors
  unsigned long allowed[words_max];
  const long known = kernel::call(SYS_sched_getaffinity, 0, sizeof allowed, allowed);
  if (known < 0) return static_cast<int>(known);
  const size_t shared = std::min(bytes, static_cast<size_t>(known));
  const auto* const has = reinterpret_cast<const unsigned char*>(allowed);
  const auto* const wants = reinterpret_cast<const unsigned char*>(wanted);
  for (size_t i = 0; i < shared; ++i)
    if (has[i] & wants[i]) return 0;
  return -EINVAL;
}

/// The first 64 processors of a set are remembered for the program to read back.
void remember_affinity(threads::thread_fiber& fiber, size_t bytes, const cpu_set_t* set) noexcept {
  std::uint64_t allowed = 0;
  kernel::call(SYS_sched_getaffinity, 0, sizeof allowed, &allowed);
  std::uint64_t wanted = 0;
  std::memcpy(&wanted, set, std::min(bytes, sizeof wanted));
  fiber.processors = wanted & allowed;
}
void recall_affinity(const threads::thread_fiber& fiber, cpu_set_t& set) noexcept {
  if (fiber.processors != 0) std::memcpy(&set, &fiber.processors, sizeof fiber.processors);
}

// --- scheduling ----------------------------------------------------------------------------------

int policy_of_carriers() noexcept {
  return static_cast<int>(kernel::call(SYS_sched_getscheduler, 0));
}
int priority_of_carriers() noexcept {
  sched_param found{};
  kernel::call(SYS_sched_getparam, 0, &found);
  return found.sched_priority;
}

/// 0 when the fiber may have it, which changes nothing; else a positive errno.
int check_scheduling(int policy, int priority) noexcept {
  const int usual = policy & ~SCHED_RESET_ON_FORK;
  const bool is_real_time = usual == SCHED_FIFO || usual == SCHED_RR;
  const bool is_known =
      is_real_time || usual == SCHED_OTHER || usual == SCHED_BATCH || usual == SCHED_IDLE;
  constexpr int real_time_max = 99;
  const int least = is_real_time ? 1 : 0;
  const int most = is_real_time ? real_time_max : 0;
  if (!is_known || priority < least || priority > most) return EINVAL;
  if (!is_real_time) return 0;
  return usual == policy_of_carriers() && priority == priority_of_carriers() ? 0 : EPERM;
}

// --- names ---------------------------------------------------------------------------------------

constexpr char comm_of_main[] = "/proc/self/comm";

void tell_kernel(const char* name) noexcept {
  const long fd = kernel::call(SYS_openat, AT_FDCWD, comm_of_main, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  kernel::write(static_cast<int>(fd), name, std::strlen(name));
  kernel::close(static_cast<int>(fd));
}

/// The name of the main thread that the program has not named.
void ask_kernel(char (&name)[16]) noexcept {
  const long fd = kernel::call(SYS_openat, AT_FDCWD, comm_of_main, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t size = kernel::read(static_cast<int>(fd), name, sizeof name);
  kernel::close(static_cast<int>(fd));
  if (size > 0) name[size - 1] = '\0';  // where the line ends
}

/// `name` may be longer than names are.
void set_name(threads::thread_fiber& fiber, const char* name) noexcept {
  char cut[sizeof fiber.name] = {};
  std::memcpy(cut, name, ::strnlen(name, sizeof cut - 1));
  std::memcpy(fiber.name, cut, sizeof cut);
  if (&fiber == &threads::main_thread) tell_kernel(cut);
}

void get_name(const threads::thread_fiber& fiber, char* name) noexcept {
  char found[sizeof fiber.name];
  std::memcpy(found, fiber.name, sizeof found);
  if (found[0] == '\0') ask_kernel(found);
  std::memcpy(name, found, sizeof found);
}

// --- nice values ---------------------------------------------------------------------------------

int nice_of_carriers() noexcept {
  constexpr int kernel_offset = 20;
  return kernel_offset - static_cast<int>(kernel::call(SYS_getpriority, PRIO_PROCESS, 0));
}

/// 0 when the fiber may have it, which changes nothing; else -EACCES.
int check_nice(int wanted) noexcept {
  constexpr int lowest = 19;
  constexpr int highest = -20;
  const int value = std::clamp(wanted, highest, lowest);
  if (value >= nice_of_carriers() || ::geteuid() == 0) return 0;
  rlimit limit{};
  ::getrlimit(RLIMIT_NICE, &limit);
  return static_cast<rlim_t>(lowest + 1 - value) <= limit.rlim_cur ? 0 : -EACCES;
}

}  // namespace

/// hook: threads: checks the set; it has no effect on a fiber
COIR_HOOK int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t* set) noexcept {
  if (!names_fiber(static_cast<id_t>(pid))) return real::sched_setaffinity(pid, bytes, set);
  const int error = check_affinity(bytes, set);
  if (error == 0 && pid == 0) remember_affinity(*threads::current(), bytes, set);
  return finish(error);
}

/// hook: threads: answers with the processors of the process
COIR_HOOK int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t* set) noexcept {
  const bool is_ours = names_fiber(static_cast<id_t>(pid));
  const int result = real::sched_getaffinity(is_ours ? 0 : pid, bytes, set);
  if (result == 0 && is_ours && pid == 0) recall_affinity(*threads::current(), *set);
  return result;
}

/// hook: threads: checks and remembers the set; it has no effect on a fiber
COIR_HOOK int pthread_setaffinity_np(pthread_t thread, size_t bytes,
                                     const cpu_set_t* set) noexcept {
  threads::thread_fiber* const fiber = threads::find_thread(thread);
  if (!fiber) return real::pthread_setaffinity_np(thread, bytes, set);
  const int error = check_affinity(bytes, set);
  if (error == 0) remember_affinity(*fiber, bytes, set);
  return -error;
}

/// hook: threads: answers with the processors of the process
COIR_HOOK int pthread_getaffinity_np(pthread_t thread, size_t bytes, cpu_set_t* set) noexcept {
  threads::thread_fiber* const fiber = threads::find_thread(thread);
  if (!fiber) return real::pthread_getaffinity_np(thread, bytes, set);
  const long known = kernel::call(SYS_sched_getaffinity, 0, bytes, set);
  if (known < 0) return static_cast<int>(-known);
  std::memset(reinterpret_cast<char*>(set) + known, 0, bytes - static_cast<size_t>(known));
  recall_affinity(*fiber, *set);
  return 0;
}

/// hook: threads: checks the values; they have no effect on a fiber
COIR_HOOK int pthread_setschedparam(pthread_t thread, int policy,
                                    const sched_param* wanted) noexcept {
  if (!threads::find_thread(thread)) return real::pthread_setschedparam(thread, policy, wanted);
  return check_scheduling(policy, wanted->sched_priority);
}

/// hook: threads: answers for the carriers
COIR_HOOK int pthread_getschedparam(pthread_t thread, int* policy, sched_param* found) noexcept {
  if (!threads::find_thread(thread)) return real::pthread_getschedparam(thread, policy, found);
  *policy = policy_of_carriers();
  found->sched_priority = priority_of_carriers();
  return 0;
}

/// hook: threads: checks the value; it has no effect on a fiber
COIR_HOOK int pthread_setschedprio(pthread_t thread, int priority) noexcept {
  if (!threads::find_thread(thread)) return real::pthread_setschedprio(thread, priority);
  return check_scheduling(policy_of_carriers(), priority);
}

/// hook: threads: checks the values; they have no effect on a fiber
COIR_HOOK int sched_setscheduler(pid_t pid, int policy, const sched_param* wanted) noexcept {
  if (!names_fiber(static_cast<id_t>(pid))) return real::sched_setscheduler(pid, policy, wanted);
  return finish(-check_scheduling(policy, wanted->sched_priority));
}

/// hook: threads: checks the value; it has no effect on a fiber
COIR_HOOK int sched_setparam(pid_t pid, const sched_param* wanted) noexcept {
  if (!names_fiber(static_cast<id_t>(pid))) return real::sched_setparam(pid, wanted);
  return finish(-check_scheduling(policy_of_carriers(), wanted->sched_priority));
}

/// hook: threads: answers for the carriers
COIR_HOOK int sched_getscheduler(pid_t pid) noexcept {
  return real::sched_getscheduler(names_fiber(static_cast<id_t>(pid)) ? 0 : pid);
}

/// hook: threads: answers for the carriers
COIR_HOOK int sched_getparam(pid_t pid, sched_param* found) noexcept {
  return real::sched_getparam(names_fiber(static_cast<id_t>(pid)) ? 0 : pid, found);
}

/// hook: threads: gives the clock of the process
COIR_HOOK int pthread_getcpuclockid(pthread_t thread, clockid_t* clock) noexcept {
  if (!threads::find_thread(thread)) return real::pthread_getcpuclockid(thread, clock);
  *clock = CLOCK_PROCESS_CPUTIME_ID;
  return 0;
}

/// hook: threads: names the fiber
COIR_HOOK int pthread_setname_np(pthread_t thread, const char* name) noexcept {
  threads::thread_fiber* const fiber = threads::find_thread(thread);
  if (!fiber) return real::pthread_setname_np(thread, name);
  if (::strnlen(name, sizeof fiber->name) == sizeof fiber->name) return ERANGE;
  set_name(*fiber, name);
  return 0;
}

/// hook: threads: the name of the fiber
COIR_HOOK int pthread_getname_np(pthread_t thread, char* name, size_t size) noexcept {
  const threads::thread_fiber* const fiber = threads::find_thread(thread);
  if (!fiber) return real::pthread_getname_np(thread, name, size);
  if (size < sizeof fiber->name) return ERANGE;
  get_name(*fiber, name);
  return 0;
}

/// hook: threads: PR_SET_NAME and PR_GET_NAME are the fiber's
COIR_HOOK int prctl(int option, ...) noexcept {
  va_list list;
  va_start(list, option);
  const unsigned long a = va_arg(list, unsigned long);
  const unsigned long b = va_arg(list, unsigned long);
  const unsigned long c = va_arg(list, unsigned long);
  const unsigned long d = va_arg(list, unsigned long);
  va_end(list);
  threads::thread_fiber* const self = recorded_fiber();
  if (self && option == PR_SET_NAME) {
    set_name(*self, reinterpret_cast<const char*>(a));
  } else if (self && option == PR_GET_NAME) {
    get_name(*self, reinterpret_cast<char*>(a));
  } else {
    return real::prctl(option, a, b, c, d);
  }
  return 0;
}

/// hook: threads: checks the value; it has no effect on a fiber
COIR_HOOK int setpriority(__priority_which_t which, id_t who, int value) noexcept {
  if (which != PRIO_PROCESS || !names_fiber(who)) return real::setpriority(which, who, value);
  return finish(check_nice(value));
}

/// hook: threads: answers for the carriers
COIR_HOOK int getpriority(__priority_which_t which, id_t who) noexcept {
  const bool is_fiber = which == PRIO_PROCESS && names_fiber(who);
  return real::getpriority(which, is_fiber ? 0 : who);
}
