/// Operations that interrupt other threads: by signals, and by cancelling them.
#include "interruptions.hpp"

#include "board.hpp"
#include "operations.hpp"
#include "times.hpp"

#include <cerrno>
#include <csignal>
#include <memory>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace stress {
namespace {

thread_local std::atomic<int>* handled_here = nullptr;
std::atomic<int> gone_astray;

void count_signal(int) {
  const int saved = errno;
  (handled_here ? *handled_here : gone_astray).fetch_add(1);
  errno = saved;
}

/// What a victim may wait in, and what ends that.
struct waiting_place {
  int ends[2];
  int pair[2];
  int epoll = -1;
  sem_t semaphore;
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  bool is_changed = false;  ///< guarded by the lock

  waiting_place() {
    STRESS_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    STRESS_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    STRESS_CHECK(::sem_init(&semaphore, 0, 0) == 0);
    epoll = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    STRESS_CHECK(epoll >= 0 && ::epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &wanted) == 0);
  }
  ~waiting_place() {
    for (const int fd : {ends[0], ends[1], pair[0], pair[1], epoll}) ::close(fd);
    ::sem_destroy(&semaphore);
    ::pthread_cond_destroy(&changed);
  }
  waiting_place(const waiting_place&) = delete;
  waiting_place& operator=(const waiting_place&) = delete;
};

// --- signals -------------------------------------------------------------------------------------

constexpr const char* interrupted_calls[] = {"read",  "recv",       "poll",    "nanosleep",
                                             "pause", "epoll_wait", "sem_wait"};
constexpr int interrupted_count = 7;

/// Waits once in a call that nothing but a signal ends: true when one did.
bool wait_for_a_signal(waiting_place& place, int call) {
  char byte = 0;
  epoll_event event{};
  pollfd wait{place.ends[0], POLLIN, 0};
  timespec long_time{3600, 0};
  errno = 0;
  long result = 0;
  switch (call) {
    case 0:
      result = ::read(place.ends[0], &byte, 1);
      break;
    case 1:
      result = ::recv(place.pair[0], &byte, 1, 0);
      break;
    case 2:
      result = ::poll(&wait, 1, -1);
      break;
    case 3:
      result = ::nanosleep(&long_time, &long_time);
      break;
    case 4:
      result = ::pause();
      break;
    case 5:
      result = ::epoll_wait(place.epoll, &event, 1, -1);
      break;
    default:
      result = ::sem_wait(&place.semaphore);
      break;
  }
  return result == -1 && errno == EINTR;
}

