// Condition variables: signal, broadcast, time limits on two clocks, sharing, destruction.
#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int waiting, permits, woken;

static void* wait_for_permit(void* argument) {
  pthread_mutex_lock(&mutex);
  waiting++;
  while (permits == 0) CHECK(pthread_cond_wait(&condition, &mutex) == 0);
  permits--;
  woken++;
  pthread_mutex_unlock(&mutex);
  return argument;
}
static int read_locked(const int* variable) {
  pthread_mutex_lock(&mutex);
  int value = *variable;
  pthread_mutex_unlock(&mutex);
  return value;
}

PROMISE(signal, "Each signal lets one more waiter go on, until all have") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(wait_for_permit, NULL);
  AWAIT(read_locked(&waiting) == 10);
  for (int i = 1; i <= 10; i++) {
    pthread_mutex_lock(&mutex);
    permits++;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    AWAIT(read_locked(&woken) == i);
  }
  for (int i = 0; i < 10; i++) join(threads[i]);
}

PROMISE(broadcast, "A broadcast lets all waiters go on") {
  pthread_t threads[50];
  for (int round = 1; round <= 5; round++) {
    for (int i = 0; i < 50; i++) threads[i] = start(wait_for_permit, NULL);
    AWAIT(read_locked(&waiting) == 50 * round);
    pthread_mutex_lock(&mutex);
    permits = 50;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 50; i++) join(threads[i]);
    CHECK(woken == 50 * round && permits == 0);
  }
}

PROMISE(unlocked_signal, "Signals without the mutex are not lost for those who already wait") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(wait_for_permit, NULL);
  AWAIT(read_locked(&waiting) == 10);
  for (int i = 0; i < 10; i++) {
    pthread_mutex_lock(&mutex);
    permits++;
    pthread_mutex_unlock(&mutex);
    pthread_cond_signal(&condition);
  }
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(woken == 10);
}

PROMISE(nobody_waits, "A signal that finds nobody is forgotten") {
  for (int i = 0; i < 10; i++) {
    CHECK(pthread_cond_signal(&condition) == 0);
    CHECK(pthread_cond_broadcast(&condition) == 0);
  }
  struct timespec time = in_ms(CLOCK_REALTIME, 20);
  int error = 0;
  pthread_mutex_lock(&mutex);
  while (error == 0) error = pthread_cond_timedwait(&condition, &mutex, &time);
  pthread_mutex_unlock(&mutex);
  CHECK(error == ETIMEDOUT);
}

static int wait_until(clockid_t clock, int by_attribute, int64_t ms) {
  struct timespec time = in_ms(clock, ms);
  int error = 0;
  pthread_mutex_lock(&mutex);
  while (error == 0)
    error = by_attribute ? pthread_cond_timedwait(&condition, &mutex, &time)
                         : pthread_cond_clockwait(&condition, &mutex, clock, &time);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);  // it is held again
  pthread_mutex_unlock(&mutex);
  return error;
}
static void* waits_time_out(void* argument) {
  int by_attribute = argument != NULL;
  clockid_t clock = by_attribute ? *(clockid_t*)argument : CLOCK_MONOTONIC;
  int64_t began = now_ms();
  CHECK(wait_until(clock, by_attribute, 25) == ETIMEDOUT);
  CHECK(now_ms() - began >= 23);
  CHECK(wait_until(clock, by_attribute, 0) == ETIMEDOUT);
  CHECK(wait_until(clock, by_attribute, -5000) == ETIMEDOUT);
  return NULL;
}
PROMISE(realtime, "A timed wait ends with ETIMEDOUT on the real-time clock") {
  clockid_t clock = CLOCK_REALTIME;
  waits_time_out(&clock);
  join(start(waits_time_out, &clock));
}
PROMISE(monotonic, "A timed wait ends with ETIMEDOUT on the monotonic clock of its attribute") {
  pthread_condattr_t attributes;
  clockid_t clock = CLOCK_MONOTONIC;
  pthread_condattr_init(&attributes);
  CHECK(pthread_condattr_setclock(&attributes, clock) == 0);
  CHECK(pthread_condattr_setclock(&attributes, CLOCK_PROCESS_CPUTIME_ID) == EINVAL);
  CHECK(pthread_cond_init(&condition, &attributes) == 0);
  waits_time_out(&clock);
  join(start(waits_time_out, &clock));
}
PROMISE(clockwait, "pthread_cond_clockwait ends with ETIMEDOUT on the clock given") {
  waits_time_out(NULL);
  join(start(waits_time_out, NULL));
  struct timespec time = {0, 1000000000};
  pthread_mutex_lock(&mutex);
  CHECK(pthread_cond_timedwait(&condition, &mutex, &time) == EINVAL);
  CHECK(pthread_cond_clockwait(&condition, &mutex, CLOCK_THREAD_CPUTIME_ID, &time) == EINVAL);
  pthread_mutex_unlock(&mutex);
}

static void* timed_waiter(void* argument) {
  struct timespec time = in_ms(CLOCK_REALTIME, patience_ms);
  int error = 0;
  pthread_mutex_lock(&mutex);
  waiting++;
  while (permits == 0 && error == 0) error = pthread_cond_timedwait(&condition, &mutex, &time);
  permits--;
  pthread_mutex_unlock(&mutex);
  return (void*)(intptr_t)(error + (argument != NULL));
}
PROMISE(timed_and_woken, "A timed wait that is signalled in time gives 0") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(timed_waiter, NULL);
  AWAIT(read_locked(&waiting) == 10);
  pthread_mutex_lock(&mutex);
  permits = 10;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < 10; i++) CHECK(join_int(threads[i]) == 0);
}

