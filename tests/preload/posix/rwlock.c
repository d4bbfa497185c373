// Read-write locks: readers together, writers alone, time limits, errors, preference of writers.
#include "check.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t meeting;

static void* read_together(void* argument) {
  CHECK(pthread_rwlock_rdlock(&lock) == 0);
  pthread_barrier_wait(&meeting);  // passed only if all hold the lock at once
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  return argument;
}
PROMISE(readers_together, "Ten readers hold the lock at the same time") {
  pthread_barrier_init(&meeting, NULL, 10);
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(read_together, NULL);
  for (int i = 0; i < 10; i++) join(threads[i]);
}

static void* try_read(void* argument) {
  int error = pthread_rwlock_tryrdlock(&lock);
  if (error == 0) pthread_rwlock_unlock(&lock);
  return (void*)(intptr_t)(error + (argument != NULL));
}
static void* try_write(void* argument) {
  int error = pthread_rwlock_trywrlock(&lock);
  if (error == 0) pthread_rwlock_unlock(&lock);
  return (void*)(intptr_t)(error + (argument != NULL));
}
PROMISE(tries, "tryrdlock and trywrlock are EBUSY exactly when they must be") {
  CHECK(pthread_rwlock_rdlock(&lock) == 0);
  CHECK(join_int(start(try_read, NULL)) == 0);
  CHECK(join_int(start(try_write, NULL)) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  CHECK(pthread_rwlock_wrlock(&lock) == 0);
  CHECK(join_int(start(try_read, NULL)) == EBUSY);
  CHECK(join_int(start(try_write, NULL)) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  CHECK(join_int(start(try_write, NULL)) == 0);
}

static void* own_lock_again(void* argument) {
  CHECK(pthread_rwlock_wrlock(&lock) == 0);
  CHECK(pthread_rwlock_wrlock(&lock) == EDEADLK);
  CHECK(pthread_rwlock_rdlock(&lock) == EDEADLK);
  CHECK(pthread_rwlock_trywrlock(&lock) == EBUSY);
  sleep_ms(2);
  CHECK(pthread_rwlock_rdlock(&lock) == EDEADLK);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  CHECK(pthread_rwlock_rdlock(&lock) == 0);
  CHECK(pthread_rwlock_rdlock(&lock) == 0);  // readers may nest
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  return argument;
}
PROMISE(deadlock, "A writer that locks again gets EDEADLK; a reader may nest") {
  own_lock_again(NULL);
  join(start(own_lock_again, NULL));
}

static void* times_out(void* argument) {
  int64_t began = now_ms();
  struct timespec time = in_ms(CLOCK_REALTIME, 15);
  CHECK(pthread_rwlock_timedwrlock(&lock, &time) == ETIMEDOUT);
  CHECK(now_ms() - began >= 13);
  time = in_ms(CLOCK_MONOTONIC, 15);
  CHECK(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
  time = in_ms(CLOCK_REALTIME, 15);
  int expected = argument != NULL ? ETIMEDOUT : 0;
  CHECK(pthread_rwlock_timedrdlock(&lock, &time) == expected);
  if (expected == 0) pthread_rwlock_unlock(&lock);
  time = in_ms(CLOCK_MONOTONIC, 15);
  CHECK(pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &time) == expected);
  if (expected == 0) pthread_rwlock_unlock(&lock);
  time.tv_nsec = 1000000000;
  CHECK(pthread_rwlock_timedwrlock(&lock, &time) == EINVAL);
  CHECK(pthread_rwlock_clockwrlock(&lock, CLOCK_THREAD_CPUTIME_ID, &time) == EINVAL);
  return NULL;
}
PROMISE(timed, "Timed locks end with ETIMEDOUT on either clock while another holds the lock") {
  pthread_rwlock_wrlock(&lock);
  join(start(times_out, (void*)1));
  pthread_rwlock_unlock(&lock);
  pthread_rwlock_rdlock(&lock);
  join(start(times_out, NULL));
  pthread_rwlock_unlock(&lock);
  CHECK(join_int(start(try_write, NULL)) == 0);
}

enum { readers = 6, writers = 3, turns = 150 };
static long first, second;
static int readers_inside, writers_inside;
static void* read_often(void* argument) {
  for (int i = 0; i < turns; i++) {
    CHECK(pthread_rwlock_rdlock(&lock) == 0);
    ADD(readers_inside, 1);
    CHECK(GET(writers_inside) == 0);
    long before = first;
    if (i % 20 == 0) sleep_ms(1);
    CHECK(before == second);
    ADD(readers_inside, -1);
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    if (i % 5 == 0) sched_yield();
  }
  return argument;
}
static void* write_often(void* argument) {
  for (int i = 0; i < turns; i++) {
    CHECK(pthread_rwlock_wrlock(&lock) == 0);
    CHECK(ADD(writers_inside, 1) == 1);
    CHECK(GET(readers_inside) == 0);
    first++;
    if (i % 20 == 0) sleep_ms(1);
    second++;
    ADD(writers_inside, -1);
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    sched_yield();
  }
  return argument;
}
static void contended(int kind) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  CHECK(pthread_rwlockattr_setkind_np(&attributes, kind) == 0);
  CHECK(pthread_rwlock_init(&lock, &attributes) == 0);
  pthread_t threads[readers + writers];
  for (int i = 0; i < readers; i++) threads[i] = start(read_often, NULL);
  for (int i = readers; i < readers + writers; i++) threads[i] = start(write_often, NULL);
  for (int i = 0; i < readers + writers; i++) join(threads[i]);
  CHECK(first == writers * turns && second == first);
  CHECK(pthread_rwlock_destroy(&lock) == 0);
}
PROMISE(contended_readers_first, "The usual lock keeps six readers and three writers apart") {
  contended(PTHREAD_RWLOCK_PREFER_READER_NP);
}
PROMISE(contended_writers_first, "The writer-preferring lock keeps readers and writers apart") {
  contended(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
}

static int wants, wrote;
static void* write_once(void* argument) {
  SET(wants, 1);
  pthread_rwlock_wrlock(&lock);
  SET(wrote, 1);
  pthread_rwlock_unlock(&lock);
  return argument;
}
static void* read_after_writer(void* argument) {
  pthread_rwlock_rdlock(&lock);
  int result = GET(wrote);
  pthread_rwlock_unlock(&lock);
  return (void*)(intptr_t)(result + (argument != NULL));
}
PROMISE(writers_preferred,
        "With the writer-preferring kind a waiting writer keeps new readers out") {
  pthread_rwlockattr_t attributes;
  int kind = -1;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  CHECK(pthread_rwlockattr_getkind_np(&attributes, &kind) == 0);
  CHECK(kind == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&lock, &attributes);
  pthread_rwlock_rdlock(&lock);
  pthread_t writer = start(write_once, NULL);
  AWAIT(GET(wants));
  AWAIT(join_int(start(try_read, NULL)) == EBUSY);  // the writer has begun to wait
  pthread_t reader = start(read_after_writer, NULL);
  settle();
  CHECK(pthread_tryjoin_np(reader, NULL) == EBUSY);
  pthread_rwlock_unlock(&lock);
  join(writer);
  CHECK(join_int(reader) == 1);
}
PROMISE(readers_preferred, "With the usual kind a waiting writer does not keep new readers out") {
  pthread_rwlock_rdlock(&lock);
  pthread_t writer = start(write_once, NULL);
  AWAIT(GET(wants));
  settle();
  CHECK(join_int(start(try_read, NULL)) == 0);
  CHECK(join_int(start(read_after_writer, NULL)) == 0);
  pthread_rwlock_unlock(&lock);
  join(writer);
}

struct shared_state {
  pthread_rwlock_t lock;
  long first, second;
};
PROMISE(shared, "A process-shared lock keeps the writers of three processes apart") {
  struct shared_state* state = (struct shared_state*)shared_memory(sizeof *state);
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  CHECK(pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_rwlock_init(&state->lock, &attributes) == 0);
  pid_t children[3];
  for (int i = 0; i < 3; i++) {
    children[i] = (pid_t)NEED(fork());
    if (children[i] != 0) continue;
    for (int turn = 0; turn < 100; turn++) {
      pthread_rwlock_wrlock(&state->lock);
      state->first++;
      if (turn % 20 == 0) sleep_ms(1);
      state->second++;
      pthread_rwlock_unlock(&state->lock);
      pthread_rwlock_rdlock(&state->lock);
      CHECK(state->first == state->second);
      pthread_rwlock_unlock(&state->lock);
    }
    FINISH_CHILD();
  }
  for (int i = 0; i < 3; i++) CHECK(status_of(children[i]) == 0);
  CHECK(state->first == 300 && state->second == 300);
}
