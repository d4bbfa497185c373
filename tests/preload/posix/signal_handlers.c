// What handlers may do and where they run: own stacks, jumps, faults, timers.
#include "check.h"

#include <setjmp.h>
#include <sys/time.h>
#include <ucontext.h>

static int handled, on_own_stack, ready, stop;
static pthread_t ran_in;
static void note_signal(int number) {
  (void)number;
  ran_in = pthread_self();
  ADD(handled, 1);
}

enum { own_stack_bytes = 64 << 10 };
static void note_stack(int number) {
  (void)number;
  stack_t now;
  char local;
  CHECK(sigaltstack(NULL, &now) == 0);
  if ((now.ss_flags & SS_ONSTACK) && &local >= (char*)now.ss_sp &&
      &local < (char*)now.ss_sp + now.ss_size)
    ADD(on_own_stack, 1);
  ADD(handled, 1);
}
static void* with_own_stack(void* argument) {
  stack_t own = {.ss_sp = malloc(own_stack_bytes), .ss_size = own_stack_bytes}, now;
  CHECK(sigaltstack(&own, NULL) == 0);
  for (int i = 0; i < 5; i++) {
    sleep_ms(1);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == own.ss_sp && now.ss_flags == 0);
  }
  own.ss_flags = SS_DISABLE;
  CHECK(sigaltstack(&own, NULL) == 0);
  free(own.ss_sp);
  return argument;
}
PROMISE(own_stacks, "Ten threads handle signals each on the stack of its own sigaltstack") {
  handle(SIGUSR1, note_stack, SA_ONSTACK);
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(with_own_stack, NULL);
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(handled == 50 && on_own_stack == 50);
}
static void* no_own_stack(void* argument) {
  stack_t now;
  CHECK(sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE));
  raise(SIGUSR1);
  return argument;
}
PROMISE(own_stack_is_not_inherited, "A new thread has no signal stack of its own") {
  stack_t own = {.ss_sp = malloc(own_stack_bytes), .ss_size = own_stack_bytes};
  CHECK(sigaltstack(&own, NULL) == 0);
  handle(SIGUSR1, note_stack, SA_ONSTACK);
  join(start(no_own_stack, NULL));
  CHECK(handled == 1 && on_own_stack == 0);
}

static __thread sigjmp_buf jump;
static void jump_out(int number) { siglongjmp(jump, number); }
static void* jump_often(void* argument) {
  volatile int jumps = 0;
  while (jumps < 20) {
    int number = sigsetjmp(jump, 1);
    if (number != 0) {
      CHECK(number == SIGUSR1);
      jumps++;
      sigset_t now;
      pthread_sigmask(SIG_BLOCK, NULL, &now);
      CHECK(sigismember(&now, SIGUSR1) == 0);
      continue;
    }
    sleep_ms(1);
    raise(SIGUSR1);
    CHECK(!"raise does not return");
  }
  return argument;
}
PROMISE(jumps, "siglongjmp leaves a handler, in several threads, and restores the mask") {
  handle(SIGUSR1, jump_out, 0);
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(jump_often, NULL);
  for (int i = 0; i < 5; i++) join(threads[i]);
}

static void* jump_out_of_a_wait(void* argument) {
  int tube[2];
  char byte;
  NEED(pipe(tube));
  if (sigsetjmp(jump, 1) == 0) {
    SET(ready, 1);
    for (;;) NEED(read(tube[0], &byte, 1));
  }
  sleep_ms(2);  // and the thread is as good as new
  SET(stop, 1);
  return argument;
}
PROMISE(jump_from_a_wait, "siglongjmp leaves a blocked read for good") {
  handle(SIGUSR1, jump_out, SA_RESTART);
  pthread_t thread = start(jump_out_of_a_wait, (void*)6);
  AWAIT(GET(ready));
  settle();
  pthread_kill(thread, SIGUSR1);
  CHECK(join_int(thread) == 6);
  join(start(jump_often, NULL));
}

static char* fault_page;
static void repair_page(int number, siginfo_t* info, void* context) {
  (void)context;
  CHECK(number == SIGSEGV);
  CHECK(info->si_addr == fault_page + 100 && info->si_code == SEGV_ACCERR);
  ran_in = pthread_self();
  ADD(handled, 1);
  NEED(mprotect(fault_page, 4096, PROT_READ | PROT_WRITE));
}
static void* touch_page(void* argument) {
  fault_page[100] = 7;
  CHECK(fault_page[100] == 7);
  return argument;
}
PROMISE(faults,
        "A SIGSEGV handler gets the address in the thread that faulted, and can repair it") {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = repair_page;
  action.sa_flags = SA_SIGINFO;
  NEED(sigaction(SIGSEGV, &action, NULL));
  fault_page = (char*)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 1; i <= 5; i++) {
    NEED(mprotect(fault_page, 4096, PROT_NONE));
    pthread_t thread = start(touch_page, NULL);
    join(thread);
    CHECK(handled == i && pthread_equal(ran_in, thread));
  }
}
static void* fault_and_jump(void* argument) {
  volatile int faults = 0;
  while (faults < 10) {
    if (sigsetjmp(jump, 1) == 0) *(volatile int*)argument = 1;
    faults++;
    sleep_ms(1);
  }
  return NULL;
}
PROMISE(faults_and_jumps, "Threads jump out of their own faults") {
  handle(SIGSEGV, jump_out, 0);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(fault_and_jump, (void*)16);
  for (int i = 0; i < 4; i++) join(threads[i]);
}
static __attribute__((noinline)) long overflow(long depth) {
  volatile char frame[4096];
  frame[depth % 4096] = 1;
  return depth > (1 << 30) ? 0 : overflow(depth + 1) + frame[depth % 4096];
}
static void* overflow_and_jump(void* argument) {
  stack_t own = {.ss_sp = malloc(own_stack_bytes), .ss_size = own_stack_bytes};
  CHECK(sigaltstack(&own, NULL) == 0);
  if (sigsetjmp(jump, 1) == 0) CHECK(overflow(0) == -1);
  own.ss_flags = SS_DISABLE;
  CHECK(sigaltstack(&own, NULL) == 0);
  return argument;
}
PROMISE(stack_overflow, "A stack overflow in a thread is handled on its own signal stack") {
  handle(SIGSEGV, jump_out, SA_ONSTACK);
  CHECK(join_int(start(overflow_and_jump, (void*)8)) == 8);
}

