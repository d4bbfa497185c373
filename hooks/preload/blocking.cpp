// Calls that simply block: file locks, System V and POSIX messages, semaphore sets, writing back to
// disk, copies inside the kernel, draining a terminal. Each tries without waiting where the call
// has a way to; what has to wait then does so in a region, with a kernel thread of its own. Message
// queues of POSIX are descriptors and are waited for as such.
//
// Left to the monitor: open of a FIFO whose other end nobody has opened. To know it beforehand
// would cost every open a look at the file, half as much as the open itself.
//
// To mq_notify a fiber that waits in mq_receive is no receiver: a message that comes then sends the
// notification as well.
#include "hooks/preload/in_region.hpp"
#include "hooks/threads/descriptors.hpp"
#include "hooks/time_limit.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cstdarg>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <termios.h>
#include <unistd.h>

COIR_DEFINE_REAL(flock);
COIR_DEFINE_REAL(lockf);
COIR_DEFINE_REAL(msgrcv);
COIR_DEFINE_REAL(msgsnd);
COIR_DEFINE_REAL(semop);
COIR_DEFINE_REAL(semtimedop);
COIR_DEFINE_REAL(mq_timedreceive);
COIR_DEFINE_REAL(mq_timedsend);
COIR_DEFINE_REAL(mq_receive);
COIR_DEFINE_REAL(mq_send);
COIR_DEFINE_REAL(msync);
COIR_DEFINE_REAL(sync_file_range);
COIR_DEFINE_REAL(sync);
COIR_DEFINE_REAL(syncfs);
COIR_DEFINE_REAL(fallocate);
COIR_DEFINE_REAL(posix_fallocate);
COIR_DEFINE_REAL(copy_file_range);
COIR_DEFINE_REAL(sendfile);
COIR_DEFINE_REAL(splice);
COIR_DEFINE_REAL(tee);
COIR_DEFINE_REAL(vmsplice);
COIR_DEFINE_REAL(tcdrain);

namespace coir::hooks::real {
// The variadic argument is one word on every processor that coir runs on.
inline constinit real_function<int(int, int, long)> fcntl{"fcntl", system_call<SYS_fcntl>{}};
[[gnu::constructor]] inline void look_up_fcntl() noexcept { fcntl.get(); }
}  // namespace coir::hooks::real

using namespace coir;
using namespace coir::hooks;

namespace {

/// Makes the call in a region on a fiber, and plainly elsewhere.
template <class Call>
auto blocking(Call call) -> decltype(call()) {
  return parking_fiber(family::file) ? in_region(call) : call();
}

// --- record locks --------------------------------------------------------------------------------

/// The command that only tries what `command` waits for; 0 when it does not wait.
int trying(int command) noexcept {
  if (command == F_SETLKW) return F_SETLK;
  return command == F_OFD_SETLKW ? F_OFD_SETLK : 0;
}

bool is_held_by_other(long result) noexcept { return result == -EAGAIN || result == -EACCES; }

int lock_record(threads::thread_fiber& self, int fd, int command, long argument) {
  act_on_cancel(self);
  const long tried = kernel::call(SYS_fcntl, fd, trying(command), argument);
  if (!is_held_by_other(tried)) return static_cast<int>(finish(tried));
  return in_region([&] { return real::fcntl(fd, command, argument); });
}

// --- System V semaphores -------------------------------------------------------------------------

/// True when the operations were done, or failed for another reason than that they would wait.
bool try_semaphores(int set, const sembuf* operations, size_t count, long& result) noexcept {
  constexpr size_t few = 32;
  if (count > few) return false;
  sembuf tries[few];
  for (size_t i = 0; i < count; ++i) {
    tries[i] = operations[i];
    tries[i].sem_flg |= IPC_NOWAIT;
  }
  result = kernel::call(SYS_semtimedop, set, tries, count, nullptr);
  return result != -EAGAIN;
}

// --- POSIX message queues ------------------------------------------------------------------------

constexpr timespec long_ago{0, 0};

/// Until `try_now` has another result than that it would wait.
template <class Try>
long await_queue(threads::thread_fiber& self, mqd_t queue, short events, const timespec* until,
                 Try try_now) {
  act_on_cancel(self);
  if (until && !is_valid(*until)) return -EINVAL;
  const threads::deadline limit = deadline_at(CLOCK_REALTIME, until);
  awaited_descriptor at(queue);
  for (;;) {
    const long result = try_now(at.fd);
    if (result != -ETIMEDOUT) return result;
    const int waited = threads::await_descriptor(at.fd, events, limit);
    if (waited == -ECANCELED) ::pthread_testcancel();
    if (waited < 0 && waited != -ERESTART) return waited;
  }
}

ssize_t receive(threads::thread_fiber& self, mqd_t queue, char* text, size_t size,
                unsigned* priority, const timespec* until) {
  return finish(await_queue(self, queue, POLLIN, until, [&](int fd) noexcept {
    return kernel::call(SYS_mq_timedreceive, fd, text, size, priority, &long_ago);
  }));
}

int send(threads::thread_fiber& self, mqd_t queue, const char* text, size_t size, unsigned priority,
         const timespec* until) {
  return static_cast<int>(finish(await_queue(self, queue, POLLOUT, until, [&](int fd) noexcept {
    return kernel::call(SYS_mq_timedsend, fd, text, size, priority, &long_ago);
  })));
}

bool is_nonblocking(int fd) noexcept {
  const int flags = kernel::fcntl(fd, F_GETFL, 0);
  return flags >= 0 && (flags & O_NONBLOCK);
}

}  // namespace

