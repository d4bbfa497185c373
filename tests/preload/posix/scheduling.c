// What a scheduler of threads can get wrong: lost timers, lost wakes, starved and stranded threads.
#include "network.h"

#include <sched.h>

static int stop, done;

// Timers beside waits for descriptors: a short sleep must end although others wait for descriptors
// and somebody polls without blocking all the time.
static void* short_sleeps(void* argument) {
  for (int i = 0; i < 100; i++) sleep_ms(i % 3);
  ADD(done, 1);
  return argument;
}
static void* echo_side(void* argument) {
  int fd = *(int*)argument;
  char byte;
  while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1) continue;
  return NULL;
}
static void* ask_side(void* argument) {
  int fd = *(int*)argument;
  for (int i = 0; i < 300; i++) {
    char byte = (char)i, back = 0;
    NEED(write(fd, &byte, 1));
    CHECK(read(fd, &back, 1) == 1 && back == byte);
    if (i % 50 == 0) sleep_ms(1);
  }
  shutdown(fd, SHUT_RDWR);
  return NULL;
}
static void* poll_at_once(void* argument) {
  struct pollfd one = {*(int*)argument, POLLIN, 0};
  while (!GET(stop)) {
    poll(&one, 1, 0);
    sched_yield();
  }
  return NULL;
}
PROMISE(timers_beside_descriptors,
        "Short sleeps all end beside echoes and polls that do not block") {
  int pairs[4][2], idle[2];
  pthread_t sleepers[10], sides[8], poller;
  NEED(pipe(idle));
  for (int i = 0; i < 4; i++) {
    tcp_pair(pairs[i]);
    sides[2 * i] = start(echo_side, &pairs[i][0]);
    sides[2 * i + 1] = start(ask_side, &pairs[i][1]);
  }
  poller = start(poll_at_once, &idle[0]);
  for (int i = 0; i < 10; i++) sleepers[i] = start(short_sleeps, NULL);
  for (int i = 0; i < 10; i++) join(sleepers[i]);
  for (int i = 0; i < 8; i++) join(sides[i]);
  SET(stop, 1);
  join(poller);
  CHECK(done == 10);
}

// Wakes after wakes that found nobody: all is idle, then one thing happens, again and again.
static sem_t forth, back;
static void* answer_rarely(void* argument) {
  for (int i = 0; i < 60; i++) {
    sem_wait(&forth);
    if (i % 3 == 0) sleep_ms(1);
    sem_post(&back);
  }
  return argument;
}
PROMISE(wakes_after_idleness, "A wake is never lost after wakes that found nobody") {
  sem_init(&forth, 0, 0);
  sem_init(&back, 0, 0);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t nobody = PTHREAD_COND_INITIALIZER;
  pthread_t thread = start(answer_rarely, NULL);
  for (int i = 0; i < 60; i++) {
    for (int k = 0; k < 10; k++) {
      pthread_cond_broadcast(&nobody);
      pthread_mutex_lock(&mutex);
      pthread_mutex_unlock(&mutex);
    }
    if (i % 4 == 0) sleep_ms(2);
    sem_post(&forth);
    CHECK(sem_wait(&back) == 0);
  }
  join(thread);
}

