// Robust mutexes whose owner dies, and mutexes that processes share.
#include "check.h"

static pthread_mutex_t* mutex;
static void make(int robust, int shared, int type, int protocol) {
  pthread_mutexattr_t attributes;
  mutex = (pthread_mutex_t*)shared_memory(sizeof *mutex);
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, type) == 0);
  CHECK(pthread_mutexattr_setprotocol(&attributes, protocol) == 0);
  if (robust) CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
  if (shared) CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_mutex_init(mutex, &attributes) == 0);
}

static void* lock_and_end(void* argument) {
  CHECK(pthread_mutex_lock(mutex) == 0);
  return argument;
}
static void* try_it(void* argument) {
  int error = pthread_mutex_trylock(mutex);
  if (error == 0) pthread_mutex_unlock(mutex);
  return (void*)(intptr_t)(error + (argument != NULL));
}
static void owner_dies(int type, int protocol) {
  make(1, 0, type, protocol);
  for (int i = 0; i < 5; i++) {
    join(start(lock_and_end, NULL));
    CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(mutex) == 0);
    CHECK(join_int(start(try_it, NULL)) == EBUSY);
    CHECK(pthread_mutex_unlock(mutex) == 0);
    CHECK(join_int(start(try_it, NULL)) == 0);
  }
}
PROMISE(owner_dead, "The next owner of a robust mutex gets EOWNERDEAD and makes it consistent") {
  owner_dies(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
}
PROMISE(owner_dead_recursive, "A robust recursive mutex gives EOWNERDEAD too") {
  owner_dies(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE);
}
PROMISE(owner_dead_inherit, "A robust priority-inheriting mutex gives EOWNERDEAD too") {
  owner_dies(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT);
}

PROMISE(not_recoverable, "A robust mutex that nobody made consistent is ENOTRECOVERABLE") {
  make(1, 0, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  join(start(lock_and_end, NULL));
  CHECK(pthread_mutex_trylock(mutex) == EOWNERDEAD);
  CHECK(pthread_mutex_unlock(mutex) == 0);
  CHECK(pthread_mutex_lock(mutex) == ENOTRECOVERABLE);
  CHECK(pthread_mutex_trylock(mutex) == ENOTRECOVERABLE);
  CHECK(pthread_mutex_destroy(mutex) == 0);
}

static int locked;
static void* lock_then_end_when_told(void* argument) {
  CHECK(pthread_mutex_lock(mutex) == 0);
  SET(locked, 1);
  sem_wait((sem_t*)argument);
  return NULL;
}
static void* wait_for_it(void* argument) {
  int error = pthread_mutex_lock(mutex);
  if (error == EOWNERDEAD) {
    pthread_mutex_consistent(mutex);
    pthread_mutex_unlock(mutex);
  }
  return (void*)(intptr_t)(error + (argument != NULL));
}
PROMISE(waiter_of_dead_owner, "A thread that already waits for a robust mutex gets EOWNERDEAD") {
  make(1, 0, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t owner = start(lock_then_end_when_told, &semaphore);
  AWAIT(GET(locked));
  pthread_t waiter = start(wait_for_it, NULL);
  settle();
  sem_post(&semaphore);
  CHECK(join_int(waiter) == EOWNERDEAD);
  join(owner);
}

PROMISE(cancelled_owner, "A robust mutex is given up by a cancelled owner") {
  make(1, 0, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  sem_t never;
  sem_init(&never, 0, 0);
  pthread_t owner = start(lock_then_end_when_told, &never);
  AWAIT(GET(locked));
  pthread_cancel(owner);
  CHECK(join(owner) == PTHREAD_CANCELED);
  CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD);
}

static void* lock_several(void* argument) {
  pthread_mutex_t* all = (pthread_mutex_t*)argument;
  for (int i = 0; i < 5; i++) CHECK(pthread_mutex_lock(&all[i]) == 0);
  pthread_mutex_unlock(&all[2]);
  return NULL;
}
PROMISE(several, "A dying thread gives up every robust mutex that it held, and no other") {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_t all[5];
  for (int i = 0; i < 5; i++) pthread_mutex_init(&all[i], &attributes);
  join(start(lock_several, all));
  for (int i = 0; i < 5; i++) CHECK(pthread_mutex_trylock(&all[i]) == (i == 2 ? 0 : EOWNERDEAD));
}

enum { processes = 4, turns = 300 };
static long* shared_counter;
static void* count_shared(void* argument) {
  for (int i = 0; i < turns; i++) {
    CHECK(pthread_mutex_lock(mutex) == 0);
    long old = *shared_counter;
    if (i % 50 == 0) sleep_ms(1);
    if (i % 10 == 0) sched_yield();
    *shared_counter = old + 1;
    CHECK(pthread_mutex_unlock(mutex) == 0);
  }
  return argument;
}
static void between_processes(int robust, int protocol) {
  make(robust, 1, PTHREAD_MUTEX_NORMAL, protocol);
  shared_counter = (long*)shared_memory(sizeof *shared_counter);
  pid_t children[processes];
  for (int i = 0; i < processes; i++) {
    children[i] = (pid_t)NEED(fork());
    if (children[i] == 0) {
      pthread_t threads[2];
      for (int k = 0; k < 2; k++) threads[k] = start(count_shared, NULL);
      for (int k = 0; k < 2; k++) join(threads[k]);
      FINISH_CHILD();
    }
  }
  for (int i = 0; i < processes; i++) CHECK(status_of(children[i]) == 0);
  CHECK(*shared_counter == processes * 2 * turns);
}
PROMISE(shared, "A process-shared mutex excludes the threads of four processes") {
  between_processes(0, PTHREAD_PRIO_NONE);
}
PROMISE(shared_robust, "A process-shared robust mutex excludes the threads of four processes") {
  between_processes(1, PTHREAD_PRIO_NONE);
}
PROMISE(shared_inherit, "A process-shared priority-inheriting mutex excludes four processes") {
  between_processes(0, PTHREAD_PRIO_INHERIT);
}

PROMISE(process_dies, "A robust mutex gives EOWNERDEAD when the process of its owner was killed") {
  make(1, 1, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  int* has_it = (int*)shared_memory(sizeof *has_it);
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    pthread_mutex_lock(mutex);
    SET(*has_it, 1);
    for (;;) pause();
  }
  AWAIT(GET(*has_it));
  pthread_t waiter = start(wait_for_it, NULL);
  settle();
  kill(child, SIGKILL);
  CHECK(status_of(child) == -SIGKILL);
  CHECK(join_int(waiter) == EOWNERDEAD);
  CHECK(pthread_mutex_trylock(mutex) == 0);
}

PROMISE(thread_of_child_dies, "A robust mutex is given up by a thread of a child that ends") {
  make(1, 1, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE);
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    join(start(lock_and_end, NULL));
    FINISH_CHILD();
  }
  CHECK(status_of(child) == 0);
  CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD);
  CHECK(pthread_mutex_consistent(mutex) == 0);
  CHECK(pthread_mutex_unlock(mutex) == 0);
}