// --- locks of files ------------------------------------------------------------------------------

/// hook: files: waits for a lock in a region
COIR_HOOK int flock(int fd, int operation) noexcept {
  if (!parking_fiber(family::file) || (operation & LOCK_NB)) return real::flock(fd, operation);
  const long tried = kernel::call(SYS_flock, fd, operation | LOCK_NB);
  if (tried != -EWOULDBLOCK) return static_cast<int>(finish(tried));
  return in_region([&] { return real::flock(fd, operation); });
}

/// hook: files: waits for a lock in a region
COIR_HOOK int lockf(int fd, int command, off_t length) {
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self || command != F_LOCK) return real::lockf(fd, command, length);
  struct flock wanted {};
  wanted.l_type = F_WRLCK;
  wanted.l_whence = SEEK_CUR;
  wanted.l_len = length;
  return lock_record(*self, fd, F_SETLKW, reinterpret_cast<long>(&wanted));
}
COIR_HOOK int lockf64(int, int, off64_t) COIR_HOOK_ALIAS(lockf);

/// hook: files: waits for a lock in a region; the runtime's own descriptors are not there
COIR_HOOK int fcntl(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  const long argument = va_arg(list, long);
  va_end(list);
  if (threads::current() && threads::is_runtime_descriptor(fd)) return finish(-EBADF);
  if (command == F_SETFL && threads::current()) threads::forget_notes(fd);
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self || trying(command) == 0) return real::fcntl(fd, command, argument);
  return lock_record(*self, fd, command, argument);
}
COIR_HOOK int fcntl64(int, int, ...) COIR_HOOK_ALIAS(fcntl);
COIR_HOOK int __fcntl(int, int, ...) COIR_HOOK_ALIAS(fcntl);

// --- System V ------------------------------------------------------------------------------------

/// hook: semaphores: waits for a message in a region
COIR_HOOK ssize_t msgrcv(int queue, void* message, size_t size, long type, int flags) {
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self || (flags & IPC_NOWAIT)) return real::msgrcv(queue, message, size, type, flags);
  act_on_cancel(*self);
  const long tried = kernel::call(SYS_msgrcv, queue, message, size, type, flags | IPC_NOWAIT);
  if (tried != -ENOMSG) return finish(tried);
  return in_region([&] { return real::msgrcv(queue, message, size, type, flags); });
}

/// hook: semaphores: waits for room in a region
COIR_HOOK int msgsnd(int queue, const void* message, size_t size, int flags) {
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self || (flags & IPC_NOWAIT)) return real::msgsnd(queue, message, size, flags);
  act_on_cancel(*self);
  const long tried = kernel::call(SYS_msgsnd, queue, message, size, flags | IPC_NOWAIT);
  if (tried != -EAGAIN) return static_cast<int>(finish(tried));
  return in_region([&] { return real::msgsnd(queue, message, size, flags); });
}

/// hook: semaphores: waits for a set of semaphores in a region
COIR_HOOK int semop(int set, sembuf* operations, size_t count) noexcept {
  if (!parking_fiber(family::file)) return real::semop(set, operations, count);
  long tried = 0;
  if (try_semaphores(set, operations, count, tried)) return static_cast<int>(finish(tried));
  return in_region([&] { return real::semop(set, operations, count); });
}

/// hook: semaphores: waits for a set of semaphores in a region
COIR_HOOK int semtimedop(int set, sembuf* operations, size_t count,
                         const timespec* timeout) noexcept {
  if (!parking_fiber(family::file) || (timeout && !is_valid(*timeout)))
    return real::semtimedop(set, operations, count, timeout);
  long tried = 0;
  if (try_semaphores(set, operations, count, tried)) return static_cast<int>(finish(tried));
  return in_region([&] { return real::semtimedop(set, operations, count, timeout); });
}

// --- POSIX message queues ------------------------------------------------------------------------

