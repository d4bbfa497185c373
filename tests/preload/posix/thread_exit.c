// How a thread ends: pthread_exit from deep calls, results, and the destructors of keys.
#include "check.h"

#include <limits.h>

static int order[16], order_count;
static void note(void* argument) { order[order_count++] = (int)(intptr_t)argument; }

static volatile int deepest = 100;
static __attribute__((noinline)) int descend(int depth) {
  volatile char frame[256];
  frame[depth] = 1;
  if (depth == deepest) pthread_exit((void*)42);
  return depth < 200 ? descend(depth + 1) + frame[depth] : 0;
}
static void* exit_from_deep(void* argument) {
  pthread_cleanup_push(note, (void*)1);
  pthread_cleanup_push(note, (void*)2);
  descend(0);
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return argument;
}
PROMISE(exit_from_nested_calls, "pthread_exit unwinds nested calls and runs the cleanup handlers") {
  CHECK(join_int(start(exit_from_deep, NULL)) == 42);
  CHECK(order_count == 2 && order[0] == 2 && order[1] == 1);
}

static void* exit_in_cleanup_order(void* argument) { pthread_exit(argument); }
PROMISE(results, "join gives each thread's own result") {
  pthread_t threads[50];
  for (int i = 0; i < 50; i++) threads[i] = start(exit_in_cleanup_order, (void*)(intptr_t)(i * i));
  for (int i = 49; i >= 0; i--) CHECK(join_int(threads[i]) == i * i);
}

static void* return_argument(void* argument) { return argument; }
PROMISE(many_in_sequence, "Three thousand threads one after the other all run and are joined") {
  int sum = 0;
  for (int i = 0; i < 3000; i++) sum += join_int(start(return_argument, (void*)(intptr_t)i));
  CHECK(sum == 2999 * 3000 / 2);
}

static pthread_barrier_t meeting;
static void* meet(void* argument) {
  pthread_barrier_wait(&meeting);
  return argument;
}
PROMISE(many_at_once, "Five hundred threads live at the same time") {
  pthread_t threads[500];
  pthread_barrier_init(&meeting, NULL, 501);
  for (int i = 0; i < 500; i++) threads[i] = start(meet, (void*)(intptr_t)i);
  pthread_barrier_wait(&meeting);
  for (int i = 0; i < 500; i++) CHECK(join_int(threads[i]) == i);
}

// Keys.
static pthread_key_t keys[4];
static int rounds, destroyed[4];

static void destroy_and_set_again(void* value) {
  rounds++;
  CHECK(pthread_getspecific(keys[0]) == NULL);  // it is reset before its destructor runs
  pthread_setspecific(keys[0], value);
}
static void* set_first_key(void* argument) {
  pthread_setspecific(keys[0], (void*)1);
  return argument;
}
PROMISE(destructor_rounds,
        "A destructor that sets its key again is called four times and no more") {
  CHECK(pthread_key_create(&keys[0], destroy_and_set_again) == 0);
  join(start(set_first_key, NULL));
  CHECK(rounds == PTHREAD_DESTRUCTOR_ITERATIONS);
  CHECK(rounds == 4);
}

static void destroy_numbered(void* value) { destroyed[(intptr_t)value]++; }
static void* set_all_keys(void* argument) {
  for (intptr_t i = 0; i < 4; i++) pthread_setspecific(keys[i], (void*)i);
  return argument;
}
PROMISE(destructors, "Each key's destructor runs once for a value, and not for a null one") {
  for (int i = 0; i < 4; i++) CHECK(pthread_key_create(&keys[i], destroy_numbered) == 0);
  join(start(set_all_keys, NULL));
  CHECK(destroyed[0] == 0);
  CHECK(destroyed[1] == 1 && destroyed[2] == 1 && destroyed[3] == 1);
}

static void set_another(void* value) {
  if (pthread_getspecific(keys[1]) == NULL) pthread_setspecific(keys[1], value);
}
static void destroy_second(void* value) { destroyed[1] += (int)(intptr_t)value; }
PROMISE(destructor_sets_another, "A key that a destructor sets has its own destructor called too") {
  CHECK(pthread_key_create(&keys[0], set_another) == 0);
  CHECK(pthread_key_create(&keys[1], destroy_second) == 0);
  join(start(set_first_key, NULL));
  CHECK(destroyed[1] == 1);
}

static void blocking_destructor(void* value) {
  sleep_ms(2);
  pthread_mutex_t* mutex = (pthread_mutex_t*)value;
  pthread_mutex_lock(mutex);
  destroyed[0]++;
  pthread_mutex_unlock(mutex);
}
static void* set_to_argument(void* argument) {
  pthread_setspecific(keys[0], argument);
  return NULL;
}
PROMISE(blocking_destructors,
        "Key destructors may sleep and lock, and are over before join returns") {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(pthread_key_create(&keys[0], blocking_destructor) == 0);
  pthread_t threads[20];
  for (int i = 0; i < 20; i++) threads[i] = start(set_to_argument, &mutex);
  for (int i = 0; i < 20; i++) join(threads[i]);
  CHECK(destroyed[0] == 20);
}