static void* spin_until_handled(void* argument) {
  ADD(ready, 1);
  while (GET(handled) < 3) continue;
  return argument;
}
PROMISE(interval_timer, "setitimer's signals come to a process whose threads compute or wait") {
  handle(SIGALRM, note_signal, SA_RESTART);
  struct itimerval every = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
  pthread_t one = start(spin_until_handled, NULL), two = start(spin_until_handled, NULL);
  CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
  join(one);
  join(two);
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  CHECK(handled >= 3);
}
PROMISE(alarm_ends_a_wait, "alarm interrupts a main that is blocked in read") {
  int tube[2];
  char byte;
  NEED(pipe(tube));
  handle(SIGALRM, note_signal, 0);
  struct itimerval once = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &once, NULL);
  CHECK(read(tube[0], &byte, 1) == -1 && errno == EINTR);
  setitimer(ITIMER_REAL, &never, NULL);
  CHECK(handled > 0 && pthread_equal(ran_in, pthread_self()));
}
PROMISE(alarm_returns_the_rest, "alarm returns the seconds that were left") {
  CHECK(alarm(100) == 0);
  unsigned left = alarm(0);
  CHECK(left == 100 || left == 99);
  CHECK(alarm(0) == 0);
}
PROMISE(virtual_timer, "A timer of the process's computing time fires while threads compute") {
  handle(SIGVTALRM, note_signal, SA_RESTART);
  struct itimerval every = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_VIRTUAL, &every, NULL) == 0);
  join(start(spin_until_handled, NULL));
  CHECK(setitimer(ITIMER_VIRTUAL, &never, NULL) == 0);
}

static sem_t fired;
static int value_seen, was_main;
static pthread_t of_main;
static void timer_thread(union sigval value) {
  value_seen = value.sival_int;
  if (pthread_equal(pthread_self(), of_main)) was_main = 1;
  sleep_ms(1);  // it is a thread: it may wait
  sem_post(&fired);
}
PROMISE(timer_threads, "A SIGEV_THREAD timer runs its function in a thread, as often as it fires") {
  sem_init(&fired, 0, 0);
  of_main = pthread_self();
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = timer_thread;
  event.sigev_value.sival_int = 55;
  timer_t timer;
  NEED(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec every = {from_ms(5), from_ms(5)};
  CHECK(timer_settime(timer, 0, &every, NULL) == 0);
  for (int i = 0; i < 5; i++) CHECK(sem_wait(&fired) == 0);
  CHECK(timer_delete(timer) == 0);
  CHECK(value_seen == 55 && !was_main);
}
PROMISE(timer_signals, "A SIGEV_SIGNAL timer sends its signal, and SIGEV_THREAD_ID to one thread") {
  handle(SIGUSR1, note_signal, SA_RESTART);
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  timer_t timer;
  NEED(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec once = {from_ms(0), from_ms(5)};
  CHECK(timer_settime(timer, 0, &once, NULL) == 0);
  AWAIT(GET(handled) == 1);
  CHECK(timer_delete(timer) == 0);
}

static void sleep_in_handler(int number) {
  (void)number;
  sleep_ms(5);
  ADD(handled, 1);
}
static void* signal_yourself(void* argument) {
  for (int i = 0; i < 5; i++) raise(SIGUSR1);
  return argument;
}
PROMISE(waiting_handlers, "Handlers that sleep do not stop other threads or each other") {
  handle(SIGUSR1, sleep_in_handler, 0);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(signal_yourself, NULL);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(handled == 40);
}

static void nested(int number) {
  ADD(handled, 1);
  if (number == SIGUSR1) {
    raise(SIGUSR2);
    CHECK(GET(handled) == 2);
  }
}
PROMISE(nesting, "A handler is interrupted by another signal but not by its own") {
  handle(SIGUSR1, nested, 0);
  handle(SIGUSR2, nested, 0);
  raise(SIGUSR1);
  CHECK(handled == 2);
}
PROMISE(reset_after_one,
        "SA_RESETHAND resets the action before the handler runs, SA_NODEFER leaves it open") {
  handle(SIGUSR1, note_signal, (int)(SA_RESETHAND | SA_NODEFER));
  raise(SIGUSR1);
  struct sigaction now;
  CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
}
