// The futex system call as programs make it, through syscall().
#include "check.h"

#include <linux/futex.h>

static uint32_t word, other_word;

static long futex(uint32_t* address, int operation, uint32_t value, const struct timespec* time,
                  uint32_t* second, uint32_t third) {
  return syscall(SYS_futex, address, operation, value, time, second, third);
}

static int waiting, woken;
static void* wait_for_change(void* argument) {
  int operation = (int)(intptr_t)argument;
  ADD(waiting, 1);
  while (GET(word) == 0) {
    long result = futex(&word, operation, 0, NULL, NULL, FUTEX_BITSET_MATCH_ANY);
    CHECK(result == 0 || errno == EAGAIN || errno == EINTR);
  }
  ADD(woken, 1);
  return NULL;
}
static void wait_and_wake(int wait_operation, int wake_operation) {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(wait_for_change, (void*)(intptr_t)wait_operation);
  AWAIT(GET(waiting) == 10);
  settle();
  SET(word, 1);
  futex(&word, wake_operation, INT_MAX, NULL, NULL, FUTEX_BITSET_MATCH_ANY);
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(woken == 10);
}
PROMISE(shared_wait, "FUTEX_WAKE wakes ten threads in FUTEX_WAIT") {
  wait_and_wake(FUTEX_WAIT, FUTEX_WAKE);
}
PROMISE(private_wait, "The private forms do the same") {
  wait_and_wake(FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE);
}
PROMISE(bitset_wait, "FUTEX_WAIT_BITSET is woken by FUTEX_WAKE_BITSET") {
  wait_and_wake(FUTEX_WAIT_BITSET_PRIVATE, FUTEX_WAKE_BITSET_PRIVATE);
}
PROMISE(mixed_wait, "FUTEX_WAIT_BITSET is woken by FUTEX_WAKE") {
  wait_and_wake(FUTEX_WAIT_BITSET_PRIVATE, FUTEX_WAKE_PRIVATE);
}

static void* check_answers(void* argument) {
  word = 5;
  CHECK(futex(&word, FUTEX_WAIT_PRIVATE, 4, NULL, NULL, 0) == -1 && errno == EAGAIN);
  struct timespec time = from_ms(20);
  int64_t began = now_ms();
  CHECK(futex(&word, FUTEX_WAIT_PRIVATE, 5, &time, NULL, 0) == -1 && errno == ETIMEDOUT);
  CHECK(now_ms() - began >= 19);
  time = in_ms(CLOCK_MONOTONIC, 20);
  CHECK(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 5, &time, NULL, FUTEX_BITSET_MATCH_ANY) == -1 &&
        errno == ETIMEDOUT);
  time = in_ms(CLOCK_REALTIME, 20);
  CHECK(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 5, &time, NULL,
              FUTEX_BITSET_MATCH_ANY) == -1 &&
        errno == ETIMEDOUT);
  CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 0);
  CHECK(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 5, NULL, NULL, 0) == -1 && errno == EINVAL);
  CHECK(syscall(SYS_futex, (char*)&word + 1, FUTEX_WAKE, 1, NULL, NULL, 0) == -1 &&
        errno == EINVAL);
  CHECK(futex(&word, 127, 1, NULL, NULL, 0) == -1 && errno == ENOSYS);
  time.tv_nsec = -1;
  CHECK(futex(&word, FUTEX_WAIT_PRIVATE, 5, &time, NULL, 0) == -1 && errno == EINVAL);
  return argument;
}
PROMISE(answers, "EAGAIN, ETIMEDOUT, EINVAL and ENOSYS come where they should") {
  check_answers(NULL);
  join(start(check_answers, NULL));
}

