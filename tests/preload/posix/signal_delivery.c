// Whose signal it is: thread- and process-directed signals, masks of each thread, pending ones.
#include "check.h"

static pthread_t ran_in;
static int handled, last_value, last_code, last_number;
static pid_t last_sender;

static void note_signal(int number) {
  ran_in = pthread_self();
  last_number = number;
  ADD(handled, 1);
}
static void note_info(int number, siginfo_t* info, void* context) {
  (void)number, (void)context;
  last_value = info->si_value.sival_int;
  last_code = info->si_code;
  last_sender = info->si_pid;
  ran_in = pthread_self();
  ADD(handled, 1);
}
static void handle_info(int number) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = note_info;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  NEED(sigaction(number, &action, NULL));
}

static int stop, ready;
static void* wait_for_stop(void* argument) {
  ADD(ready, 1);
  while (!GET(stop)) sleep_ms(1);
  return argument;
}
static void* compute_until_stop(void* argument) {
  ADD(ready, 1);
  while (!GET(stop)) continue;
  return argument;
}
static void* block_on_semaphore(void* argument) {
  ADD(ready, 1);
  while (sem_wait((sem_t*)argument) == -1) continue;
  return NULL;
}

PROMISE(to_one_of_ten, "A signal sent to one of ten threads is handled in that thread") {
  pthread_t threads[10];
  handle(SIGUSR1, note_signal, SA_RESTART);
  for (int i = 0; i < 10; i++) threads[i] = start(wait_for_stop, NULL);
  for (int i = 0; i < 10; i++) {
    CHECK(pthread_kill(threads[i], SIGUSR1) == 0);
    AWAIT(GET(handled) == i + 1);
    CHECK(pthread_equal(ran_in, threads[i]));
  }
  SET(stop, 1);
  for (int i = 0; i < 10; i++) join(threads[i]);
}
PROMISE(to_a_computing_thread, "A signal reaches a thread that computes without any call") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t thread = start(compute_until_stop, NULL);
  pthread_t other = start(compute_until_stop, NULL);
  AWAIT(GET(ready) == 2);
  for (int i = 1; i <= 5; i++) {
    pthread_t to = i % 2 ? thread : other;
    CHECK(pthread_kill(to, SIGUSR1) == 0);
    AWAIT(GET(handled) == i);
    CHECK(pthread_equal(ran_in, to));
  }
  SET(stop, 1);
  join(thread);
  join(other);
}
PROMISE(to_a_blocked_thread, "A signal reaches a thread that waits for a semaphore") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t thread = start(block_on_semaphore, &semaphore);
  for (int i = 1; i <= 3; i++) {
    settle();
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    AWAIT(GET(handled) == i);
    CHECK(pthread_equal(ran_in, thread));
  }
  sem_post(&semaphore);
  join(thread);
}
PROMISE(to_main, "A signal that a thread sends to main is handled in main") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t thread = start(wait_for_stop, NULL);
  CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
  CHECK(handled == 1 && pthread_equal(ran_in, pthread_self()));
  SET(stop, 1);
  join(thread);
}

static pthread_t of_main;
static void* signal_main(void* argument) {
  for (int i = 1; i <= 5; i++) {
    settle();
    CHECK(pthread_kill(of_main, SIGUSR1) == 0);
    AWAIT(GET(handled) == i);
    CHECK(pthread_equal(ran_in, of_main));
  }
  sem_post((sem_t*)argument);
  return NULL;
}
PROMISE(to_waiting_main, "Signals that a thread sends to main are handled while main waits") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  of_main = pthread_self();
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t thread = start(signal_main, &semaphore);
  while (sem_wait(&semaphore) == -1) CHECK(errno == EINTR);
  join(thread);
}

