// Semaphores: counting, time limits, signals, names, processes.
#include "check.h"

static sem_t semaphore;
static int handled;
static void note_signal(int number) {
  (void)number;
  ADD(handled, 1);
}

static void* take_one(void* argument) {
  while (sem_wait(&semaphore) == -1) CHECK(errno == EINTR);
  ADD(*(int*)argument, 1);
  return NULL;
}
PROMISE(counting, "As many waiters go on as there are posts") {
  int taken = 0, value = -1;
  CHECK(sem_init(&semaphore, 0, 3) == 0);
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(take_one, &taken);
  AWAIT(GET(taken) == 3);
  for (int i = 4; i <= 10; i++) {
    settle();
    CHECK(GET(taken) == i - 1);
    CHECK(sem_post(&semaphore) == 0);
    AWAIT(GET(taken) == i);
  }
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(sem_getvalue(&semaphore, &value) == 0 && value == 0);
  CHECK(sem_trywait(&semaphore) == -1 && errno == EAGAIN);
  CHECK(sem_post(&semaphore) == 0);
  CHECK(sem_getvalue(&semaphore, &value) == 0 && value == 1);
  CHECK(sem_trywait(&semaphore) == 0);
}

static void* time_out(void* argument) {
  int64_t began = now_ms();
  struct timespec time = in_ms(CLOCK_REALTIME, 20);
  CHECK(sem_timedwait(&semaphore, &time) == -1 && errno == ETIMEDOUT);
  CHECK(now_ms() - began >= 18);
  time = in_ms(CLOCK_MONOTONIC, 20);
  CHECK(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &time) == -1 && errno == ETIMEDOUT);
  CHECK(sem_clockwait(&semaphore, CLOCK_THREAD_CPUTIME_ID, &time) == -1 && errno == EINVAL);
  time = in_ms(CLOCK_REALTIME, -100);
  CHECK(sem_timedwait(&semaphore, &time) == -1 && errno == ETIMEDOUT);
  time.tv_nsec = 1000000000;
  CHECK(sem_timedwait(&semaphore, &time) == -1 && errno == EINVAL);
  return argument;
}
PROMISE(timed, "Timed waits end with ETIMEDOUT on either clock, not too early") {
  sem_init(&semaphore, 0, 0);
  time_out(NULL);
  join(start(time_out, NULL));
}

static void* timed_and_got(void* argument) {
  struct timespec time = in_ms(CLOCK_MONOTONIC, patience_ms);
  CHECK(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &time) == 0);
  return argument;
}
PROMISE(timed_gets_it, "A timed wait ends at the post") {
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(timed_and_got, NULL);
  settle();
  sem_post(&semaphore);
  join(thread);
}

static int interrupted;
static void* wait_interrupted(void* argument) {
  errno = 0;
  CHECK(sem_wait(&semaphore) == -1 && errno == EINTR);
  SET(interrupted, 1);
  return argument;
}
PROMISE(interrupted_wait, "sem_wait ends with EINTR after a handler without SA_RESTART") {
  sem_init(&semaphore, 0, 0);
  handle(SIGUSR1, note_signal, 0);
  pthread_t thread = start(wait_interrupted, NULL);
  int64_t give_up = now_ms() + patience_ms;
  while (!GET(interrupted) && now_ms() < give_up) {
    pthread_kill(thread, SIGUSR1);
    sleep_ms(2);
  }
  CHECK(handled > 0);
  join(thread);
}
PROMISE(restarted_wait, "sem_wait goes on after a handler with SA_RESTART") {
  int taken = 0;
  sem_init(&semaphore, 0, 0);
  handle(SIGUSR1, note_signal, SA_RESTART);
  pthread_t thread = start(take_one, &taken);
  for (int i = 1; i <= 5; i++) {
    pthread_kill(thread, SIGUSR1);
    AWAIT(GET(handled) == i);
    settle();
  }
  CHECK(GET(taken) == 0);
  sem_post(&semaphore);
  join(thread);
  CHECK(taken == 1);
}