// A waiter that returns only by a wake, and says so.
static uint32_t gate;
static int entered, left;
static void* wait_at_gate(void* argument) {
  uint32_t bits = (uint32_t)(uintptr_t)argument;
  ADD(entered, 1);
  long result;
  do result = futex(&gate, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits);
  while (result == -1 && errno == EINTR);
  CHECK(result == 0);
  ADD(left, 1);
  return NULL;
}
// Wakes until `count` have been woken in all; a waiter may not have begun its wait yet.
static int wake_until(uint32_t* address, int count, uint32_t bits) {
  int total = 0;
  int64_t give_up = now_ms() + patience_ms;
  while (total < count && now_ms() < give_up) {
    total +=
        (int)futex(address, FUTEX_WAKE_BITSET_PRIVATE, (uint32_t)(count - total), NULL, NULL, bits);
    if (total < count) sleep_ms(1);
  }
  return total;
}
PROMISE(counts, "FUTEX_WAKE wakes no more than its count and returns how many it woke") {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(wait_at_gate, (void*)0xffffffff);
  for (int i = 1; i <= 8; i++) {
    CHECK(wake_until(&gate, 1, FUTEX_BITSET_MATCH_ANY) == 1);
    AWAIT(GET(left) == i);
  }
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(futex(&gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 0);
}
PROMISE(bits, "A bitset wakes only those that wait with a bit of it") {
  pthread_t odd = start(wait_at_gate, (void*)1), even = start(wait_at_gate, (void*)2);
  CHECK(wake_until(&gate, 1, 2) == 1);
  join(even);
  CHECK(futex(&gate, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 4) == 0);
  CHECK(pthread_tryjoin_np(odd, NULL) == EBUSY);
  CHECK(wake_until(&gate, 1, 1) == 1);
  join(odd);
}

PROMISE(requeue, "FUTEX_CMP_REQUEUE wakes some and moves the rest to another word") {
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) threads[i] = start(wait_at_gate, (void*)0xffffffff);
  gate = 0;
  CHECK(syscall(SYS_futex, &gate, FUTEX_CMP_REQUEUE_PRIVATE, 1, 1L, &other_word, 7) == -1 &&
        errno == EAGAIN);
  int handled = 0;
  int64_t give_up = now_ms() + patience_ms;
  while (handled < 6 && now_ms() < give_up) {  // none is woken, all are moved
    long moved =
        syscall(SYS_futex, &gate, FUTEX_CMP_REQUEUE_PRIVATE, 0, (long)INT_MAX, &other_word, 0);
    CHECK(moved >= 0);
    handled += (int)moved;
    if (handled < 6) sleep_ms(1);
  }
  CHECK(handled == 6);
  CHECK(GET(left) == 0);
  CHECK(futex(&gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 0);
  CHECK(futex(&other_word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0) == 2);
  CHECK(syscall(SYS_futex, &other_word, FUTEX_REQUEUE_PRIVATE, 1, (long)INT_MAX, &gate, 0) == 4);
  CHECK(futex(&gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 3);
  for (int i = 0; i < 6; i++) join(threads[i]);
}

static int handled_signals, interrupted;
static void note_signal(int number) {
  (void)number;
  ADD(handled_signals, 1);
}
static void* wait_interrupted(void* argument) {
  CHECK(futex(&gate, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EINTR);
  SET(interrupted, 1);
  return argument;
}
PROMISE(interruption, "FUTEX_WAIT ends with EINTR after a handler without SA_RESTART") {
  handle(SIGUSR1, note_signal, 0);
  pthread_t thread = start(wait_interrupted, NULL);
  int64_t give_up = now_ms() + patience_ms;
  while (!GET(interrupted) && now_ms() < give_up) {
    pthread_kill(thread, SIGUSR1);
    sleep_ms(2);
  }
  join(thread);
  CHECK(handled_signals > 0);
}

PROMISE(between_processes, "A futex in shared memory wakes the threads of a child") {
  uint32_t* shared = (uint32_t*)shared_memory(2 * sizeof *shared);
  pid_t child = (pid_t)NEED(fork());
  int own = child == 0;
  for (uint32_t i = 0; i < 200; i++) {
    uint32_t now;
    while ((now = GET(shared[0])) % 2 != (uint32_t)own)
      futex(shared, FUTEX_WAIT, now, NULL, NULL, 0);
    SET(shared[0], now + 1);
    futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0);
  }
  if (child == 0) FINISH_CHILD();
  CHECK(status_of(child) == 0);
  CHECK(shared[0] == 400);
}

// A lock as foreign run-time libraries write it.
static uint32_t lock_word;
static long counter;
static void* use_own_lock(void* argument) {
  for (int i = 0; i < 500; i++) {
    uint32_t seen = 0;
    if (!__atomic_compare_exchange_n(&lock_word, &seen, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      while (__atomic_exchange_n(&lock_word, 2, __ATOMIC_SEQ_CST) != 0)
        futex(&lock_word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    long old = counter;
    if (i % 100 == 0) sleep_ms(1);
    counter = old + 1;
    if (__atomic_exchange_n(&lock_word, 0, __ATOMIC_SEQ_CST) == 2)
      futex(&lock_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  }
  return argument;
}
PROMISE(own_lock, "A lock that a program builds of a futex excludes eight threads") {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(use_own_lock, NULL);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(counter == 4000);
}
