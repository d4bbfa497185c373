// Mutexes: what each kind answers, time limits, and exclusion under contention.
#include "check.h"

static pthread_mutex_t mutex;
static void make(int type, int protocol) {
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, type) == 0);
  CHECK(pthread_mutexattr_setprotocol(&attributes, protocol) == 0);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  CHECK(pthread_mutexattr_destroy(&attributes) == 0);
}

static void* try_it(void* argument) {
  return (void*)(intptr_t)(pthread_mutex_trylock(&mutex) + (argument != NULL));
}
static int tried_elsewhere(void) { return join_int(start(try_it, NULL)); }
static void* unlock_it(void* argument) {
  return (void*)(intptr_t)(pthread_mutex_unlock(&mutex) + (argument != NULL));
}

PROMISE(normal, "A normal mutex excludes, and trylock of a held one is EBUSY for its owner too") {
  make(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  CHECK(tried_elsewhere() == EBUSY);
  CHECK(pthread_mutex_destroy(&mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(tried_elsewhere() == 0);
}

PROMISE(recursive, "A recursive mutex is free after as many unlocks as locks") {
  make(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE);
  for (int i = 0; i < 5; i++) CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == 0);
  for (int i = 0; i < 5; i++) {
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(tried_elsewhere() == EBUSY);
  }
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == EPERM);
  CHECK(tried_elsewhere() == 0);
}

PROMISE(errorcheck, "An error-checking mutex answers EDEADLK and EPERM") {
  make(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE);
  CHECK(pthread_mutex_unlock(&mutex) == EPERM);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  struct timespec time = in_ms(CLOCK_REALTIME, 10);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == EDEADLK);
  CHECK(join_int(start(unlock_it, NULL)) == EPERM);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}

static void* recursive_owner(void* argument) {
  for (int i = 0; i < 3; i++) CHECK(pthread_mutex_lock(&mutex) == 0);
  sleep_ms(3);  // ownership is the thread's, wherever it runs after the wait
  for (int i = 0; i < 3; i++) CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}
PROMISE(ownership_over_waits, "The owner of a recursive mutex stays the owner over its waits") {
  make(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE);
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(recursive_owner, NULL);
  for (int i = 0; i < 10; i++) join(threads[i]);
}