PROMISE(process_to_main, "A process-directed signal is handled in main if main does not block it") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t thread = start(wait_for_stop, NULL);
  AWAIT(GET(ready) == 1);
  for (int i = 1; i <= 10; i++) {
    CHECK(kill(getpid(), SIGUSR1) == 0);
    AWAIT(GET(handled) == i);
    CHECK(pthread_equal(ran_in, pthread_self()));
  }
  SET(stop, 1);
  join(thread);
}
static void* unblock_and_wait(void* argument) {
  unblock(SIGUSR1);
  return wait_for_stop(argument);
}
PROMISE(process_to_the_open_one,
        "A process-directed signal goes to the thread that does not block it") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  block(SIGUSR1);
  pthread_t closed[4];
  for (int i = 0; i < 4; i++) closed[i] = start(wait_for_stop, NULL);
  pthread_t open_one = start(unblock_and_wait, NULL);
  AWAIT(GET(ready) == 5);
  for (int i = 1; i <= 10; i++) {
    CHECK(kill(getpid(), SIGUSR1) == 0);
    AWAIT(GET(handled) == i);
    CHECK(pthread_equal(ran_in, open_one));
  }
  SET(stop, 1);
  join(open_one);
  for (int i = 0; i < 4; i++) join(closed[i]);
}
PROMISE(pending_for_process, "A signal that all block is pending until one thread unblocks it") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  block(SIGUSR1);
  CHECK(kill(getpid(), SIGUSR1) == 0);
  settle();
  CHECK(GET(handled) == 0);
  sigset_t pending;
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 1);
  CHECK(sigismember(&pending, SIGUSR2) == 0);
  pthread_t thread = start(unblock_and_wait, NULL);
  AWAIT(GET(handled) == 1);
  CHECK(pthread_equal(ran_in, thread));
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 0);
  SET(stop, 1);
  join(thread);
}

static void* pending_of_self(void* argument) {
  sigset_t pending;
  block(SIGUSR1);
  ADD(ready, 1);
  AWAIT(GET(stop));
  CHECK(sigpending(&pending) == 0);
  CHECK(sigismember(&pending, SIGUSR1) == (argument != NULL));
  unblock(SIGUSR1);
  return NULL;
}
PROMISE(pending_for_thread, "A signal pending for one thread is not seen by another") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t with = start(pending_of_self, (void*)1), without = start(pending_of_self, NULL);
  AWAIT(GET(ready) == 2);
  CHECK(pthread_kill(with, SIGUSR1) == 0);
  sigset_t pending;
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 0);
  SET(stop, 1);
  join(with);
  join(without);
  CHECK(handled == 1 && pthread_equal(ran_in, with));
}

static int is_blocked(int number) {
  sigset_t set;
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
  return sigismember(&set, number);
}
static void* own_mask(void* argument) {
  int odd = (int)(intptr_t)argument % 2;
  CHECK(is_blocked(SIGUSR2) && !is_blocked(SIGUSR1));  // inherited
  if (odd)
    block(SIGUSR1);
  else
    unblock(SIGUSR2);
  for (int i = 0; i < 10; i++) {
    sleep_ms(1);
    sched_yield();
    CHECK(is_blocked(SIGUSR1) == odd && is_blocked(SIGUSR2) == odd);
  }
  return NULL;
}
PROMISE(masks, "Masks are inherited at creation and then each thread's own, over waits too") {
  block(SIGUSR2);
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(own_mask, (void*)(intptr_t)i);
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(is_blocked(SIGUSR2) && !is_blocked(SIGUSR1));
  sigset_t set = set_of(SIGUSR1);
  CHECK(pthread_sigmask(99, &set, NULL) == EINVAL);
}

static void* queue_to_thread(void* argument) {
  ADD(ready, 1);
  return wait_for_stop(argument);
}
PROMISE(values, "pthread_sigqueue and sigqueue carry a value, a code and the sender") {
  handle_info(SIGUSR1);
  handle_info(SIGRTMIN);
  pthread_t thread = start(queue_to_thread, NULL);
  union sigval value = {.sival_int = 1234};
  CHECK(pthread_sigqueue(thread, SIGUSR1, value) == 0);
  AWAIT(GET(handled) == 1);
  CHECK(pthread_equal(ran_in, thread));
  CHECK(last_value == 1234 && last_code == SI_QUEUE && last_sender == getpid());
  value.sival_int = 99;
  CHECK(sigqueue(getpid(), SIGRTMIN, value) == 0);
  AWAIT(GET(handled) == 2);
  CHECK(last_value == 99 && last_code == SI_QUEUE);
  SET(stop, 1);
  join(thread);
}

