// Attributes: stacks of the size asked for, own stacks, guards, detach state, names, scheduling.
#include "check.h"

#include <limits.h>
#include <sched.h>
#include <sys/resource.h>

static pthread_attr_t attributes;
static void prepare(void) { CHECK(pthread_attr_init(&attributes) == 0); }
static pthread_t start_with_attributes(thread_function* function, void* argument) {
  pthread_t thread = 0;
  int error = pthread_create(&thread, &attributes, function, argument);
  errno = error;
  NEED(error ? -1 : 0);
  return thread;
}

static __attribute__((noinline)) int use_stack(size_t bytes) {
  volatile char* frame = (volatile char*)__builtin_alloca(bytes);
  int sum = 0;
  for (size_t i = 0; i < bytes; i += 512) frame[i] = 1;
  for (size_t i = 0; i < bytes; i += 512) sum += frame[i];
  return sum;
}
static void* use_a_mebibyte(void* argument) {
  CHECK(use_stack(1 << 20) == (1 << 20) / 512);
  return argument;
}
PROMISE(default_stack, "A thread made without attributes can use one MiB of stack") {
  CHECK(join_int(start(use_a_mebibyte, (void*)1)) == 1);
}

static void* use_most(void* argument) {
  size_t bytes = *(size_t*)argument;
  CHECK(use_stack(bytes - bytes / 8) > 0);
  return NULL;
}
PROMISE(stack_size, "The stack size asked for can be used") {
  prepare();
  for (size_t bytes = 256 << 10; bytes <= 64 << 20; bytes *= 4) {
    size_t got = 0;
    CHECK(pthread_attr_setstacksize(&attributes, bytes) == 0);
    CHECK(pthread_attr_getstacksize(&attributes, &got) == 0 && got == bytes);
    join(start_with_attributes(use_most, &bytes));
  }
}

static void* do_little(void* argument) {
  char text[64];
  snprintf(text, sizeof text, "%d", 5);
  sleep_ms(1);
  return argument;
}
PROMISE(smallest_stack, "A thread with PTHREAD_STACK_MIN of stack starts, sleeps and ends") {
  prepare();
  CHECK(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN - 1) == EINVAL);
  CHECK(join_int(start_with_attributes(do_little, (void*)2)) == 2);
}

static __attribute__((noinline)) long recurse(long depth) {
  volatile char frame[1000];
  frame[depth % 1000] = 1;
  if (depth == 0) return 0;
  return recurse(depth - 1) + frame[depth % 1000];
}
static void* recurse_deeply(void* argument) {
  CHECK(recurse((intptr_t)argument) == (intptr_t)argument);
  return NULL;
}
PROMISE(deep_recursion, "Recursion goes down to near the end of the stack in eight threads") {
  prepare();
  CHECK(pthread_attr_setstacksize(&attributes, 8 << 20) == 0);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start_with_attributes(recurse_deeply, (void*)7000);
  for (int i = 0; i < 8; i++) join(threads[i]);
}

static int area_contains_local(void) {
  pthread_attr_t own;
  void* base;
  size_t bytes;
  int local;
  CHECK(pthread_getattr_np(pthread_self(), &own) == 0);
  CHECK(pthread_attr_getstack(&own, &base, &bytes) == 0);
  pthread_attr_destroy(&own);
  char* address = (char*)&local;
  return address >= (char*)base && address < (char*)base + bytes;
}
static void* own_area(void* argument) {
  pthread_attr_t own;
  size_t bytes = 0;
  CHECK(area_contains_local());
  CHECK(pthread_getattr_np(pthread_self(), &own) == 0);
  CHECK(pthread_attr_getstacksize(&own, &bytes) == 0);
  CHECK(bytes >= (size_t)(intptr_t)argument && bytes <= 2 * (size_t)(intptr_t)argument);
  pthread_attr_destroy(&own);
  return NULL;
}
PROMISE(getattr_self,
        "pthread_getattr_np gives a stack area that holds a local, of about its size") {
  prepare();
  CHECK(pthread_attr_setstacksize(&attributes, 512 << 10) == 0);
  join(start_with_attributes(own_area, (void*)(512 << 10)));
  join(start(own_area, (void*)(8 << 20)));
}
PROMISE(getattr_main, "pthread_getattr_np of main gives an area that holds a local of main") {
  CHECK(area_contains_local());
  start(own_area, (void*)(8 << 20));
  CHECK(area_contains_local());
}

static void* wait_for(void* argument) {
  sem_wait((sem_t*)argument);
  return NULL;
}
PROMISE(getattr_other, "pthread_getattr_np of another thread tells its size and detach state") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  prepare();
  CHECK(pthread_attr_setstacksize(&attributes, 1 << 20) == 0);
  CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  pthread_t thread = start_with_attributes(wait_for, &semaphore);
  pthread_attr_t theirs;
  int state = -1;
  size_t bytes = 0;
  CHECK(pthread_getattr_np(thread, &theirs) == 0);
  CHECK(pthread_attr_getdetachstate(&theirs, &state) == 0 && state == PTHREAD_CREATE_DETACHED);
  CHECK(pthread_attr_getstacksize(&theirs, &bytes) == 0);
  CHECK(bytes >= 1 << 20 && bytes <= 2 << 20);
  CHECK(pthread_join(thread, NULL) == EINVAL);
  sem_post(&semaphore);
}

