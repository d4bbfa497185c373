// How a process ends while it has threads: exit, return, pthread_exit in main, signals, exec.
#include "check.h"

static void say_at_exit(void) { puts("the atexit handler ran"); }

static void* finish_later(void* argument) {
  sleep_ms(20);
  puts("a thread finished after main had gone");
  return argument;
}
PROMISE_ENDING(main_exits_alone, 0, "After pthread_exit in main the other threads run on, then 0") {
  atexit(say_at_exit);
  start(finish_later, NULL);
  pthread_exit((void*)5);
}

PROMISE_ENDING(main_exits_last, 0, "pthread_exit in main as the last thread ends with 0") {
  atexit(say_at_exit);
  join(start(finish_later, NULL));
  pthread_exit(NULL);
}

static void* main_is_joined(void* argument) {
  void* result;
  CHECK(pthread_join(*(pthread_t*)argument, &result) == 0);
  CHECK(result == (void*)5);
  printf("main was joined: %s\n", was_broken ? "wrong" : "right");
  exit(4);
}
PROMISE_ENDING(main_is_joinable, 4, "The result of main's pthread_exit can be joined") {
  static pthread_t self;
  self = pthread_self();
  start(main_is_joined, &self);
  pthread_exit((void*)5);
}

static pthread_key_t key;
static void key_destructor(void* value) {
  (void)value;
  puts("main's key destructor ran");
}
PROMISE_ENDING(main_has_keys, 0,
               "pthread_exit in main runs its cleanup handlers and key destructors") {
  pthread_key_create(&key, key_destructor);
  pthread_setspecific(key, "x");
  start(finish_later, NULL);
  pthread_exit(NULL);
}

static void* exit_now(void* argument) {
  settle();
  exit((int)(intptr_t)argument);
}
static void* block_for_ever(void* argument) {
  int tube[2];
  char byte;
  NEED(pipe(tube));
  NEED(read(tube[0], &byte, 1));
  return argument;
}
static void* compute_for_ever(void* argument) {
  for (volatile unsigned long i = 0;; i++) continue;
  return argument;
}
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void* lock_for_ever(void* argument) {
  pthread_mutex_lock(&mutex);
  return argument;
}
PROMISE_ENDING(exit_in_a_thread, 21,
               "exit() in a thread ends the process while others are blocked") {
  atexit(say_at_exit);
  pthread_mutex_lock(&mutex);
  start(block_for_ever, NULL);
  start(lock_for_ever, NULL);
  join(start(exit_now, (void*)21));
}

PROMISE_ENDING(exit_beside_computing, 22,
               "exit() in a thread ends the process while others compute") {
  atexit(say_at_exit);
  start(compute_for_ever, NULL);
  start(compute_for_ever, NULL);
  start(compute_for_ever, NULL);
  join(start(exit_now, (void*)22));
}

PROMISE_ENDING(exit_while_main_computes, 23,
               "exit() in a thread ends a process whose main computes") {
  start(exit_now, (void*)23);
  compute_for_ever(NULL);
}

static void* quick_exit_now(void* argument) {
  settle();
  _exit((int)(intptr_t)argument);
}
PROMISE_ENDING(quick_exit_in_a_thread, 24,
               "_exit() in a thread ends the process, with no handlers") {
  atexit(say_at_exit);
  start(block_for_ever, NULL);
  join(start(quick_exit_now, (void*)24));
}

PROMISE_ENDING(main_returns, 0, "When main returns, detached and blocked threads end with it") {
  atexit(say_at_exit);
  pthread_detach(start(block_for_ever, NULL));
  pthread_detach(start(compute_for_ever, NULL));
  settle();
}

static void* wait_in_atexit(void* argument) {
  sleep_ms(10);
  return argument;
}
static void threads_at_exit(void) {
  join(start(wait_in_atexit, NULL));
  puts("a thread ran in an atexit handler");
}
PROMISE_ENDING(threads_in_atexit, 0, "Threads can be started and joined in an atexit handler") {
  atexit(threads_at_exit);
}