PROMISE(values_from_outside, "What another process queues reaches threads that sleep, each value") {
  handle_info(SIGRTMIN);
  pthread_t thread = start(wait_for_stop, NULL);
  pid_t parent = getpid();
  int answer[2];
  NEED(pipe(answer));
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    char byte;
    for (int i = 1; i <= 20; i++) {
      union sigval value = {.sival_int = i};
      NEED(sigqueue(parent, SIGRTMIN, value));
      NEED(read(answer[0], &byte, 1));
    }
    _exit(0);
  }
  for (int i = 1; i <= 20; i++) {
    AWAIT(GET(handled) == i);
    CHECK(last_value == i && last_code == SI_QUEUE && last_sender == child);
    NEED(write(answer[1], "", 1));
  }
  CHECK(status_of(child) == 0);
  SET(stop, 1);
  join(thread);
}

static int order[16], order_count;
static void note_order(int number, siginfo_t* info, void* context) {
  (void)number, (void)context;
  order[order_count++] = info->si_value.sival_int;
}
static void* queue_yourself(void* argument) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = note_order;
  action.sa_flags = SA_SIGINFO;
  sigfillset(&action.sa_mask);
  NEED(sigaction(SIGRTMIN, &action, NULL));
  NEED(sigaction(SIGRTMIN + 1, &action, NULL));
  block(SIGRTMIN);
  block(SIGRTMIN + 1);
  for (int i = 0; i < 4; i++) {
    union sigval value = {.sival_int = 10 + i};
    CHECK(pthread_sigqueue(pthread_self(), SIGRTMIN + 1, value) == 0);
    value.sival_int = i;
    CHECK(pthread_sigqueue(pthread_self(), SIGRTMIN, value) == 0);
  }
  sigset_t both = set_of(SIGRTMIN);
  sigaddset(&both, SIGRTMIN + 1);
  pthread_sigmask(SIG_UNBLOCK, &both, NULL);
  return argument;
}
PROMISE(real_time_order, "Queued real-time signals are handled lowest first, each in its order") {
  join(start(queue_yourself, NULL));
  CHECK(order_count == 8);
  for (int i = 0; i < order_count; i++) printf("%d ", order[i]);
  printf("\n");
}

static void* raise_here(void* argument) {
  CHECK(raise(SIGUSR1) == 0);
  CHECK(pthread_equal(ran_in, pthread_self()));
  CHECK(raise(SIGUSR1) == 0);
  return argument;
}
PROMISE(raising, "raise is handled in its own thread before it returns") {
  handle(SIGUSR1, note_signal, 0);
  join(start(raise_here, NULL));
  CHECK(handled == 2);
  raise(SIGUSR1);
  CHECK(handled == 3 && pthread_equal(ran_in, pthread_self()));
}

static void* write_to_nobody(void* argument) {
  int tube[2];
  NEED(pipe(tube));
  close(tube[0]);
  CHECK(write(tube[1], "x", 1) == -1 && errno == EPIPE);
  int pair[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  close(pair[0]);
  CHECK(send(pair[1], "x", 1, 0) == -1 && errno == EPIPE);
  CHECK(send(pair[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  return argument;
}
PROMISE(sigpipe, "SIGPIPE is handled in the thread that wrote, and the write gives EPIPE") {
  handle(SIGPIPE, note_signal, 0);
  pthread_t thread = start(write_to_nobody, NULL);
  join(thread);
  CHECK(handled == 2 && pthread_equal(ran_in, thread));
}
PROMISE_ENDING(sigpipe_kills, -SIGPIPE, "Without a handler SIGPIPE of a thread ends the process") {
  join(start(write_to_nobody, NULL));
}
PROMISE(sigpipe_ignored, "An ignored SIGPIPE leaves EPIPE to every thread") {
  signal(SIGPIPE, SIG_IGN);
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(write_to_nobody, NULL);
  for (int i = 0; i < 5; i++) join(threads[i]);
}

static void* end_quickly(void* argument) { return argument; }
PROMISE(many_signals, "A thousand signals to ten threads that come and go are harmless") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(wait_for_stop, NULL);
  for (int i = 0; i < 1000; i++) {
    pthread_kill(threads[i % 10], SIGUSR1);
    if (i % 20 == 0) join(start(end_quickly, NULL));
  }
  SET(stop, 1);
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(handled > 0);
}