// A bounded buffer with several on both sides: nothing is lost, nothing is there twice.
enum { items = 3000, room = 4, sides = 4 };
static int slots[room], filled, produced, consumed[items];
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static void* produce(void* argument) {
  for (;;) {
    pthread_mutex_lock(&mutex);
    while (filled == room && produced < items) pthread_cond_wait(&not_full, &mutex);
    if (produced == items) break;
    slots[filled++] = produced++;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&mutex);
  }
  pthread_cond_broadcast(&not_full);
  pthread_cond_broadcast(&not_empty);
  pthread_mutex_unlock(&mutex);
  return argument;
}
static void* consume(void* argument) {
  for (;;) {
    pthread_mutex_lock(&mutex);
    while (filled == 0 && produced < items) pthread_cond_wait(&not_empty, &mutex);
    if (filled == 0) break;
    consumed[slots[--filled]]++;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&mutex);
  }
  pthread_mutex_unlock(&mutex);
  return argument;
}
PROMISE(bounded_buffer, "A bounded buffer between eight threads loses nothing") {
  pthread_t threads[2 * sides];
  for (int i = 0; i < sides; i++) threads[i] = start(produce, NULL);
  for (int i = sides; i < 2 * sides; i++) threads[i] = start(consume, NULL);
  for (int i = 0; i < 2 * sides; i++) join(threads[i]);
  int right = 0;
  for (int i = 0; i < items; i++) right += consumed[i] == 1;
  CHECK(right == items);
}

static int turn;
static void* ping_pong(void* argument) {
  int own = argument != NULL;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < 1000; i++) {
    while (turn != own) pthread_cond_wait(&condition, &mutex);
    turn = !own;
    woken++;
    pthread_cond_signal(&condition);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}
PROMISE(hand_off, "Two threads hand the turn to each other a thousand times") {
  pthread_t even = start(ping_pong, NULL), odd = start(ping_pong, (void*)1);
  join(even);
  join(odd);
  CHECK(woken == 2000);
}

struct own_condition {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int go, waits;
};
static void* wait_on_own(void* argument) {
  struct own_condition* own = (struct own_condition*)argument;
  pthread_mutex_lock(&own->mutex);
  own->waits++;
  while (!own->go) pthread_cond_wait(&own->condition, &own->mutex);
  own->waits--;
  pthread_mutex_unlock(&own->mutex);
  return NULL;
}
PROMISE(destroy_after_broadcast, "A condition may be destroyed and freed right after a broadcast") {
  for (int round = 0; round < 50; round++) {
    struct own_condition* own = (struct own_condition*)malloc(sizeof *own);
    pthread_mutex_init(&own->mutex, NULL);
    pthread_cond_init(&own->condition, NULL);
    own->go = own->waits = 0;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = start(wait_on_own, own);
    if (round % 10 == 0) settle();
    pthread_mutex_lock(&own->mutex);
    int all_wait = own->waits == 4;
    own->go = 1;
    pthread_cond_broadcast(&own->condition);
    if (all_wait) CHECK(pthread_cond_destroy(&own->condition) == 0);
    pthread_mutex_unlock(&own->mutex);
    for (int i = 0; i < 4; i++) join(threads[i]);
    memset(own, 0xff, sizeof *own);
    free(own);
  }
}

struct shared_condition {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int number, waits;
};
PROMISE(shared, "A process-shared condition wakes threads of another process, both ways") {
  struct shared_condition* all = (struct shared_condition*)shared_memory(sizeof *all);
  pthread_mutexattr_t mutex_kind;
  pthread_condattr_t kind;
  pthread_mutexattr_init(&mutex_kind);
  pthread_mutexattr_setpshared(&mutex_kind, PTHREAD_PROCESS_SHARED);
  pthread_condattr_init(&kind);
  CHECK(pthread_condattr_setpshared(&kind, PTHREAD_PROCESS_SHARED) == 0);
  pthread_mutex_init(&all->mutex, &mutex_kind);
  pthread_cond_init(&all->condition, &kind);
  pid_t child = (pid_t)NEED(fork());
  int own = child == 0;
  pthread_mutex_lock(&all->mutex);
  for (int i = 0; i < 200; i++) {
    while (all->number % 2 != own) pthread_cond_wait(&all->condition, &all->mutex);
    all->number++;
    pthread_cond_broadcast(&all->condition);
  }
  pthread_mutex_unlock(&all->mutex);
  if (child == 0) FINISH_CHILD();
  CHECK(status_of(child) == 0);
  CHECK(all->number == 400);
}

static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static void* wait_with_recursive(void* argument) {
  pthread_mutex_lock(&recursive);
  SET(waiting, 1);
  while (permits == 0) CHECK(pthread_cond_wait(&condition, &recursive) == 0);
  CHECK(pthread_mutex_unlock(&recursive) == 0);
  CHECK(pthread_mutex_unlock(&recursive) == EPERM);
  return argument;
}
PROMISE(other_kinds, "A condition works with a recursive mutex held once") {
  pthread_t thread = start(wait_with_recursive, NULL);
  AWAIT(GET(waiting));
  pthread_mutex_lock(&recursive);
  permits = 1;
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&recursive);
  join(thread);
}

static void* wait_without_lock(void* argument) {
  pthread_mutexattr_t kind;
  pthread_mutex_t checking;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&checking, &kind);
  CHECK(pthread_cond_wait(&condition, &checking) == EPERM);
  struct timespec time = in_ms(CLOCK_REALTIME, 10);
  CHECK(pthread_cond_timedwait(&condition, &checking, &time) == EPERM);
  return argument;
}
PROMISE(not_owner, "Waiting with an error-checking mutex that is not held is EPERM") {
  join(start(wait_without_lock, NULL));
}