/// hook: semaphores: parks until the queue has a message
COIR_HOOK ssize_t mq_timedreceive(mqd_t queue, char* text, size_t size, unsigned* priority,
                                  const timespec* until) {
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self) return real::mq_timedreceive(queue, text, size, priority, until);
  return receive(*self, queue, text, size, priority, until);
}

/// hook: semaphores: parks until the queue has a message
COIR_HOOK ssize_t mq_receive(mqd_t queue, char* text, size_t size, unsigned* priority) {
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self) return real::mq_receive(queue, text, size, priority);
  return receive(*self, queue, text, size, priority, nullptr);
}

/// hook: semaphores: parks until the queue has room
COIR_HOOK int mq_timedsend(mqd_t queue, const char* text, size_t size, unsigned priority,
                           const timespec* until) {
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self) return real::mq_timedsend(queue, text, size, priority, until);
  return send(*self, queue, text, size, priority, until);
}

/// hook: semaphores: parks until the queue has room
COIR_HOOK int mq_send(mqd_t queue, const char* text, size_t size, unsigned priority) {
  threads::thread_fiber* const self = parking_fiber(family::file);
  if (!self) return real::mq_send(queue, text, size, priority);
  return send(*self, queue, text, size, priority, nullptr);
}

// --- to disk -------------------------------------------------------------------------------------

/// hook: files: waits for the disk in a region
COIR_HOOK int msync(void* start, size_t size, int flags) {
  if (!(flags & MS_SYNC)) return real::msync(start, size, flags);
  return blocking([&] { return real::msync(start, size, flags); });
}

/// hook: files: waits for the disk in a region
COIR_HOOK int sync_file_range(int fd, off64_t from, off64_t size, unsigned flags) {
  return blocking([&] { return real::sync_file_range(fd, from, size, flags); });
}

/// hook: files: waits for the disks in a region
COIR_HOOK void sync() noexcept {
  blocking([] {
    real::sync();
    return 0;
  });
}

/// hook: files: waits for the disk in a region
COIR_HOOK int syncfs(int fd) noexcept {
  return blocking([&] { return real::syncfs(fd); });
}

/// hook: files: waits for the disk in a region
COIR_HOOK int fallocate(int fd, int mode, off_t from, off_t size) {
  return blocking([&] { return real::fallocate(fd, mode, from, size); });
}
COIR_HOOK int fallocate64(int, int, off64_t, off64_t) COIR_HOOK_ALIAS(fallocate);

/// hook: files: waits for the disk in a region
COIR_HOOK int posix_fallocate(int fd, off_t from, off_t size) {
  return blocking([&] { return real::posix_fallocate(fd, from, size); });
}
COIR_HOOK int posix_fallocate64(int, off64_t, off64_t) COIR_HOOK_ALIAS(posix_fallocate);

// --- copies inside the kernel --------------------------------------------------------------------

/// hook: files: waits for the disk in a region
COIR_HOOK ssize_t copy_file_range(int from, off64_t* from_at, int to, off64_t* to_at, size_t size,
                                  unsigned flags) {
  return blocking([&] { return real::copy_file_range(from, from_at, to, to_at, size, flags); });
}

/// hook: files: sends in a region, unless the descriptor does not block
COIR_HOOK ssize_t sendfile(int to, int from, off_t* at, size_t size) noexcept {
  if (!parking_fiber(family::file) || is_nonblocking(to)) return real::sendfile(to, from, at, size);
  return in_region([&] { return real::sendfile(to, from, at, size); });
}
COIR_HOOK ssize_t sendfile64(int, int, off64_t*, size_t) noexcept COIR_HOOK_ALIAS(sendfile);

/// hook: files: moves data in a region, unless SPLICE_F_NONBLOCK is given
COIR_HOOK ssize_t splice(int from, off64_t* from_at, int to, off64_t* to_at, size_t size,
                         unsigned flags) {
  auto call = [&] { return real::splice(from, from_at, to, to_at, size, flags); };
  return flags & SPLICE_F_NONBLOCK ? call() : blocking(call);
}

/// hook: files: copies data in a region, unless SPLICE_F_NONBLOCK is given
COIR_HOOK ssize_t tee(int from, int to, size_t size, unsigned flags) {
  auto call = [&] { return real::tee(from, to, size, flags); };
  return flags & SPLICE_F_NONBLOCK ? call() : blocking(call);
}

/// hook: files: moves data in a region, unless SPLICE_F_NONBLOCK is given
COIR_HOOK ssize_t vmsplice(int to, const iovec* parts, size_t count, unsigned flags) {
  auto call = [&] { return real::vmsplice(to, parts, count, flags); };
  return flags & SPLICE_F_NONBLOCK ? call() : blocking(call);
}

/// hook: files: waits for the terminal in a region
COIR_HOOK int tcdrain(int fd) {
  return blocking([&] { return real::tcdrain(fd); });
}
