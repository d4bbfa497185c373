// Waiting for signals: sigwait and its kin, sigsuspend, pause, masks of ppoll, signalfd.
#include "check.h"

#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>

static int handled, ready, result, error, finished;
static pthread_t ran_in;
static void note_signal(int number) {
  (void)number;
  ran_in = pthread_self();
  ADD(handled, 1);
}

static void* sigwait_once(void* argument) {
  sigset_t set = set_of(SIGUSR1);
  sigaddset(&set, SIGUSR2);
  int got = 0;
  ADD(ready, 1);
  CHECK(sigwait(&set, &got) == 0);
  return (void*)(intptr_t)(got + (argument != NULL));
}
static void block_both(void) {
  block(SIGUSR1);
  block(SIGUSR2);
}
PROMISE(sigwait_for_process, "sigwait in a thread takes a process-directed signal") {
  block_both();
  pthread_t thread = start(sigwait_once, NULL);
  AWAIT(GET(ready) == 1);
  settle();
  kill(getpid(), SIGUSR2);
  CHECK(join_int(thread) == SIGUSR2);
}
PROMISE(sigwait_for_thread, "sigwait takes the signal sent to its own thread, not another's") {
  block_both();
  pthread_t first = start(sigwait_once, NULL), second = start(sigwait_once, NULL);
  AWAIT(GET(ready) == 2);
  pthread_kill(second, SIGUSR1);
  CHECK(join_int(second) == SIGUSR1);
  CHECK(pthread_tryjoin_np(first, NULL) == EBUSY);
  pthread_kill(first, SIGUSR2);
  CHECK(join_int(first) == SIGUSR2);
}
PROMISE(sigwait_before, "sigwait takes a signal that was pending before") {
  block_both();
  kill(getpid(), SIGUSR1);
  CHECK(join_int(start(sigwait_once, NULL)) == SIGUSR1);
  raise(SIGUSR2);
  CHECK((int)(intptr_t)sigwait_once(NULL) == SIGUSR2);
}
PROMISE(sigwait_once_each, "Of several threads in sigwait exactly one takes each signal") {
  block_both();
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(sigwait_once, NULL);
  int ended = 0;
  int gone[5] = {0};
  for (int round = 1; round <= 5; round++) {
    kill(getpid(), SIGUSR1);
    int64_t give_up = now_ms() + patience_ms;
    while (ended < round && now_ms() < give_up) {
      for (int i = 0; i < 5; i++) {
        if (gone[i] || pthread_tryjoin_np(threads[i], NULL) != 0) continue;
        gone[i] = 1;
        ended++;
      }
      sleep_ms(1);
    }
    CHECK(ended == round);
  }
}

static void* waitinfo(void* argument) {
  sigset_t set = set_of(SIGRTMIN);
  siginfo_t info;
  ADD(ready, 1);
  CHECK(sigwaitinfo(&set, &info) == SIGRTMIN);
  CHECK(info.si_code == SI_QUEUE && info.si_pid == getpid());
  return (void*)(intptr_t)(info.si_value.sival_int + (argument != NULL));
}
PROMISE(waitinfo_value, "sigwaitinfo gives the queued value") {
  block(SIGRTMIN);
  pthread_t thread = start(waitinfo, NULL);
  AWAIT(GET(ready));
  union sigval value = {.sival_int = 77};
  sigqueue(getpid(), SIGRTMIN, value);
  CHECK(join_int(thread) == 77);
}

static void* timedwait(void* argument) {
  sigset_t set = set_of(SIGUSR1);
  int64_t began = now_ms();
  struct timespec time = from_ms(20);
  CHECK(sigtimedwait(&set, NULL, &time) == -1 && errno == EAGAIN);
  CHECK(now_ms() - began >= 19);
  time = from_ms(0);
  CHECK(sigtimedwait(&set, NULL, &time) == -1 && errno == EAGAIN);
  raise(SIGUSR1);
  CHECK(sigtimedwait(&set, NULL, &time) == SIGUSR1);
  time.tv_nsec = -1;
  CHECK(sigtimedwait(&set, NULL, &time) == -1 && errno == EINVAL);
  return argument;
}
PROMISE(timedwait_ends, "sigtimedwait ends with EAGAIN after its time") {
  block(SIGUSR1);
  timedwait(NULL);
  join(start(timedwait, NULL));
}

static void* call_sigsuspend(void* argument) {
  sigset_t open_one;
  sigfillset(&open_one);
  sigdelset(&open_one, SIGUSR1);
  ADD(ready, 1);
  CHECK(sigsuspend(&open_one) == -1 && errno == EINTR);
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  CHECK(sigismember(&now, SIGUSR1) == 1);  // as before the call
  CHECK(sigismember(&now, SIGTERM) == 0);
  return argument;
}
PROMISE(suspend, "sigsuspend opens its mask for the wait and puts the old one back") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  block(SIGUSR1);
  pthread_t thread = start(call_sigsuspend, NULL);
  AWAIT(GET(ready));
  pthread_kill(thread, SIGUSR1);
  join(thread);
  CHECK(handled == 1 && pthread_equal(ran_in, thread));
  kill(getpid(), SIGUSR1);
  call_sigsuspend(NULL);
  CHECK(handled == 2 && pthread_equal(ran_in, pthread_self()));
}