static char* own_memory;
static void* runs_there(void* argument) {
  char local;
  char* address = &local;
  CHECK(address > own_memory && address < own_memory + (1 << 20));
  CHECK(area_contains_local());
  use_stack(512 << 10);
  sleep_ms(2);
  return argument;
}
PROMISE(setstack, "A thread runs on the memory that pthread_attr_setstack gave it") {
  prepare();
  own_memory =
      (char*)mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pthread_attr_setstack(&attributes, own_memory, 1 << 20) == 0);
  for (int i = 0; i < 5; i++) CHECK(join_int(start_with_attributes(runs_there, (void*)3)) == 3);
  CHECK(munmap(own_memory, 1 << 20) == 0);  // it is the program's own again after the join
  join(start(do_little, NULL));
}

static void* guard_of_self(void* argument) {
  pthread_attr_t own;
  size_t guard = 0;
  CHECK(pthread_getattr_np(pthread_self(), &own) == 0);
  CHECK(pthread_attr_getguardsize(&own, &guard) == 0);
  CHECK(guard == (size_t)(intptr_t)argument);
  return NULL;
}
PROMISE(guard_size, "The guard size asked for is told by pthread_getattr_np") {
  prepare();
  size_t guard = 0;
  CHECK(pthread_attr_getguardsize(&attributes, &guard) == 0 && guard == 4096);
  CHECK(pthread_attr_setguardsize(&attributes, 64 << 10) == 0);
  join(start_with_attributes(guard_of_self, (void*)(64 << 10)));
}

static void* overflow(void* argument) { return (void*)recurse(1000000 + (intptr_t)argument); }
PROMISE(guard_stops, "A thread that overflows its stack ends the process by SIGSEGV") {
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    prepare();
    pthread_attr_setstacksize(&attributes, 256 << 10);
    join(start_with_attributes(overflow, NULL));
    _exit(0);
  }
  CHECK(status_of(child) == -SIGSEGV);
}

static void* mark(void* argument) {
  SET(*(int*)argument, 1);
  return NULL;
}
PROMISE(created_detached, "A thread created detached runs and cannot be joined") {
  prepare();
  int done = 0;
  CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  CHECK(pthread_attr_setdetachstate(&attributes, 77) == EINVAL);
  start_with_attributes(mark, &done);
  AWAIT(GET(done));
}

static void* mask_of_self(void* argument) {
  sigset_t set;
  pthread_sigmask(SIG_BLOCK, NULL, &set);
  return (void*)(intptr_t)(sigismember(&set, SIGUSR2) + (argument != NULL));
}
PROMISE(signal_mask, "pthread_attr_setsigmask_np sets the new thread's mask") {
  prepare();
  sigset_t set = set_of(SIGUSR2);
  CHECK(pthread_attr_setsigmask_np(&attributes, &set) == 0);
  CHECK(join_int(start_with_attributes(mask_of_self, NULL)) == 1);
  CHECK(join_int(start(mask_of_self, NULL)) == 0);
}

static void* policy_of_self(void* argument) {
  int policy = -1;
  struct sched_param parameters = {.sched_priority = -1};
  CHECK(pthread_getschedparam(pthread_self(), &policy, &parameters) == 0);
  CHECK(policy == SCHED_OTHER && parameters.sched_priority == 0);
  CHECK(sched_getscheduler(0) == SCHED_OTHER);
  return argument;
}
PROMISE(scheduling, "Threads have the ordinary scheduling policy with priority 0") {
  join(start(policy_of_self, NULL));
  policy_of_self(NULL);
  struct sched_param parameters = {.sched_priority = 0};
  CHECK(pthread_setschedparam(pthread_self(), SCHED_OTHER, &parameters) == 0);
}

static void* affinity_of_self(void* argument) {
  cpu_set_t *expected = (cpu_set_t*)argument, got;
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof got, &got) == 0);
  CHECK(CPU_EQUAL(&got, expected));
  return NULL;
}
PROMISE(affinity, "A thread's affinity is inherited and can be set to one processor") {
  cpu_set_t all, one;
  CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
  join(start(affinity_of_self, &all));
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(wait_for, &semaphore);
  CHECK(pthread_setaffinity_np(thread, sizeof one, &one) == 0);
  cpu_set_t got;
  CHECK(pthread_getaffinity_np(thread, sizeof got, &got) == 0 && CPU_EQUAL(&got, &one));
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof got, &got) == 0 && CPU_EQUAL(&got, &all));
  sem_post(&semaphore);
  join(thread);
}

PROMISE(default_attributes, "pthread_setattr_default_np changes what new threads get") {
  prepare();
  CHECK(pthread_attr_setstacksize(&attributes, 1 << 20) == 0);
  CHECK(pthread_setattr_default_np(&attributes) == 0);
  join(start(own_area, (void*)(1 << 20)));
}

PROMISE(too_big, "A stack that memory has no room for is EAGAIN, and later threads are fine") {
  prepare();
  pthread_t thread;
  CHECK(pthread_attr_setstacksize(&attributes, (size_t)1 << 46) == 0);
  CHECK(pthread_create(&thread, &attributes, do_little, NULL) == EAGAIN);
  CHECK(join_int(start(do_little, (void*)4)) == 4);
}
