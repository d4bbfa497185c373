// Who a thread is: its handle, its kernel's number, its name, its clock.
#include "check.h"

#include <dirent.h>
#include <sys/prctl.h>

static pthread_barrier_t meeting;

static void* handle_of_self(void* argument) {
  pthread_t* handle = (pthread_t*)argument;
  *handle = pthread_self();
  sleep_ms(1);
  CHECK(pthread_equal(*handle, pthread_self()));
  return NULL;
}
PROMISE(handles, "pthread_self is what pthread_create gave, and differs from every other's") {
  pthread_t handles[20], selves[20];
  for (int i = 0; i < 20; i++) handles[i] = start(handle_of_self, &selves[i]);
  for (int i = 0; i < 20; i++) {
    CHECK(!pthread_equal(handles[i], pthread_self()));
    for (int k = 0; k < i; k++) CHECK(!pthread_equal(handles[i], handles[k]));
  }
  for (int i = 0; i < 20; i++) {
    join(handles[i]);
    CHECK(pthread_equal(handles[i], selves[i]));
  }
}

static pid_t numbers[20];
static void* number_of_self(void* argument) {
  pid_t* number = (pid_t*)argument;
  *number = gettid();
  for (int i = 0; i < 20; i++) {
    sched_yield();
    CHECK(gettid() == *number);
    CHECK(syscall(SYS_gettid) == *number);
  }
  sleep_ms(1);
  CHECK(gettid() == *number);
  pthread_barrier_wait(&meeting);
  CHECK(gettid() == *number);
  return NULL;
}
PROMISE(thread_numbers, "gettid is stable over waits and unique among living threads") {
  pthread_t threads[20];
  pthread_barrier_init(&meeting, NULL, 20);
  for (int i = 0; i < 20; i++) threads[i] = start(number_of_self, &numbers[i]);
  for (int i = 0; i < 20; i++) join(threads[i]);
  for (int i = 0; i < 20; i++) {
    CHECK(numbers[i] > 0 && numbers[i] != getpid());
    for (int k = 0; k < i; k++) CHECK(numbers[i] != numbers[k]);
  }
}

PROMISE(main_number, "main's gettid is getpid, before, while and after threads run") {
  CHECK(gettid() == getpid());
  pid_t number;
  pthread_barrier_init(&meeting, NULL, 2);
  pthread_t thread = start(number_of_self, &number);
  CHECK(gettid() == getpid());
  CHECK(syscall(SYS_gettid) == getpid());
  sleep_ms(2);
  CHECK(gettid() == getpid());
  pthread_barrier_wait(&meeting);
  join(thread);
  CHECK(gettid() == getpid());
}

static void* process_of_self(void* argument) {
  return (void*)(intptr_t)(getpid() + (argument != 0));
}
PROMISE(process_number, "Every thread sees the same getpid and getppid") {
  CHECK(join_int(start(process_of_self, NULL)) == getpid());
}

static void* wait_for(void* argument) {
  sem_wait((sem_t*)argument);
  return NULL;
}
PROMISE(kill_zero, "pthread_kill with signal 0 finds a living thread, and a bad signal is EINVAL") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(wait_for, &semaphore);
  CHECK(pthread_kill(thread, 0) == 0);
  CHECK(pthread_kill(thread, 1000) == EINVAL);
  CHECK(pthread_kill(pthread_self(), 0) == 0);
  sem_post(&semaphore);
  join(thread);
}

static void* return_argument(void* argument) { return argument; }
PROMISE(kill_ended, "pthread_kill of a thread that has ended and is not joined is 0, not a crash") {
  pthread_t thread = start(return_argument, NULL);
  sleep_ms(3 * settle_ms);
  CHECK(pthread_kill(thread, 0) == 0);
  CHECK(pthread_kill(thread, SIGUSR1) == 0);  // nobody is there to get it
  join(thread);
}

static void* name_yourself(void* argument) {
  char name[16];
  CHECK(pthread_setname_np(pthread_self(), (const char*)argument) == 0);
  sleep_ms(1);
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, (const char*)argument) == 0);
  return NULL;
}
PROMISE(names, "Each thread keeps the name that it gave itself") {
  pthread_t threads[10];
  char names[10][16];
  for (int i = 0; i < 10; i++) {
    snprintf(names[i], sizeof names[i], "worker-%d", i);
    threads[i] = start(name_yourself, names[i]);
  }
  for (int i = 0; i < 10; i++) join(threads[i]);
}

PROMISE(name_errors, "A name of more than 15 bytes and a buffer that is too small are ERANGE") {
  char name[16];
  CHECK(pthread_setname_np(pthread_self(), "exactly15bytes.") == 0);
  CHECK(pthread_setname_np(pthread_self(), "sixteen bytes ..") == ERANGE);
  CHECK(pthread_getname_np(pthread_self(), name, 8) == ERANGE);
  CHECK(pthread_getname_np(pthread_self(), name, 16) == 0);
  CHECK(strcmp(name, "exactly15bytes.") == 0);
}

PROMISE(names_of_others, "A thread can be named and asked for its name by another") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(wait_for, &semaphore);
  char name[16];
  CHECK(pthread_setname_np(thread, "named by main") == 0);
  CHECK(pthread_getname_np(thread, name, sizeof name) == 0);
  CHECK(strcmp(name, "named by main") == 0);
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, "named by main") != 0);
  sem_post(&semaphore);
  join(thread);
}

static void* inherited_name(void* argument) {
  char name[16];
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  printf("a new thread's name: %s\n", name);
  CHECK(prctl(PR_GET_NAME, name) == 0);
  printf("the same by prctl: %s\n", name);
  CHECK(prctl(PR_SET_NAME, "by-prctl") == 0);
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, "by-prctl") == 0);
  return argument;
}
PROMISE(name_is_inherited, "A new thread has the name of its creator") {
  CHECK(pthread_setname_np(pthread_self(), "creator") == 0);
  join(start(inherited_name, NULL));
  char name[16];
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, "creator") == 0);
}

static void* burn(void* argument) {
  struct timespec time;
  do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  while (time.tv_sec == 0 && time.tv_nsec < 20000000);
  sem_wait((sem_t*)argument);
  return NULL;
}
PROMISE(cpu_clock, "pthread_getcpuclockid gives a clock that shows what the thread has computed") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  pthread_t thread = start(burn, &semaphore);
  clockid_t clock;
  CHECK(pthread_getcpuclockid(thread, &clock) == 0);
  AWAIT(clock_ms(clock) >= 20);
  sem_post(&semaphore);
  join(thread);
  CHECK(pthread_getcpuclockid(pthread_self(), &clock) == 0);
  CHECK(clock_ms(clock) >= 0);
}

static int tasks(void) {
  int count = 0;
  DIR* folder = opendir("/proc/self/task");
  while (readdir(folder)) count++;
  closedir(folder);
  return count - 2;
}
PROMISE(concurrency_level, "pthread_setconcurrency is remembered") {
  CHECK(tasks() >= 1);
  CHECK(pthread_getconcurrency() == 0);
  CHECK(pthread_setconcurrency(3) == 0);
  CHECK(pthread_getconcurrency() == 3);
  CHECK(pthread_setconcurrency(-1) == EINVAL);
}

static void* single_threaded(void* argument) {
  extern char __libc_single_threaded;
  CHECK(!__libc_single_threaded);
  return argument;
}
PROMISE(not_single, "__libc_single_threaded is false in a thread") {
  join(start(single_threaded, NULL));
}