static int tube[2];
static void* call_ppoll(void* argument) {
  sigset_t none;
  sigemptyset(&none);
  struct pollfd one = {tube[0], POLLIN, 0};
  CHECK(ppoll(&one, 1, NULL, &none) == -1 && errno == EINTR);
  return argument;
}
static void* call_pselect(void* argument) {
  sigset_t none;
  sigemptyset(&none);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(tube[0], &set);
  CHECK(pselect(tube[0] + 1, &set, NULL, NULL, NULL, &none) == -1 && errno == EINTR);
  return argument;
}
static void* call_epoll_pwait(void* argument) {
  sigset_t none;
  sigemptyset(&none);
  struct epoll_event event;
  int set = (int)NEED(epoll_create1(0));
  CHECK(epoll_pwait(set, &event, 1, -1, &none) == -1 && errno == EINTR);
  close(set);
  return argument;
}
// The signal is blocked but for the wait, so it cannot be missed, early or late.
static void opens_its_mask(thread_function* call) {
  NEED(pipe(tube));
  handle(SIGUSR1, note_signal, SA_RESTART);
  block(SIGUSR1);
  pthread_t thread = start(call, NULL);
  pthread_kill(thread, SIGUSR1);
  join(thread);
  CHECK(handled == 1 && pthread_equal(ran_in, thread));
  thread = start(call, NULL);
  settle();
  pthread_kill(thread, SIGUSR1);
  join(thread);
  CHECK(handled == 2);
  raise(SIGUSR1);
  call(NULL);
  CHECK(handled == 3);
}
PROMISE(mask_of_ppoll, "ppoll opens its mask for the wait only") { opens_its_mask(call_ppoll); }
PROMISE(mask_of_pselect, "pselect opens its mask for the wait only") {
  opens_its_mask(call_pselect);
}
PROMISE(mask_of_epoll, "epoll_pwait opens its mask for the wait only") {
  opens_its_mask(call_epoll_pwait);
}

static void* closed_ppoll(void* argument) {
  sigset_t all;
  sigfillset(&all);
  struct pollfd one = {tube[0], POLLIN, 0};
  result = ppoll(&one, 1, NULL, &all);
  error = errno;
  SET(finished, 1);
  return argument;
}
PROMISE(closed_mask_of_ppoll,
        "A signal that ppoll's mask blocks does not end it, and comes after") {
  NEED(pipe(tube));
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t thread = start(closed_ppoll, NULL);
  settle();
  settle();
  int before = GET(handled);
  pthread_kill(thread, SIGUSR1);
  settle();
  CHECK(before == 0 && !GET(finished));
  NEED(write(tube[1], "x", 1));
  join(thread);
  CHECK(result == 1);
  CHECK(handled == 1);
}

static void* read_signalfd(void* argument) {
  struct signalfd_siginfo info;
  CHECK(read(*(int*)argument, &info, sizeof info) == sizeof info);
  return (void*)(intptr_t)info.ssi_signo;
}
PROMISE(signal_descriptor, "A signalfd gives blocked signals to a thread that reads or polls") {
  block_both();
  sigset_t set = set_of(SIGUSR1);
  sigaddset(&set, SIGUSR2);
  int fd = (int)NEED(signalfd(-1, &set, SFD_CLOEXEC));
  pthread_t thread = start(read_signalfd, &fd);
  settle();
  kill(getpid(), SIGUSR1);
  CHECK(join_int(thread) == SIGUSR1);
  struct pollfd one = {fd, POLLIN, 0};
  CHECK(poll(&one, 1, 0) == 0);
  kill(getpid(), SIGUSR2);
  CHECK(poll(&one, 1, -1) == 1 && one.revents == POLLIN);
  CHECK(join_int(start(read_signalfd, &fd)) == SIGUSR2);
}

static void* fork_and_end(void* argument) {
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) _exit(0);
  return (void*)(intptr_t)(child + (argument != NULL));
}
PROMISE(sigchld, "SIGCHLD is handled while threads wait, and each child can be reaped") {
  handle(SIGCHLD, note_signal, SA_RESTART | SA_NOCLDSTOP);
  for (int i = 0; i < 5; i++) {
    int before = GET(handled);
    pid_t child = join_int(start(fork_and_end, NULL));
    AWAIT(GET(handled) > before);
    CHECK(status_of(child) == 0);
  }
}
static void* sigwait_child(void* argument) {
  sigset_t set = set_of(SIGCHLD);
  int got = 0;
  for (int i = 0; i < 3; i++) {
    CHECK(sigwait(&set, &got) == 0 && got == SIGCHLD);
    sem_post((sem_t*)argument);
  }
  return NULL;
}
PROMISE(sigchld_by_sigwait, "A thread in sigwait learns of each child's end") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  block(SIGCHLD);
  pthread_t thread = start(sigwait_child, &semaphore);
  for (int i = 0; i < 3; i++) {
    pid_t child = join_int(start(fork_and_end, NULL));
    sem_wait(&semaphore);
    CHECK(status_of(child) == 0);
  }
  join(thread);
}