static void* deleted_key(void* argument) {
  pthread_setspecific(keys[0], (void*)1);
  pthread_key_delete(keys[0]);
  return argument;
}
PROMISE(key_delete, "No destructor runs for a key that was deleted") {
  CHECK(pthread_key_create(&keys[0], destroy_numbered) == 0);
  join(start(deleted_key, NULL));
  CHECK(destroyed[1] == 0);
  CHECK(pthread_setspecific(keys[0], "x") == EINVAL);
  CHECK(pthread_key_delete(keys[0]) == EINVAL);
}

static void* keys_are_empty(void* argument) {
  for (int i = 0; i < 3; i++) CHECK(pthread_getspecific(keys[i]) == NULL);
  pthread_setspecific(keys[0], argument);
  sched_yield();
  sleep_ms(1);
  CHECK(pthread_getspecific(keys[0]) == argument);
  return NULL;
}
PROMISE(keys_start_empty, "Each thread begins with empty keys and keeps its own values") {
  for (int i = 0; i < 3; i++) CHECK(pthread_key_create(&keys[i], NULL) == 0);
  for (int round = 0; round < 5; round++) {
    pthread_t threads[20];
    for (int i = 0; i < 20; i++) threads[i] = start(keys_are_empty, &threads[i]);
    for (int i = 0; i < 20; i++) join(threads[i]);
  }
}

PROMISE(many_keys, "A thousand keys can be made, set and read in a thread, then EAGAIN") {
  static pthread_key_t all[PTHREAD_KEYS_MAX + 1];
  int made = 0;
  while (made <= PTHREAD_KEYS_MAX && pthread_key_create(&all[made], NULL) == 0) made++;
  CHECK(made >= 1000 && made <= PTHREAD_KEYS_MAX);
  CHECK(pthread_key_create(&all[made], NULL) == EAGAIN);
  for (int i = 0; i < made; i++) CHECK(pthread_setspecific(all[i], &all[i]) == 0);
  for (int i = 0; i < made; i++) CHECK(pthread_getspecific(all[i]) == &all[i]);
}

static void* exit_with_key(void* argument) {
  pthread_setspecific(keys[1], (void*)1);
  pthread_cleanup_push(note, (void*)9);
  pthread_exit(argument);
  pthread_cleanup_pop(0);
}
static void note_key(void* value) {
  (void)value;
  note((void*)8);
}
PROMISE(cleanup_before_keys, "Cleanup handlers run before the destructors of keys") {
  CHECK(pthread_key_create(&keys[1], note_key) == 0);
  CHECK(join_int(start(exit_with_key, (void*)5)) == 5);
  CHECK(order_count == 2 && order[0] == 9 && order[1] == 8);
}

static void* set_key_and_wait(void* argument) {
  pthread_setspecific(keys[1], (void*)1);
  sleep(60);
  return argument;
}
PROMISE(keys_after_cancel, "A cancelled thread has its keys destroyed too") {
  CHECK(pthread_key_create(&keys[1], note_key) == 0);
  pthread_t thread = start(set_key_and_wait, NULL);
  settle();
  pthread_cancel(thread);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(order_count == 1);
}

// Once.
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_runs, entered;
static void slow_init(void) {
  sleep_ms(10);
  once_runs++;
}
static void* call_once_there(void* argument) {
  pthread_once(&once, slow_init);
  CHECK(once_runs == 1);
  return argument;
}
PROMISE(once_runs_once, "pthread_once runs its routine once and the others wait until it is done") {
  pthread_t threads[20];
  for (int i = 0; i < 20; i++) threads[i] = start(call_once_there, NULL);
  for (int i = 0; i < 20; i++) join(threads[i]);
  CHECK(once_runs == 1);
}

static void init_that_waits(void) {
  if (ADD(entered, 1) == 1) sleep(60);
  once_runs++;
}
static void* call_cancelled_once(void* argument) {
  pthread_once(&once, init_that_waits);
  return argument;
}
PROMISE(once_cancelled, "A once routine that was cancelled is run again by the next caller") {
  pthread_t first = start(call_cancelled_once, NULL);
  AWAIT(GET(entered) == 1);
  pthread_t second = start(call_cancelled_once, (void*)2);
  settle();
  pthread_cancel(first);
  CHECK(join(first) == PTHREAD_CANCELED);
  CHECK(join_int(second) == 2);
  CHECK(once_runs == 1);
}
