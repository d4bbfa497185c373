// When and where a cancellation acts: disabled and enabled, deferred and asynchronous, early and
// late; the order of cleanup handlers; calls that are no cancellation points.
#include "check.h"

static int stage, ran[8], ran_count;

static void note(void* argument) { ran[ran_count++] = (int)(intptr_t)argument; }

static void* disabled_until_told(void* argument) {
  int* go = (int*)argument;
  int old;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old) == 0);
  CHECK(old == PTHREAD_CANCEL_ENABLE);
  SET(stage, 1);
  while (!GET(*go)) sleep_ms(1);  // a cancellation point, were it enabled
  pthread_testcancel();
  SET(stage, 2);
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old) == 0);
  CHECK(old == PTHREAD_CANCEL_DISABLE);
  SET(stage, 3);
  pthread_testcancel();
  SET(stage, 4);
  return NULL;
}
PROMISE(disabled, "A disabled cancellation waits until it is enabled and a point is reached") {
  int go = 0;
  pthread_t thread = start(disabled_until_told, &go);
  AWAIT(GET(stage) == 1);
  CHECK(pthread_cancel(thread) == 0);
  settle();
  CHECK(GET(stage) == 1);
  SET(go, 1);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(stage == 3);
}

static void* disabled_in_a_wait(void* argument) {
  sem_t* semaphore = (sem_t*)argument;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  SET(stage, 1);
  CHECK(sem_wait(semaphore) == 0);
  return (void*)7;
}
PROMISE(disabled_wait_goes_on, "A wait goes on to its end if cancellation is disabled") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(disabled_in_a_wait, &semaphore);
  AWAIT(GET(stage) == 1);
  settle();
  pthread_cancel(thread);
  settle();
  CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);
  sem_post(&semaphore);
  CHECK(join_int(thread) == 7);
}

static void* compute_for_ever(void* argument) {
  (void)argument;
  int old;
  CHECK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0);
  CHECK(old == PTHREAD_CANCEL_DEFERRED);
  SET(stage, 1);
  for (volatile unsigned long i = 0;; i++) continue;
  return NULL;
}
PROMISE(asynchronous, "A computing thread ends by an asynchronous cancellation") {
  pthread_t thread = start(compute_for_ever, NULL);
  AWAIT(GET(stage) == 1);
  CHECK(pthread_cancel(thread) == 0);
  CHECK(join(thread) == PTHREAD_CANCELED);
}

static void* asynchronous_with_cleanup(void* argument) {
  pthread_cleanup_push(note, argument);
  compute_for_ever(NULL);
  pthread_cleanup_pop(0);
  return NULL;
}
PROMISE(asynchronous_cleanup, "Cleanup handlers run at an asynchronous cancellation") {
  pthread_t thread = start(asynchronous_with_cleanup, (void*)5);
  AWAIT(GET(stage) == 1);
  pthread_cancel(thread);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(ran_count == 1 && ran[0] == 5);
}

static void* test_for_ever(void* argument) {
  SET(stage, 1);
  for (;;) pthread_testcancel();
  return argument;
}
PROMISE(testcancel, "pthread_testcancel is a cancellation point of a computing thread") {
  pthread_t thread = start(test_for_ever, NULL);
  AWAIT(GET(stage) == 1);
  CHECK(pthread_cancel(thread) == 0);
  CHECK(join(thread) == PTHREAD_CANCELED);
}

static void* point_at_once(void* argument) {
  pthread_testcancel();
  return argument;
}
PROMISE(before_it_runs, "A thread that is cancelled at once ends at its first point or returns") {
  for (int i = 0; i < 200; i++) {
    pthread_t thread = start(point_at_once, (void*)7);
    CHECK(pthread_cancel(thread) == 0);
    void* result = join(thread);
    CHECK(result == PTHREAD_CANCELED || result == (void*)7);
  }
}

static void* cancel_yourself(void* argument) {
  CHECK(pthread_cancel(pthread_self()) == 0);
  SET(stage, 1);  // deferred: nothing happens before a cancellation point
  pthread_testcancel();
  return argument;
}
PROMISE(self, "A thread may cancel itself, and ends at its next cancellation point") {
  CHECK(join(start(cancel_yourself, NULL)) == PTHREAD_CANCELED);
  CHECK(stage == 1);
}

static void* cancel_yourself_before_a_sleep(void* argument) {
  pthread_cancel(pthread_self());
  sleep(60);
  return argument;
}
PROMISE(pending_before_a_point, "A pending cancellation acts in a call that would block") {
  int64_t began = now_ms();
  CHECK(join(start(cancel_yourself_before_a_sleep, NULL)) == PTHREAD_CANCELED);
  CHECK(now_ms() - began < 30000);
}

static void* pending_and_data(void* argument) {
  int* tube = (int*)argument;
  char byte;
  pthread_cancel(pthread_self());
  NEED(read(tube[0], &byte, 1));
  return NULL;
}
PROMISE(pending_and_ready, "A pending cancellation acts in a read that has data, and takes none") {
  int tube[2];
  NEED(pipe(tube));
  NEED(write(tube[1], "ab", 2));
  CHECK(join(start(pending_and_data, tube)) == PTHREAD_CANCELED);
  char bytes[4];
  CHECK(read(tube[0], bytes, sizeof bytes) == 2);
}

