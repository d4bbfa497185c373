// Sleeping and clocks.
#include "check.h"

#include <sched.h>
#include <sys/time.h>
#include <sys/times.h>

static int handled, result, finished;
static struct timespec left;
static void note_signal(int number) {
  (void)number;
  ADD(handled, 1);
}

static void* sleep_for(void* argument) {
  int64_t ms = (intptr_t)argument, began = now_ms();
  struct timespec time = from_ms(ms);
  CHECK(nanosleep(&time, NULL) == 0);
  CHECK(now_ms() - began >= ms);
  return NULL;
}
PROMISE(not_too_early, "A hundred threads sleep their different times, none too short") {
  pthread_t threads[100];
  for (int i = 0; i < 100; i++) threads[i] = start(sleep_for, (void*)(intptr_t)(i % 37));
  for (int i = 0; i < 100; i++) join(threads[i]);
}
PROMISE(sleeps_overlap, "Fifty sleeps of 100 ms in fifty threads take far less than five seconds") {
  int64_t began = now_ms();
  pthread_t threads[50];
  for (int i = 0; i < 50; i++) threads[i] = start(sleep_for, (void*)100);
  for (int i = 0; i < 50; i++) join(threads[i]);
  CHECK(now_ms() - began < 2500);
}

static void* interrupted_nanosleep(void* argument) {
  struct timespec time = from_ms(60000);
  result = nanosleep(&time, &left);
  CHECK(errno == EINTR);
  SET(finished, 1);
  return argument;
}
static void* interrupted_sleep(void* argument) {
  result = (int)sleep(60);
  SET(finished, 1);
  return argument;
}
static void* interrupted_clock_nanosleep(void* argument) {
  struct timespec time = in_ms(CLOCK_MONOTONIC, 60000);
  left = from_ms(7000);
  result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, &left);
  SET(finished, 1);
  return argument;
}
static void interrupt(thread_function* function) {
  handle(SIGUSR1, note_signal, 0);
  pthread_t thread = start(function, NULL);
  int64_t give_up = now_ms() + patience_ms;
  while (!GET(finished) && now_ms() < give_up) {
    pthread_kill(thread, SIGUSR1);
    sleep_ms(3);
  }
  join(thread);
}
PROMISE(remaining_time, "An interrupted nanosleep gives EINTR and the time that was left") {
  interrupt(interrupted_nanosleep);
  CHECK(result == -1);
  CHECK(left.tv_sec >= 40 && left.tv_sec <= 60);  // 60 and a little: the timer's slack
}
PROMISE(remaining_seconds, "An interrupted sleep returns the seconds that were left") {
  interrupt(interrupted_sleep);
  CHECK(result > 40 && result <= 60);
}
PROMISE(absolute_has_no_rest, "An interrupted absolute clock_nanosleep gives EINTR and no rest") {
  interrupt(interrupted_clock_nanosleep);
  CHECK(result == EINTR);
  CHECK(left.tv_sec == 7 && left.tv_nsec == 0);
}

static void* clocks(void* argument) {
  clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
  for (int i = 0; i < 3; i++) {
    struct timespec time = in_ms(all[i], 10), now;
    CHECK(clock_nanosleep(all[i], TIMER_ABSTIME, &time, NULL) == 0);
    clock_gettime(all[i], &now);
    CHECK(now.tv_sec > time.tv_sec || (now.tv_sec == time.tv_sec && now.tv_nsec >= time.tv_nsec));
    time = in_ms(all[i], -1000);
    CHECK(clock_nanosleep(all[i], TIMER_ABSTIME, &time, NULL) == 0);
    time = from_ms(3);
    CHECK(clock_nanosleep(all[i], 0, &time, NULL) == 0);
  }
  struct timespec wrong = {0, 1000000000};
  CHECK(nanosleep(&wrong, NULL) == -1 && errno == EINVAL);
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &wrong, NULL) == EINVAL);
  wrong = (struct timespec){-1, 0};
  CHECK(nanosleep(&wrong, NULL) == -1 && errno == EINVAL);
  CHECK(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &wrong, NULL) == EINVAL);
  struct timespec none = {0, 0};
  CHECK(nanosleep(&none, NULL) == 0);
  CHECK(sleep(0) == 0);
  CHECK(usleep(1000) == 0);
  return argument;
}
PROMISE(clock_kinds, "clock_nanosleep keeps to each clock, and bad times are EINVAL") {
  clocks(NULL);
  join(start(clocks, NULL));
}
PROMISE(errno_of_sleep, "A sleep that ends leaves errno alone") {
  errno = 4321;
  sleep_ms(2);
  CHECK(errno == 4321);
  usleep(500);
  CHECK(errno == 4321);
}

static int turn, spins_done;
static void* yield_turns(void* argument) {
  int own = (int)(intptr_t)argument;
  for (int i = 0; i < 50; i++) {
    while (GET(turn) % 8 != own) sched_yield();
    ADD(turn, 1);
  }
  return NULL;
}
PROMISE(yielding, "Eight threads take turns by sched_yield alone") {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(yield_turns, (void*)(intptr_t)i);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(turn == 400);
}
static void* yield_on(void* argument) {
  while (!GET(spins_done)) CHECK(sched_yield() == 0);
  return argument;
}
PROMISE(sleep_beside_yields, "A sleep ends beside four threads that only yield") {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(yield_on, NULL);
  for (int i = 0; i < 10; i++) sleep_ms(2);
  SET(spins_done, 1);
  for (int i = 0; i < 4; i++) join(threads[i]);
}

static void* burn(void* argument) {
  struct timespec own;
  do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
  while (own.tv_sec == 0 && own.tv_nsec < 30000000);
  return argument;
}
PROMISE(cpu_time, "Computing in threads shows in the process's time, sleeping does not") {
  int64_t before = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
  pthread_t one = start(burn, NULL), two = start(burn, NULL);
  join(one);
  join(two);
  CHECK(clock_ms(CLOCK_PROCESS_CPUTIME_ID) - before >= 55);
  before = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
  sleep_ms(200);
  CHECK(clock_ms(CLOCK_PROCESS_CPUTIME_ID) - before < 150);
}
