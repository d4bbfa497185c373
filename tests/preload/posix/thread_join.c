// join and detach: who may, how long they wait, which errors they give.
#include "check.h"

static void* return_argument(void* argument) { return argument; }
static void* wait_for(void* argument) {
  sem_wait((sem_t*)argument);
  return (void*)11;
}

static void* join_yourself(void* argument) {
  CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
  return argument;
}
PROMISE(self_join, "A thread that joins itself gets EDEADLK") {
  join(start(join_yourself, NULL));
  CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
}

PROMISE(detached_join, "Joining and detaching a detached thread is EINVAL") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(wait_for, &semaphore);
  CHECK(pthread_detach(thread) == 0);
  CHECK(pthread_join(thread, NULL) == EINVAL);
  CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);  // it runs: that is looked at first
  CHECK(pthread_detach(thread) == EINVAL);
}

static void* detach_yourself(void* argument) {
  CHECK(pthread_detach(pthread_self()) == 0);
  SET(*(int*)argument, 1);
  return NULL;
}
PROMISE(self_detach, "A thread may detach itself") {
  int done[50] = {0};
  for (int i = 0; i < 50; i++) start(detach_yourself, &done[i]);
  for (int i = 0; i < 50; i++) AWAIT(GET(done[i]));
}

PROMISE(detach_after_end, "A thread that has ended can be detached") {
  int done = 0;
  for (int i = 0; i < 50; i++) {
    pthread_t thread = start(return_argument, &done);
    if (i % 10 == 0) settle();
    CHECK(pthread_detach(thread) == 0);
  }
}

PROMISE(tryjoin, "pthread_tryjoin_np is EBUSY until the thread ends, then gives its result") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(wait_for, &semaphore);
  void* result = NULL;
  CHECK(pthread_tryjoin_np(thread, &result) == EBUSY);
  sem_post(&semaphore);
  int error;
  int64_t give_up = now_ms() + patience_ms;
  while ((error = pthread_tryjoin_np(thread, &result)) == EBUSY && now_ms() < give_up) sleep_ms(1);
  CHECK(error == 0);
  CHECK(result == (void*)11);
}

PROMISE(timedjoin, "pthread_timedjoin_np gives ETIMEDOUT, not too early, and can be tried again") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(wait_for, &semaphore);
  void* result = NULL;
  int64_t began = now_ms();
  struct timespec time = in_ms(CLOCK_REALTIME, 30);
  CHECK(pthread_timedjoin_np(thread, &result, &time) == ETIMEDOUT);
  CHECK(now_ms() - began >= 25);
  time = in_ms(CLOCK_REALTIME, -1000);
  CHECK(pthread_timedjoin_np(thread, &result, &time) == ETIMEDOUT);
  sem_post(&semaphore);
  time = in_ms(CLOCK_REALTIME, patience_ms);
  CHECK(pthread_timedjoin_np(thread, &result, &time) == 0);
  CHECK(result == (void*)11);
}

PROMISE(clockjoin, "pthread_clockjoin_np waits by the clock that it is given") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(wait_for, &semaphore);
  struct timespec time = in_ms(CLOCK_MONOTONIC, 20);
  CHECK(pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
  CHECK(pthread_clockjoin_np(thread, NULL, CLOCK_PROCESS_CPUTIME_ID, &time) == EINVAL);
  sem_post(&semaphore);
  time = in_ms(CLOCK_MONOTONIC, patience_ms);
  void* result = NULL;
  CHECK(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &time) == 0);
  CHECK(result == (void*)11);
}

static void* join_the_other(void* argument) { return join(*(pthread_t*)argument); }
PROMISE(join_in_a_thread, "A thread may join a thread that another one started") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t worker = start(wait_for, &semaphore);
  pthread_t joiner = start(join_the_other, &worker);
  settle();
  sem_post(&semaphore);
  CHECK(join_int(joiner) == 11);
}

static void* start_and_leave(void* argument) {
  pthread_t* grandchild = (pthread_t*)argument;
  static sem_t never;
  sem_init(&never, 0, 1);
  *grandchild = start(wait_for, &never);
  return NULL;
}
PROMISE(parents_may_end_first,
        "A thread outlives the one that started it and can be joined later") {
  pthread_t grandchild;
  join(start(start_and_leave, &grandchild));
  CHECK(join_int(grandchild) == 11);
}

static void* chain(void* argument) {
  intptr_t depth = (intptr_t)argument;
  if (depth == 0) return NULL;
  return (void*)((intptr_t)join(start(chain, (void*)(depth - 1))) + 1);
}
PROMISE(chains, "A chain of a hundred threads that join each other comes back") {
  CHECK(join_int(start(chain, (void*)100)) == 100);
}
