#include "hooks/launcher/known_calls.hpp"

#include <algorithm>
#include <iterator>

namespace coir::launcher {
namespace {

struct hooked_name {
  std::string_view name;
  std::string_view family;
};

// Written by hooks/table.py from the comments of the hooks, sorted by name.
constexpr hooked_name hooked_names[] = {
#include "hooks/launcher/hook_families.inc"
};

// Functions of libc, and of liburing and libaio, which can wait for something that may never come:
// another thread, another process, a device. Those that are hooked are not asked for here.
constexpr std::string_view blocking_names[] = {
    // threads and locks
    "pthread_join",
    "pthread_timedjoin_np",
    "pthread_clockjoin_np",
    "thrd_join",
    "pthread_mutex_lock",
    "pthread_mutex_timedlock",
    "pthread_mutex_clocklock",
    "mtx_lock",
    "mtx_timedlock",
    "pthread_rwlock_rdlock",
    "pthread_rwlock_wrlock",
    "pthread_rwlock_timedrdlock",
    "pthread_rwlock_timedwrlock",
    "pthread_rwlock_clockrdlock",
    "pthread_rwlock_clockwrlock",
    "pthread_spin_lock",
    "pthread_cond_wait",
    "pthread_cond_timedwait",
    "pthread_cond_clockwait",
    "cnd_wait",
    "cnd_timedwait",
    "pthread_barrier_wait",
    "sem_wait",
    "sem_timedwait",
    "sem_clockwait",
    "thrd_sleep",
    // signals and processes
    "pause",
    "sigpause",
    "sigsuspend",
    "sigwait",
    "sigwaitinfo",
    "sigtimedwait",
    "wait",
    "wait3",
    "wait4",
    "waitpid",
    "waitid",
    "system",
    "popen",
    "pclose",
    // messages between processes
    "msgrcv",
    "msgsnd",
    "semop",
    "semtimedop",
    "mq_receive",
    "mq_timedreceive",
    "mq_send",
    "mq_timedsend",
    "__mq_receive",
    "__mq_send",
    // descriptors and files
    "accept",
    "accept4",
    "connect",
    "recv",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "send",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "read",
    "readv",
    "write",
    "writev",
    "preadv2",
    "pwritev2",
    "preadv64v2",
    "pwritev64v2",
    "poll",
    "ppoll",
    "select",
    "pselect",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "sendfile",
    "sendfile64",
    "splice",
    "vmsplice",
    "tee",
    "copy_file_range",
    "flock",
    "lockf",
    "lockf64",
    "tcdrain",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync",
    "sync_file_range",
    "msync",
    "posix_fallocate",
    "posix_fallocate64",
    "fanotify_init",
    // time and names
    "sleep",
    "usleep",
    "nanosleep",
    "clock_nanosleep",
    "getaddrinfo",
    "getnameinfo",
    "gethostbyname",
    "gethostbyname_r",
    "gethostbyaddr",
    "gethostbyaddr_r",
    "res_query",
    "res_search",
    "__res_query",
    "__res_search",
    "getaddrinfo_a",
    "gai_suspend",
    // asynchronous I/O
    "aio_suspend",
    "aio_suspend64",
    "lio_listio",
    "lio_listio64",
    "io_getevents",
    "io_pgetevents",
    "io_uring_enter",
    "io_uring_enter2",
    "io_uring_wait_cqe_timeout",
    "io_uring_wait_cqes",
    "io_uring_submit_and_wait",
    "io_uring_submit_and_wait_timeout",
    "__io_uring_get_cqe",
    // entropy, which is there but for the first moments after the machine's start
    "getrandom",
    "getentropy",
};

constexpr std::string_view thread_making_names[] = {
    "clone",       "__clone",      "clone3",    "clone2",      "pthread_create",
    "thrd_create", "timer_create", "mq_notify", "aio_read",    "aio_read64",
    "aio_write",   "aio_write64",  "aio_fsync", "aio_fsync64",
};

template <class Names>
bool has(const Names& names, std::string_view name) noexcept {
  return std::ranges::find(names, name) != std::end(names);
}

}  // namespace

std::string_view family_of(std::string_view hooked) noexcept {
  const auto found = std::ranges::lower_bound(hooked_names, hooked, {}, &hooked_name::name);
  return found != std::end(hooked_names) && found->name == hooked ? found->family : "others";
}

import_kind kind_of(std::string_view name) noexcept {
  if (has(thread_making_names, name)) return import_kind::makes_threads;
  return has(blocking_names, name) ? import_kind::may_block : import_kind::harmless;
}

}  // namespace coir::launcher
