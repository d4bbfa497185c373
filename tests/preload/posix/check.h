// What the programs of this folder share. Each of them is a list of promises that POSIX, Linux or
// glibc make about threads and blocking calls; compare.py runs every promise in a process of its
// own, natively and under the launcher, and holds the two outputs against each other.
//
//   PROGRAM              lists its promises: name, expected exit status, sentence
//   PROGRAM NAME [...]   keeps one of them
//
// A promise prints deterministic facts only. AWAIT gives up after its patience, and compare.py ends
// a run that does not come to its end.
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

struct promise {
  const char* name;
  const char* sentence;
  int status;  // the exit status of a run that kept it; minus the signal's number if one ends it
  void (*keep)(void);
};

enum { promises_max = 64, patience_ms = 15000, settle_ms = 15 };
static struct promise promises[promises_max];
static int promise_count;
static int was_broken;             // atomic: threads set it
static int argument_count UNUSED;  // what follows the promise's name
static char** arguments UNUSED;
static const char* program_path UNUSED;

static void add_promise(const char* name, int status, const char* sentence, void (*keep)(void)) {
  if (promise_count == promises_max) abort();
  struct promise added = {name, sentence, status, keep};
  promises[promise_count++] = added;
}

// PROMISE_ENDING(name, status, "sentence") { ... }: the process ends in some other way than by
// returning from this function, so the sentence is printed first.
#define PROMISE_ENDING(name, status, sentence)                           \
  static void keep_##name(void);                                         \
  __attribute__((constructor)) static void add_promise_of_##name(void) { \
    add_promise(#name, status, sentence, keep_##name);                   \
  }                                                                      \
  static void keep_##name(void)
#define PROMISE(name, sentence) PROMISE_ENDING(name, 0, sentence)

// A fact that must be true; the run goes on either way.
#define CHECK(truth) check_fact((truth) ? 1 : 0, #truth, __LINE__)
static UNUSED void check_fact(int truth, const char* text, int line) {
  if (truth) return;
  int error = errno;
  printf("  broken in line %d: %s (errno %d, %s)\n", line, text, error, strerror(error));
  fflush(stdout);
  __atomic_store_n(&was_broken, 1, __ATOMIC_SEQ_CST);
}

// What a promise cannot do without: the program ends if it is not there. Gives its value back.
#define NEED(call) need_value((long)(call), #call, __LINE__)
static UNUSED long need_value(long value, const char* text, int line) {
  if (value >= 0) return value;
  printf("  line %d: %s failed (errno %d, %s)\n", line, text, errno, strerror(errno));
  fflush(stdout);
  _exit(70);
}

static UNUSED int64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * (int64_t)1000 + now.tv_nsec / 1000000;
}
static UNUSED int64_t now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }

static UNUSED struct timespec from_ms(int64_t ms) {
  struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)};
  return time;
}
static UNUSED struct timespec in_ms(clockid_t clock, int64_t ms) {
  struct timespec time;
  clock_gettime(clock, &time);
  int64_t ns = time.tv_nsec + ms * 1000000;  // negative for a time that is past
  int64_t seconds = ns / 1000000000 - (ns % 1000000000 < 0);
  time.tv_sec += (time_t)seconds;
  time.tv_nsec = (long)(ns - seconds * 1000000000);
  return time;
}

static UNUSED void sleep_ms(int64_t ms) {
  struct timespec left = from_ms(ms);
  while (nanosleep(&left, &left) == -1 && errno == EINTR) continue;
}

// Time for another thread to begin its wait. No promise depends on it having done so: what comes
// first is legal too and gives the same output; the wait only makes the interesting order likely.
static UNUSED void settle(void) { sleep_ms(settle_ms); }

// AWAIT(truth): until it comes true; 0 if that took longer than the patience.
#define AWAIT(truth)                                    \
  do {                                                  \
    int64_t give_up = now_ms() + patience_ms;           \
    while (!(truth) && now_ms() < give_up) sleep_ms(1); \
    CHECK(truth);                                       \
  } while (0)

#define GET(variable) __atomic_load_n(&(variable), __ATOMIC_SEQ_CST)
#define SET(variable, value) __atomic_store_n(&(variable), value, __ATOMIC_SEQ_CST)
#define ADD(variable, value) __atomic_add_fetch(&(variable), value, __ATOMIC_SEQ_CST)

typedef void* thread_function(void*);

static UNUSED pthread_t start(thread_function* function, void* argument) {
  pthread_t thread;
  int error = pthread_create(&thread, NULL, function, argument);
  if (error != 0) {
    printf("  pthread_create: %s\n", strerror(error));
    _exit(70);
  }
  return thread;
}

static UNUSED void* join(pthread_t thread) {
  void* result = NULL;
  int error = pthread_join(thread, &result);
  errno = error;
  CHECK(error == 0);
  return result;
}

static UNUSED int join_int(pthread_t thread) { return (int)(intptr_t)join(thread); }

static UNUSED void handle(int signal_number, void (*handler)(int), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  NEED(sigaction(signal_number, &action, NULL));
}

static UNUSED sigset_t set_of(int signal_number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal_number);
  return set;
}
static UNUSED void block(int signal_number) {
  sigset_t set = set_of(signal_number);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}
static UNUSED void unblock(int signal_number) {
  sigset_t set = set_of(signal_number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

// The status of a child that must end by itself: its exit code, or minus its signal.
static UNUSED int status_of(pid_t child) {
  int status = 0;
  pid_t got;
  do got = waitpid(child, &status, 0);
  while (got == -1 && errno == EINTR);
  CHECK(got == child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// The end of a child: 0 unless a check in it failed.
#define FINISH_CHILD() (fflush(stdout), _exit(GET(was_broken) ? 71 : 0))

static UNUSED void* shared_memory(size_t bytes) {
  void* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  NEED(memory == MAP_FAILED ? -1 : 0);
  return memory;
}

// A fresh name in a folder of this process, below TMPDIR or /tmp; `forget_names` removes it all.
static char names_folder[64];
static UNUSED void forget_names(void) {
  if (names_folder[0] == 0) return;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", names_folder);
  if (system(command) != 0) puts("  the temporary folder could not be removed");
  names_folder[0] = 0;
}
static UNUSED const char* fresh_name(const char* last, char* buffer, size_t bytes) {
  if (names_folder[0] == 0) {
    strcpy(names_folder, "/tmp/coir-posix-XXXXXX");
    NEED(mkdtemp(names_folder) == NULL ? -1 : 0);
  }
  snprintf(buffer, bytes, "%s/%s", names_folder, last);
  return buffer;
}

int main(int count, char** words) {
  program_path = words[0];
  if (count < 2) {
    for (int i = 0; i < promise_count; i++)
      printf("%s\t%d\t%s\n", promises[i].name, promises[i].status, promises[i].sentence);
    return 0;
  }
  argument_count = count - 2;
  arguments = words + 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < promise_count; i++) {
    if (strcmp(words[1], promises[i].name) != 0) continue;
    printf("%s\n", promises[i].sentence);
    promises[i].keep();
    forget_names();
    printf("%s\n", GET(was_broken) ? "broken" : "kept");
    return GET(was_broken) ? 1 : 0;
  }
  fprintf(stderr, "no promise is called %s\n", words[1]);
  return 2;
}

#endif
