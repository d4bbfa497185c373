// Barriers and spin locks.
#include "check.h"

enum { crowd = 8, rounds = 100 };
static pthread_barrier_t* barrier;
static int serials[rounds], arrived[rounds];

static void* meet_often(void* argument) {
  for (int i = 0; i < rounds; i++) {
    ADD(arrived[i], 1);
    int result = pthread_barrier_wait(barrier);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
    CHECK(GET(arrived[i]) == crowd);  // nobody passes before all have come
    if (result == PTHREAD_BARRIER_SERIAL_THREAD) ADD(serials[i], 1);
  }
  return argument;
}
PROMISE(rounds_of_a_barrier, "In each of a hundred rounds all meet and one is the serial thread") {
  static pthread_barrier_t own;
  barrier = &own;
  CHECK(pthread_barrier_init(barrier, NULL, crowd) == 0);
  pthread_t threads[crowd];
  for (int i = 0; i < crowd; i++) threads[i] = start(meet_often, NULL);
  for (int i = 0; i < crowd; i++) join(threads[i]);
  int right = 0;
  for (int i = 0; i < rounds; i++) right += serials[i] == 1;
  CHECK(right == rounds);
  CHECK(pthread_barrier_destroy(barrier) == 0);
}

PROMISE(barrier_of_one, "A barrier of one never waits, one of none is EINVAL") {
  pthread_barrier_t own;
  CHECK(pthread_barrier_init(&own, NULL, 0) == EINVAL);
  CHECK(pthread_barrier_init(&own, NULL, 1) == 0);
  for (int i = 0; i < 10; i++) CHECK(pthread_barrier_wait(&own) == PTHREAD_BARRIER_SERIAL_THREAD);
}

PROMISE(shared_barrier, "The threads of two processes meet at a process-shared barrier") {
  pthread_barrierattr_t attributes;
  barrier = (pthread_barrier_t*)shared_memory(sizeof *barrier);
  int* serial = (int*)shared_memory(sizeof *serial);
  pthread_barrierattr_init(&attributes);
  CHECK(pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_barrier_init(barrier, &attributes, 2) == 0);
  pid_t child = (pid_t)NEED(fork());
  for (int i = 0; i < 50; i++)
    if (pthread_barrier_wait(barrier) == PTHREAD_BARRIER_SERIAL_THREAD) ADD(*serial, 1);
  if (child == 0) FINISH_CHILD();
  CHECK(status_of(child) == 0);
  CHECK(*serial == 50);
}

static void* meet_freed(void* argument) {
  if (pthread_barrier_wait((pthread_barrier_t*)argument) != 0) return (void*)1;
  return NULL;
}
PROMISE(freed_barrier, "A barrier may be destroyed and freed as soon as one has passed it") {
  for (int i = 0; i < 50; i++) {
    pthread_barrier_t* own = (pthread_barrier_t*)malloc(sizeof *own);
    pthread_barrier_init(own, NULL, 3);
    pthread_t one = start(meet_freed, own), two = start(meet_freed, own);
    pthread_barrier_wait(own);
    CHECK(pthread_barrier_destroy(own) == 0);  // it waits until the others are out
    memset(own, 0xff, sizeof *own);
    free(own);
    join(one);
    join(two);
  }
}

static pthread_spinlock_t spin;
static long counter;
static void* spin_often(void* argument) {
  for (int i = 0; i < 2000; i++) {
    CHECK(pthread_spin_lock(&spin) == 0);
    counter++;
    CHECK(pthread_spin_unlock(&spin) == 0);
  }
  return argument;
}
PROMISE(spinning, "A spin lock excludes eight threads") {
  CHECK(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE) == 0);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(spin_often, NULL);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(counter == 16000);
  CHECK(pthread_spin_trylock(&spin) == 0);
  CHECK(pthread_spin_trylock(&spin) == EBUSY);
  CHECK(pthread_spin_unlock(&spin) == 0);
  CHECK(pthread_spin_destroy(&spin) == 0);
}

static int holds;
static void* hold_over_a_wait(void* argument) {
  pthread_spin_lock(&spin);
  SET(holds, 1);
  sleep_ms(20);
  counter = 1;
  pthread_spin_unlock(&spin);
  return argument;
}
static void* take_it(void* argument) {
  pthread_spin_lock(&spin);
  CHECK(counter == 1);
  pthread_spin_unlock(&spin);
  return argument;
}
PROMISE(held_over_a_wait, "More spinners than processors get a lock whose holder sleeps") {
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  pthread_t holder = start(hold_over_a_wait, NULL);
  AWAIT(GET(holds));
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) threads[i] = start(take_it, NULL);
  for (int i = 0; i < 6; i++) join(threads[i]);
  join(holder);
}