static void post_it(int number) {
  (void)number;
  sem_post(&semaphore);
}
PROMISE(post_in_handler, "A signal handler may post a semaphore that threads and main wait for") {
  int taken = 0;
  sem_init(&semaphore, 0, 0);
  handle(SIGUSR1, post_it, SA_RESTART);
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = start(take_one, &taken);
  for (int i = 1; i <= 3; i++) {
    kill(getpid(), SIGUSR1);
    AWAIT(GET(taken) == i);
  }
  for (int i = 0; i < 3; i++) join(threads[i]);
  kill(getpid(), SIGUSR1);
  while (sem_wait(&semaphore) == -1) CHECK(errno == EINTR);
}

static void named(char* name, size_t bytes) { snprintf(name, bytes, "/coir-posix-%d", getpid()); }
PROMISE(named_semaphores, "Processes meet at named semaphores") {
  char name[64], other[80];
  named(name, sizeof name);
  snprintf(other, sizeof other, "%s-back", name);
  sem_t* there = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
  sem_t* back = sem_open(other, O_CREAT | O_EXCL, 0600, 0);
  CHECK(there != SEM_FAILED && back != SEM_FAILED);
  CHECK(sem_open(name, O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED && errno == EEXIST);
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    sem_t *own = sem_open(name, 0), *answer = sem_open(other, 0);
    for (int i = 0; i < 100; i++) {
      while (sem_wait(own) == -1) continue;
      sem_post(answer);
    }
    FINISH_CHILD();
  }
  for (int i = 0; i < 100; i++) {
    CHECK(sem_post(there) == 0);
    CHECK(sem_wait(back) == 0);
  }
  CHECK(status_of(child) == 0);
  CHECK(sem_close(there) == 0 && sem_close(back) == 0);
  CHECK(sem_unlink(name) == 0 && sem_unlink(other) == 0);
  CHECK(sem_unlink(name) == -1 && errno == ENOENT);
}

static void* take_shared(void* argument) {
  CHECK(sem_wait((sem_t*)argument) == 0);
  return NULL;
}
PROMISE(shared, "Threads of two processes wait for one process-shared semaphore") {
  sem_t* shared = (sem_t*)shared_memory(sizeof *shared);
  CHECK(sem_init(shared, 1, 0) == 0);
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    pthread_t threads[5];
    for (int i = 0; i < 5; i++) threads[i] = start(take_shared, shared);
    for (int i = 0; i < 5; i++) join(threads[i]);
    FINISH_CHILD();
  }
  settle();
  for (int i = 0; i < 5; i++) CHECK(sem_post(shared) == 0);
  CHECK(status_of(child) == 0);
  int value = -1;
  CHECK(sem_getvalue(shared, &value) == 0 && value == 0);
}

static sem_t forth, back;
static void* answer(void* argument) {
  for (int i = 0; i < 2000; i++) {
    sem_wait(&forth);
    sem_post(&back);
  }
  return argument;
}
PROMISE(ping_pong, "Two threads pass a semaphore to and fro two thousand times") {
  sem_init(&forth, 0, 0);
  sem_init(&back, 0, 0);
  pthread_t thread = start(answer, NULL);
  for (int i = 0; i < 2000; i++) {
    CHECK(sem_post(&forth) == 0);
    CHECK(sem_wait(&back) == 0);
  }
  join(thread);
}

PROMISE(errors, "Too big a value is EINVAL, one post too many is EOVERFLOW") {
  CHECK(sem_init(&semaphore, 0, (unsigned)SEM_VALUE_MAX + 1) == -1 && errno == EINVAL);
  CHECK(sem_init(&semaphore, 0, SEM_VALUE_MAX) == 0);
  CHECK(sem_post(&semaphore) == -1 && errno == EOVERFLOW);
}

static void* free_after_wait(void* argument) {
  sem_t* own = (sem_t*)argument;
  sem_wait(own);
  sem_destroy(own);
  memset(own, 0xff, sizeof *own);
  free(own);
  return NULL;
}
PROMISE(freed_by_waiter, "The one that was woken may destroy and free the semaphore at once") {
  for (int i = 0; i < 300; i++) {
    sem_t* own = (sem_t*)malloc(sizeof *own);
    sem_init(own, 0, 0);
    pthread_t thread = start(free_after_wait, own);
    if (i % 50 == 0) settle();
    sem_post(own);
    join(thread);
  }
}