void await_count(const std::atomic<int>& counter, int wanted) {
  while (counter.load() < wanted) nap(30'000);
  STRESS_CHECK(counter.load() == wanted);
}

void interrupt_by_signal(worker& me) {
  waiting_place place;
  std::atomic<int> handled{};
  std::atomic<int> interruptions{};
  std::atomic<bool> is_ready{};
  std::atomic<bool> may_end{};
  std::atomic<bool> is_through{};
  const int call = me.random.below(interrupted_count);
  started victim = start(some_making(me.random), "victim of signals", call, [&] {
    handled_here = &handled;
    is_ready.store(true);
    while (!may_end.load()) {
      doing(interrupted_calls[call], static_cast<std::uint64_t>(handled.load()));
      STRESS_CHECK(wait_for_a_signal(place, call));
      interruptions.fetch_add(1);
    }
    is_through.store(true);
  });
  while (!is_ready.load()) ::sched_yield();
  const int count = me.random.between(1, 5);
  for (int sent = 1; sent <= count; ++sent) {
    doing("interrupts with signal", static_cast<std::uint64_t>(sent));
    if (me.random.one_in(2)) nap(me.random.between(1, 300'000));
    STRESS_CHECK(::pthread_kill(victim.id, SIGUSR1) == 0);
    await_count(handled, sent);
  }
  may_end.store(true);
  // One may come just before the call that it should interrupt.
  doing("interrupts for the last time");
  while (!is_through.load()) {
    STRESS_CHECK(::pthread_kill(victim.id, SIGUSR1) == 0);
    nap(100'000);
  }
  finish_well(victim);
  doing(interrupted_calls[call], static_cast<std::uint64_t>(interruptions.load()));
  // epoll_wait of a kernel thread may also end for a signal of the process that is ignored, as
  // SIGCHLD is: a carrier that sleeps with all signals blocked keeps the kernel from dropping it.
  constexpr int epoll_call = 5;
  STRESS_CHECK(call == epoll_call || handled.load() >= interruptions.load());
}

/// Waits that go on after a handler: a lock, a condition, a join, a read with SA_RESTART.
void signal_without_interrupting(worker& me) {
  waiting_place place;
  std::atomic<int> handled{};
  std::atomic<bool> is_ready{};
  const int call = me.random.below(4);
  const making how = some_making(me.random);
  started other;
  if (call == 2)
    other = start(how, "waits to be joined", 0, [&place] {
      while (::sem_wait(&place.semaphore) != 0) STRESS_CHECK(errno == EINTR);
    });
  if (call == 0) ::pthread_mutex_lock(&place.lock);
  started victim = start(how, "signalled", call, [&] {
    handled_here = &handled;
    is_ready.store(true);
    char byte = 0;
    switch (call) {
      case 0:
        doing("locks under signals");
        STRESS_CHECK(::pthread_mutex_lock(&place.lock) == 0);
        break;
      case 1:
        doing("waits for a condition under signals");
        ::pthread_mutex_lock(&place.lock);
        while (!place.is_changed)
          STRESS_CHECK(::pthread_cond_wait(&place.changed, &place.lock) == 0);
        break;
      case 2:
        doing("joins under signals");
        finish_well(other);
        break;
      default:
        doing("reads under signals that restart");
        STRESS_CHECK(::read(place.ends[0], &byte, 1) == 1 && byte == 'x');
        break;
    }
    if (call < 2) ::pthread_mutex_unlock(&place.lock);
  });
  while (!is_ready.load()) ::sched_yield();
  for (int sent = 1, count = me.random.between(1, 5); sent <= count; ++sent) {
    doing("signals", static_cast<std::uint64_t>(sent));
    if (me.random.one_in(2)) nap(me.random.between(1, 300'000));
    STRESS_CHECK(::pthread_kill(victim.id, call == 3 ? SIGUSR2 : SIGUSR1) == 0);
    await_count(handled, sent);
  }
  doing("lets the signalled go on");
  switch (call) {
    case 0:
      ::pthread_mutex_unlock(&place.lock);
      break;
    case 1:
      ::pthread_mutex_lock(&place.lock);
      place.is_changed = true;
      ::pthread_cond_signal(&place.changed);
      ::pthread_mutex_unlock(&place.lock);
      break;
    case 2:
      STRESS_CHECK(::sem_post(&place.semaphore) == 0);
      break;
    default:
      STRESS_CHECK(::write(place.ends[1], "x", 1) == 1);
      break;
  }
  finish_well(victim);
}

// --- cancellation --------------------------------------------------------------------------------

constexpr const char* cancelled_calls[] = {"read",
                                           "recv",
                                           "poll",
                                           "nanosleep",
                                           "pause",
                                           "epoll_wait",
                                           "sem_wait",
                                           "pthread_cond_wait",
                                           "pthread_cond_timedwait",
                                           "pthread_join",
                                           "pthread_testcancel",
                                           "sem_timedwait"};
constexpr int cancelled_count = 12;

void wait_to_be_cancelled(waiting_place& place, int call, started* other) {
  char byte = 0;
  epoll_event event{};
  pollfd wait{place.ends[0], POLLIN, 0};
  timespec long_time{3600, 0};
  const timespec late = time_in(CLOCK_REALTIME, 3'600'000'000'000);
  switch (call) {
    case 0:
      static_cast<void>(::read(place.ends[0], &byte, 1));
      break;
    case 1:
      ::recv(place.pair[0], &byte, 1, 0);
      break;
    case 2:
      ::poll(&wait, 1, -1);
      break;
    case 3:
      ::nanosleep(&long_time, nullptr);
      break;
    case 4:
      ::pause();
      break;
    case 5:
      while (::epoll_wait(place.epoll, &event, 1, -1) == -1 && errno == EINTR) {
      }
      break;
    case 6:
      ::sem_wait(&place.semaphore);
      break;
    case 7:
      while (true) ::pthread_cond_wait(&place.changed, &place.lock);
    case 8:
      while (true) ::pthread_cond_timedwait(&place.changed, &place.lock, &late);
    case 9:
      ::pthread_join(other->id, nullptr);
      break;
    case 10:
      for (;;) {
        ::pthread_testcancel();
        ::sched_yield();
      }
    default:
      ::sem_timedwait(&place.semaphore, &late);
      break;
  }
}

void cancel(worker& me) {
  waiting_place place;
  std::atomic<int> cleanups{};
  const int call = me.random.below(cancelled_count);
  const bool is_disabled_first = me.random.one_in(3);
  const std::int64_t before_ns = me.random.between(0, 200'000);
  started other;
  if (call == 9)
    other = start(some_making(me.random), "is not joined", 0, [&place] {
      while (::sem_wait(&place.semaphore) != 0) STRESS_CHECK(errno == EINTR);
    });
  started victim = start(some_making(me.random), "to be cancelled", call, [&] {
    struct cleanup {
      waiting_place* place;
      std::atomic<int>* count;
      bool holds_lock;
    } mine{&place, &cleanups, call == 7 || call == 8};
    int state = 0;
    if (is_disabled_first) ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    if (mine.holds_lock) ::pthread_mutex_lock(&place.lock);
    pthread_cleanup_push(
        [](void* argument) {
          const cleanup& own = *static_cast<cleanup*>(argument);
          doing("cleans up");
          // The lock of a condition is taken again before the handlers run.
          if (own.holds_lock) {
            STRESS_CHECK(::pthread_mutex_trylock(&own.place->lock) == EBUSY);
            STRESS_CHECK(::pthread_mutex_unlock(&own.place->lock) == 0);
          }
          own.count->fetch_add(1);
        },
        &mine);
    if (is_disabled_first) {
      doing("is not cancellable yet");
      nap(before_ns);
      ::pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    }
    doing(cancelled_calls[call]);
    wait_to_be_cancelled(place, call, &other);
    STRESS_CHECK(!"a wait ended that nothing but a cancellation can end");
    pthread_cleanup_pop(0);
  });
  doing("cancels a thread in kind", static_cast<std::uint64_t>(call));
  if (!me.random.one_in(4)) nap(me.random.between(1, 400'000));
  STRESS_CHECK(::pthread_cancel(victim.id) == 0);
  doing("joins the cancelled, kind", static_cast<std::uint64_t>(call));
  STRESS_CHECK(finish(victim) == PTHREAD_CANCELED);
  STRESS_CHECK(cleanups.load() == 1);
  STRESS_CHECK(::pthread_mutex_trylock(&place.lock) == 0);
  ::pthread_mutex_unlock(&place.lock);
  if (call == 9) {
    STRESS_CHECK(::sem_post(&place.semaphore) == 0);
    finish_well(other);
  }
}

/// Either the permit is taken and the thread returns, or it is cancelled and the permit is there.
void cancel_against_post(worker& me) {
  sem_t semaphore;
  STRESS_CHECK(::sem_init(&semaphore, 0, 0) == 0);
  const bool posts_first = me.random.one_in(2);
  started victim = start(some_making(me.random), "between two ends", 0, [&semaphore] {
    doing("waits for a semaphore or its end");
    while (::sem_wait(&semaphore) != 0) STRESS_CHECK(errno == EINTR);
    int state = 0;
    ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  });
  if (me.random.one_in(2)) nap(me.random.between(1, 200'000));
  doing("cancels and posts");
  if (posts_first) ::sem_post(&semaphore);
  STRESS_CHECK(::pthread_cancel(victim.id) == 0);
  if (!posts_first) ::sem_post(&semaphore);
  const bool is_cancelled = finish(victim) == PTHREAD_CANCELED;
  int value = -1;
  STRESS_CHECK(::sem_getvalue(&semaphore, &value) == 0);
  STRESS_CHECK(value == (is_cancelled ? 1 : 0));
  ::sem_destroy(&semaphore);
}

constexpr operation all[] = {
    {"interrupt", 2, interrupt_by_signal},
    {"signal", 2, signal_without_interrupting},
    {"cancel", 4, cancel},
    {"cancel and post", 2, cancel_against_post},
};

}  // namespace

std::span<const operation> interruption_operations() { return all; }

void install_handlers() {
  for (const int signal : {SIGUSR1, SIGUSR2}) {
    struct sigaction action {};
    action.sa_handler = count_signal;
    action.sa_flags = signal == SIGUSR2 ? SA_RESTART : 0;
    STRESS_CHECK(::sigaction(signal, &action, nullptr) == 0);
  }
}

void check_signals() { STRESS_CHECK(gone_astray.load() == 0); }

}  // namespace stress