__attribute__((destructor)) static void say_in_destructor(void) {
  if (GET(was_broken) == 77) puts("the destructor function ran");
}
PROMISE_ENDING(destructor_functions, 9, "Destructor functions run when a thread calls exit") {
  atexit(say_at_exit);
  SET(was_broken, 77);
  start(exit_now, (void*)9);
  for (;;) pause();
}

static void* buffered_output(void* argument) {
  printf("buffered text without a newline");
  return argument;
}
PROMISE_ENDING(stdio_is_flushed, 0, "Output that threads buffered is written at exit") {
  setvbuf(stdout, NULL, _IOFBF, 4096);
  join(start(buffered_output, NULL));
  exit(0);
}

static void* terminate(void* argument) {
  settle();
  kill(getpid(), (int)(intptr_t)argument);
  return argument;
}
PROMISE_ENDING(ended_by_sigterm, -SIGTERM, "SIGTERM's default action ends a process with threads") {
  start(block_for_ever, NULL);
  start(terminate, (void*)SIGTERM);
  join(start(block_for_ever, NULL));
}
PROMISE_ENDING(ended_by_sigkill, -SIGKILL, "SIGKILL ends a process with threads") {
  start(block_for_ever, NULL);
  start(terminate, (void*)SIGKILL);
  for (;;) pause();
}
static void* raise_in_thread(void* argument) {
  raise((int)(intptr_t)argument);
  return argument;
}
PROMISE_ENDING(ended_by_raise, -SIGUSR1,
               "A raised signal without a handler ends the whole process") {
  start(block_for_ever, NULL);
  join(start(raise_in_thread, (void*)SIGUSR1));
  puts("never said");
}
static void* aborts(void* argument) {
  abort();
  return argument;
}
PROMISE_ENDING(ended_by_abort, -SIGABRT, "abort() in a thread ends the process by SIGABRT") {
  start(block_for_ever, NULL);
  join(start(aborts, NULL));
}
static void* divide_nothing(void* argument) {
  *(volatile int*)argument = 1;
  return argument;
}
PROMISE_ENDING(ended_by_sigsegv, -SIGSEGV, "A wild write in a thread ends the process by SIGSEGV") {
  start(block_for_ever, NULL);
  join(start(divide_nothing, (void*)8));
}

static void* kill_thread(void* argument) {
  pthread_kill(*(pthread_t*)argument, SIGTERM);
  return NULL;
}
static void send_to_thread_that_blocks(void* (*wait)(void*)) {
  static pthread_t blocked;
  blocked = start(wait, NULL);
  settle();
  start(kill_thread, &blocked);
  join(blocked);
}
PROMISE_ENDING(thread_signal_ends_all, -SIGTERM,
               "SIGTERM sent to one thread ends the whole process") {
  send_to_thread_that_blocks(block_for_ever);
}

static void* block_with_signal_let_in(void* argument) {
  unblock(SIGTERM);
  return block_for_ever(argument);
}
PROMISE_ENDING(thread_signal_ends_blockers, -SIGTERM,
               "SIGTERM sent to one thread ends the process although all others block it") {
  block(SIGTERM);
  send_to_thread_that_blocks(block_with_signal_let_in);
}

static void* let_signal_in_late(void* argument) {
  block(SIGTERM);
  pthread_kill(pthread_self(), SIGTERM);
  puts("not yet");
  fflush(stdout);
  unblock(SIGTERM);
  puts("never said");
  return argument;
}
PROMISE_ENDING(blocked_thread_signal_ends_all, -SIGTERM,
               "SIGTERM sent to a thread that blocks it ends the process when it is let in") {
  join(start(let_signal_in_late, NULL));
}

PROMISE(exit_codes, "Children that end in threads give their exit codes to the parent") {
  for (int code = 0; code < 256; code += 51) {
    pid_t child = (pid_t)NEED(fork());
    if (child == 0) {
      start(quick_exit_now, (void*)(intptr_t)code);
      for (;;) pause();
    }
    CHECK(status_of(child) == code);
  }
}
