// The threads of C11: thrd_, mtx_, cnd_, tss_, call_once.
#include "check.h"

#include <threads.h>

static mtx_t mutex;
static cnd_t condition;
static int ready, taken, once_runs, destroyed;
static tss_t key;

static int return_number(void* argument) { return (int)(intptr_t)argument; }
PROMISE(join_gives_the_result, "thrd_join gives each thread's number") {
  thrd_t threads[20];
  for (int i = 0; i < 20; i++)
    CHECK(thrd_create(&threads[i], return_number, (void*)(intptr_t)(i * 3)) == thrd_success);
  for (int i = 0; i < 20; i++) {
    int result = -1;
    CHECK(thrd_join(threads[i], &result) == thrd_success);
    CHECK(result == i * 3);
  }
}

static int exit_early(void* argument) {
  if (argument == NULL) thrd_exit(17);
  return 1;
}
PROMISE(exit_in_the_middle, "thrd_exit ends a thread with its number") {
  thrd_t thread;
  int result = 0;
  thrd_create(&thread, exit_early, NULL);
  CHECK(thrd_join(thread, &result) == thrd_success && result == 17);
}

static int set_and_go(void* argument) {
  CHECK(thrd_detach(thrd_current()) == thrd_success);
  SET(*(int*)argument, 1);
  return 0;
}
PROMISE(detach, "A detached thread runs to its end") {
  thrd_t thread;
  int done = 0;
  CHECK(thrd_create(&thread, set_and_go, &done) == thrd_success);
  AWAIT(GET(done));
  CHECK(thrd_equal(thrd_current(), thrd_current()));
}

static int sleep_a_little(void* argument) {
  int64_t began = now_ms();
  struct timespec time = from_ms(20), left;
  CHECK(thrd_sleep(&time, &left) == 0);
  thrd_yield();
  CHECK(now_ms() - began >= 20);
  return argument != NULL;
}
PROMISE(sleeping, "thrd_sleep sleeps its time, in main and in threads") {
  thrd_t thread;
  sleep_a_little(NULL);
  thrd_create(&thread, sleep_a_little, NULL);
  thrd_join(thread, NULL);
}

static int time_out(void* argument) {
  struct timespec time;
  timespec_get(&time, TIME_UTC);
  time.tv_nsec += 10000000;
  if (time.tv_nsec >= 1000000000) time.tv_sec++, time.tv_nsec -= 1000000000;
  CHECK(mtx_trylock(&mutex) == thrd_busy);
  CHECK(mtx_timedlock(&mutex, &time) == thrd_timedout);
  return argument != NULL;
}
PROMISE(mutexes, "Plain, timed and recursive mutexes lock, refuse and time out") {
  thrd_t thread;
  CHECK(mtx_init(&mutex, mtx_timed) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  thrd_create(&thread, time_out, NULL);
  thrd_join(thread, NULL);
  CHECK(mtx_unlock(&mutex) == thrd_success);
  mtx_destroy(&mutex);
  CHECK(mtx_init(&mutex, mtx_plain | mtx_recursive) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  CHECK(mtx_unlock(&mutex) == thrd_success);
  CHECK(mtx_unlock(&mutex) == thrd_success);
  mtx_destroy(&mutex);
}

static int wait_for_ready(void* argument) {
  mtx_lock(&mutex);
  while (ready == 0) CHECK(cnd_wait(&condition, &mutex) == thrd_success);
  ready--;
  taken++;
  mtx_unlock(&mutex);
  return argument != NULL;
}
PROMISE(conditions, "cnd_signal, cnd_broadcast and cnd_timedwait do what they say") {
  thrd_t threads[10];
  mtx_init(&mutex, mtx_timed);
  cnd_init(&condition);
  for (int i = 0; i < 10; i++) thrd_create(&threads[i], wait_for_ready, NULL);
  settle();
  mtx_lock(&mutex);
  ready = 1;
  cnd_signal(&condition);
  mtx_unlock(&mutex);
  settle();
  mtx_lock(&mutex);
  CHECK(taken <= 1);
  ready += 9;
  cnd_broadcast(&condition);
  mtx_unlock(&mutex);
  for (int i = 0; i < 10; i++) thrd_join(threads[i], NULL);
  CHECK(taken == 10);
  struct timespec time = in_ms(CLOCK_REALTIME, 15);
  int result = thrd_success;
  mtx_lock(&mutex);
  while (result == thrd_success) result = cnd_timedwait(&condition, &mutex, &time);
  mtx_unlock(&mutex);
  CHECK(result == thrd_timedout);
  cnd_destroy(&condition);
}

static void destroy(void* value) { ADD(destroyed, *(int*)value); }
static int use_key(void* argument) {
  CHECK(tss_get(key) == NULL);
  CHECK(tss_set(key, argument) == thrd_success);
  struct timespec time = from_ms(1);
  thrd_sleep(&time, NULL);
  CHECK(tss_get(key) == argument);
  return 0;
}
PROMISE(storage, "tss values are each thread's own and are destroyed at its end") {
  thrd_t threads[10];
  int numbers[10];
  CHECK(tss_create(&key, destroy) == thrd_success);
  for (int i = 0; i < 10; i++) {
    numbers[i] = i;
    thrd_create(&threads[i], use_key, &numbers[i]);
  }
  for (int i = 0; i < 10; i++) thrd_join(threads[i], NULL);
  CHECK(destroyed == 45);
  tss_delete(key);
}

static once_flag flag = ONCE_FLAG_INIT;
static void run_once(void) {
  sleep_ms(3);
  once_runs++;
}
static int call_it(void* argument) {
  call_once(&flag, run_once);
  CHECK(once_runs == 1);
  return argument != NULL;
}
PROMISE(once, "call_once runs its function once, and the others wait for it") {
  thrd_t threads[10];
  for (int i = 0; i < 10; i++) thrd_create(&threads[i], call_it, NULL);
  for (int i = 0; i < 10; i++) thrd_join(threads[i], NULL);
  CHECK(once_runs == 1);
}

static _Thread_local int local = 3;
static int use_local(void* argument) {
  CHECK(local == 3);
  local = (int)(intptr_t)argument;
  thrd_yield();
  sleep_ms(1);
  return local;
}
PROMISE(locals, "_Thread_local variables are each thread's own") {
  thrd_t threads[10];
  for (int i = 0; i < 10; i++) thrd_create(&threads[i], use_local, (void*)(intptr_t)i);
  for (int i = 0; i < 10; i++) {
    int result = -1;
    thrd_join(threads[i], &result);
    CHECK(result == i);
  }
  CHECK(local == 3);
}