static void* time_out(void* argument) {
  int64_t began = now_ms();
  struct timespec time = in_ms(CLOCK_REALTIME, 20);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == ETIMEDOUT);
  CHECK(now_ms() - began >= 18);
  time = in_ms(CLOCK_MONOTONIC, 20);
  CHECK(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
  time = in_ms(CLOCK_REALTIME, 5);
  CHECK(pthread_mutex_clocklock(&mutex, CLOCK_REALTIME, &time) == ETIMEDOUT);
  CHECK(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &time) == EINVAL);
  time = in_ms(CLOCK_REALTIME, -100);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == ETIMEDOUT);
  time.tv_nsec = -1;
  CHECK(pthread_mutex_timedlock(&mutex, &time) == EINVAL);
  return argument;
}
static void times_out(int type, int protocol) {
  make(type, protocol);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  join(start(time_out, NULL));
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  struct timespec time = in_ms(CLOCK_REALTIME, -100);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == 0);  // free: the time does not matter
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
PROMISE(timed, "A timed lock of a held mutex ends with ETIMEDOUT on either clock") {
  times_out(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
}
PROMISE(timed_recursive, "A timed lock of another's recursive mutex ends with ETIMEDOUT") {
  times_out(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE);
}
PROMISE(timed_adaptive, "A timed lock of a held adaptive mutex ends with ETIMEDOUT") {
  times_out(PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_PRIO_NONE);
}

static void* timed_and_got(void* argument) {
  struct timespec time = in_ms(CLOCK_REALTIME, patience_ms);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}
PROMISE(timed_gets_it, "A timed lock gets the mutex as soon as it is unlocked") {
  make(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  pthread_mutex_lock(&mutex);
  int64_t began = now_ms();
  pthread_t thread = start(timed_and_got, NULL);
  settle();
  pthread_mutex_unlock(&mutex);
  join(thread);
  CHECK(now_ms() - began < patience_ms);
}

// Contention: a plain counter that only the mutex guards; every third lock holds it over a wait.
enum { contenders = 8, turns = 300 };
static long counter;
static int inside;
static void* contend(void* argument) {
  intptr_t own = (intptr_t)argument;
  for (int i = 0; i < turns; i++) {
    if (i % 7 == 3)
      while (pthread_mutex_trylock(&mutex) != 0) sched_yield();
    else
      CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(ADD(inside, 1) == 1);
    long old = counter;
    if ((i + own) % 50 == 0) sleep_ms(1);
    if ((i + own) % 10 == 0) sched_yield();
    counter = old + 1;
    ADD(inside, -1);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  return NULL;
}
static void contended(int type, int protocol) {
  make(type, protocol);
  pthread_t threads[contenders];
  for (int i = 0; i < contenders; i++) threads[i] = start(contend, (void*)(intptr_t)i);
  for (int i = 0; i < contenders; i++) join(threads[i]);
  CHECK(counter == contenders * turns);
  CHECK(pthread_mutex_destroy(&mutex) == 0);
}
PROMISE(contended_normal, "A normal mutex excludes eight threads that wait inside") {
  contended(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
}
PROMISE(contended_recursive, "A recursive mutex excludes eight threads") {
  contended(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE);
}
PROMISE(contended_errorcheck, "An error-checking mutex excludes eight threads") {
  contended(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE);
}
PROMISE(contended_adaptive, "An adaptive mutex excludes eight threads") {
  contended(PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_PRIO_NONE);
}
PROMISE(contended_inherit, "A priority-inheriting mutex excludes eight threads") {
  contended(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT);
}

static void* lock_and_exit(void* argument) {
  pthread_mutex_lock(&mutex);
  return argument;
}
PROMISE(inherit, "A priority-inheriting mutex answers EBUSY, EPERM and EDEADLK like the others") {
  make(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
  CHECK(tried_elsewhere() == EBUSY);
  CHECK(join_int(start(unlock_it, NULL)) == EPERM);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}

PROMISE(left_locked, "A mutex whose owner ended stays locked") {
  make(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  join(start(lock_and_exit, NULL));
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
}

static pthread_mutex_t by_initialiser = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t by_recursive_initialiser = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t by_checking_initialiser = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
PROMISE(initialisers, "Statically initialised mutexes are of their kind") {
  CHECK(pthread_mutex_lock(&by_initialiser) == 0);
  CHECK(pthread_mutex_trylock(&by_initialiser) == EBUSY);
  CHECK(pthread_mutex_lock(&by_recursive_initialiser) == 0);
  CHECK(pthread_mutex_trylock(&by_recursive_initialiser) == 0);
  CHECK(pthread_mutex_lock(&by_checking_initialiser) == 0);
  CHECK(pthread_mutex_lock(&by_checking_initialiser) == EDEADLK);
}

// Two threads hand a baton on: each waits until the other has unlocked.
static pthread_mutex_t left, right;
static void* hand_over(void* argument) {
  for (int i = 0; i < 500; i++) {
    pthread_mutex_lock(&left);
    pthread_mutex_unlock(&left);
    pthread_mutex_lock(&right);
    counter++;
    pthread_mutex_unlock(&right);
  }
  return argument;
}
PROMISE(freed_after_unlock, "A mutex may be destroyed and its memory reused once it is unlocked") {
  pthread_mutex_init(&left, NULL);
  pthread_mutex_init(&right, NULL);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(hand_over, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
  CHECK(counter == 2000);
  for (int i = 0; i < 200; i++) {
    pthread_mutex_t* fresh = (pthread_mutex_t*)malloc(sizeof *fresh);
    pthread_mutex_init(fresh, NULL);
    pthread_mutex_lock(fresh);
    pthread_mutex_unlock(fresh);
    CHECK(pthread_mutex_destroy(fresh) == 0);
    memset(fresh, 0xff, sizeof *fresh);
    free(fresh);
  }
}