static void* nested_cleanups(void* argument) {
  pthread_cleanup_push(note, (void*)1);
  pthread_cleanup_push(note, (void*)2);
  pthread_cleanup_push(note, (void*)3);
  pthread_cleanup_pop(0);
  pthread_cleanup_push(note, (void*)4);
  pthread_cleanup_pop(1);
  SET(stage, 1);
  sleep(60);
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return argument;
}
PROMISE(order, "Cleanup handlers run last in, first out, and only those still pushed") {
  pthread_t thread = start(nested_cleanups, NULL);
  AWAIT(GET(stage) == 1);
  pthread_cancel(thread);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(ran_count == 3);
  CHECK(ran[0] == 4 && ran[1] == 2 && ran[2] == 1);
}

static void sleep_a_little(void* argument) {
  sleep_ms(5);  // cancellation is off while handlers run
  note(argument);
}
static void* blocking_cleanup(void* argument) {
  pthread_cleanup_push(sleep_a_little, (void*)1);
  pthread_cleanup_push(sleep_a_little, (void*)2);
  pthread_cancel(pthread_self());
  pthread_testcancel();
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return argument;
}
PROMISE(blocking_cleanup_handlers,
        "Cleanup handlers may block, and a second cancel changes nothing") {
  pthread_t thread = start(blocking_cleanup, NULL);
  pthread_cancel(thread);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(ran_count == 2);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void* lock_it(void* argument) {
  SET(stage, 1);
  pthread_mutex_lock(&mutex);
  SET(stage, 2);
  pthread_mutex_unlock(&mutex);
  pthread_testcancel();
  return argument;
}
PROMISE(mutex_is_no_point, "pthread_mutex_lock is no cancellation point") {
  pthread_mutex_lock(&mutex);
  pthread_t thread = start(lock_it, NULL);
  AWAIT(GET(stage) == 1);
  settle();
  pthread_cancel(thread);
  settle();
  CHECK(GET(stage) == 1);
  CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);
  pthread_mutex_unlock(&mutex);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(stage == 2);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static void* lock_and_meet(void* argument) {
  SET(stage, 1);
  pthread_rwlock_rdlock(&rwlock);
  pthread_rwlock_unlock(&rwlock);
  pthread_barrier_wait(&barrier);
  SET(stage, 2);
  pthread_testcancel();
  return argument;
}
PROMISE(rwlock_and_barrier_are_no_points, "rwlocks and barriers are no cancellation points") {
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_rwlock_wrlock(&rwlock);
  pthread_t thread = start(lock_and_meet, NULL);
  AWAIT(GET(stage) == 1);
  settle();
  pthread_cancel(thread);
  settle();
  CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);
  pthread_rwlock_unlock(&rwlock);
  pthread_barrier_wait(&barrier);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(stage == 2);
}

static void* return_at_once(void* argument) { return argument; }
PROMISE(after_its_end, "Cancelling a thread that has ended keeps its result") {
  pthread_t thread = start(return_at_once, (void*)3);
  while (pthread_kill(thread, 0) == 0 && !GET(stage)) {
    settle();
    SET(stage, 1);
  }
  CHECK(pthread_cancel(thread) == 0);
  CHECK(join(thread) == (void*)3);
}

static int cleanups;
static void count_cleanup(void* argument) { ADD(*(int*)argument, 1); }
static void* many_sleep(void* argument) {
  pthread_cleanup_push(count_cleanup, &cleanups);
  for (;;) sleep_ms(1 + (intptr_t)argument % 3);
  pthread_cleanup_pop(0);
  return NULL;
}
static void* cancel_them(void* argument) {
  pthread_t* threads = (pthread_t*)argument;
  for (int i = 0; i < 40; i++) pthread_cancel(threads[i]);
  return NULL;
}
PROMISE(many, "Forty threads cancelled by another all end as cancelled") {
  pthread_t threads[40];
  for (int i = 0; i < 40; i++) threads[i] = start(many_sleep, (void*)(intptr_t)i);
  join(start(cancel_them, threads));
  int cancelled = 0;
  for (int i = 0; i < 40; i++) cancelled += join(threads[i]) == PTHREAD_CANCELED;
  CHECK(cancelled == 40);
  CHECK(cleanups == 40);
}

static void* main_waits(void* argument) {
  pthread_t of_main = *(pthread_t*)argument;
  settle();
  CHECK(pthread_cancel(of_main) == 0);
  void* result;
  CHECK(pthread_join(of_main, &result) == 0);
  CHECK(result == PTHREAD_CANCELED);
  printf("main was cancelled and joined\n");
  exit(3);
}
PROMISE_ENDING(main_thread, 3, "The main thread can be cancelled and joined like any other") {
  static pthread_t of_main;
  of_main = pthread_self();
  start(main_waits, &of_main);
  for (;;) pause();
}

PROMISE(bad_arguments, "Unknown cancel states and types are EINVAL") {
  CHECK(pthread_setcancelstate(77, NULL) == EINVAL);
  CHECK(pthread_setcanceltype(77, NULL) == EINVAL);
}