// A thread that never calls anything: the others' sleeps, locks and sockets go on.
static void* spin(void* argument) {
  while (!GET(*(int*)argument)) continue;
  return NULL;
}
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;
static void* lock_and_sleep(void* argument) {
  for (int i = 0; i < 20; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    if (i % 5 == 0) sleep_ms(1);
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}
static void beside_spinners(int count) {
  pthread_t spinners[8], workers[8];
  int pair[2];
  tcp_pair(pair);
  for (int i = 0; i < count; i++) spinners[i] = start(spin, &stop);
  pthread_t echo = start(echo_side, &pair[0]);
  for (int i = 0; i < 8; i++) workers[i] = start(lock_and_sleep, NULL);
  for (int i = 0; i < 50; i++) {
    char byte = (char)i, reply = 0;
    NEED(write(pair[1], &byte, 1));
    CHECK(read(pair[1], &reply, 1) == 1 && reply == byte);
  }
  for (int i = 0; i < 8; i++) join(workers[i]);
  CHECK(counter == 160);
  SET(stop, 1);
  for (int i = 0; i < count; i++) join(spinners[i]);
  shutdown(pair[1], SHUT_RDWR);
  join(echo);
}
PROMISE(beside_one_spinner, "Sleeps, locks and sockets go on beside one spinning thread") {
  beside_spinners(1);
}
PROMISE(beside_many_spinners, "They go on beside more spinning threads than processors") {
  beside_spinners(5);
}
PROMISE(main_spins, "main may spin until a thread sets a variable") {
  for (int i = 0; i < 10; i++) {
    SET(stop, 0);
    pthread_t thread = start(short_sleeps, NULL);
    while (GET(done) == i) continue;
    join(thread);
    if (i == 1) break;
  }
  CHECK(done == 2);
}
static void* set_after_sleep(void* argument) {
  sleep_ms(3);
  SET(*(int*)argument, 1);
  return NULL;
}
PROMISE(spinners_released, "Eight spinning threads are released by one that sleeps first") {
  for (int round = 0; round < 3; round++) {
    int go = 0;
    pthread_t spinners[8];
    for (int i = 0; i < 8; i++) spinners[i] = start(spin, &go);
    join(start(set_after_sleep, &go));
    for (int i = 0; i < 8; i++) join(spinners[i]);
  }
}

// A busy rescuer: threads that a spinner left behind in its queue must be found by one that always
// has something to do itself.
static void* make_runnable_then_spin(void* argument) {
  pthread_t made[4];
  int* released = (int*)argument;
  for (int i = 0; i < 4; i++) made[i] = start(lock_and_sleep, NULL);
  while (!GET(*released)) continue;
  for (int i = 0; i < 4; i++) join(made[i]);
  return NULL;
}
static void* busy_with_yields(void* argument) {
  while (!GET(*(int*)argument)) sched_yield();
  return NULL;
}
static long locked_counter(void) {
  pthread_mutex_lock(&mutex);
  long value = counter;
  pthread_mutex_unlock(&mutex);
  return value;
}
PROMISE(left_behind,
        "Threads made by one that then spins run, beside others that are always busy") {
  int released = 0;
  pthread_t busy[2], spinner;
  for (int i = 0; i < 2; i++) busy[i] = start(busy_with_yields, &released);
  spinner = start(make_runnable_then_spin, &released);
  AWAIT(locked_counter() == 80);
  SET(released, 1);
  join(spinner);
  for (int i = 0; i < 2; i++) join(busy[i]);
}

// Under load: other processes take the processors, so threads are descheduled at any point.
PROMISE(under_load, "Everything goes on while other processes load the processors") {
  pid_t load[4];
  for (int i = 0; i < 4; i++) {
    load[i] = (pid_t)NEED(fork());
    if (load[i] == 0) {
      alarm(60);
      for (;;) continue;
    }
  }
  beside_spinners(1);
  for (int i = 0; i < 4; i++) {
    kill(load[i], SIGKILL);
    CHECK(status_of(load[i]) == -SIGKILL);
  }
}

// Calls that a runtime cannot see: raw system calls that block.
static int raw_pipe[2];
static void* raw_read(void* argument) {
  char byte;
  register long result __asm__("rax") = SYS_read;
  __asm__ volatile("syscall"
                   : "+r"(result)
                   : "D"((long)raw_pipe[0]), "S"(&byte), "d"(1L)
                   : "rcx", "r11", "memory");
  return (void*)(result + (argument != NULL));
}
PROMISE(blocked_unseen, "Ten threads blocked in inline system calls do not stop the others") {
  NEED(pipe(raw_pipe));
  pthread_t blocked[10], workers[8];
  for (int i = 0; i < 10; i++) blocked[i] = start(raw_read, NULL);
  for (int i = 0; i < 8; i++) workers[i] = start(lock_and_sleep, NULL);
  for (int i = 0; i < 8; i++) join(workers[i]);
  CHECK(counter == 160);
  NEED(write(raw_pipe[1], "0123456789", 10));
  for (int i = 0; i < 10; i++) CHECK(join_int(blocked[i]) == 1);
}

static void* start_more(void* argument) {
  intptr_t depth = (intptr_t)argument;
  if (depth > 0) {
    pthread_t one = start(start_more, (void*)(depth - 1)),
              two = start(start_more, (void*)(depth - 1));
    join(one);
    join(two);
  }
  ADD(done, 1);
  return NULL;
}
PROMISE(tree_of_threads, "A tree of 511 threads that start and join each other ends") {
  join(start(start_more, (void*)8));
  CHECK(done == 511);
}
