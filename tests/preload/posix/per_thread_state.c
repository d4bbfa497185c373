// What belongs to a thread: errno, locale, resolver state, floating-point environment.
#include "check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fenv.h>
#include <locale.h>
#include <math.h>
#include <netdb.h>
#include <xmmintrin.h>

static void* keep_errno(void* argument) {
  int own = (int)(intptr_t)argument, *address = &errno;
  for (int i = 0; i < 50; i++) {
    errno = own;
    sched_yield();
    if (i % 10 == 0) sleep_ms(1);
    CHECK(errno == own && &errno == address);
  }
  return NULL;
}
PROMISE(errno_values, "Each of twenty threads keeps its own errno over yields and sleeps") {
  pthread_t threads[20];
  for (int i = 0; i < 20; i++) threads[i] = start(keep_errno, (void*)(intptr_t)(1000 + i));
  for (int i = 0; i < 20; i++) join(threads[i]);
}
static void* fail_differently(void* argument) {
  int odd = (intptr_t)argument % 2;
  for (int i = 0; i < 100; i++) {
    int expected = odd ? ENOENT : EBADF;
    int got = odd ? open("/no/such/file", O_RDONLY) : (int)read(-1, NULL, 0);
    sched_yield();
    CHECK(got == -1 && errno == expected);
  }
  return NULL;
}
PROMISE(errno_of_failures, "Failures in other threads do not change errno") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(fail_differently, (void*)(intptr_t)i);
  for (int i = 0; i < 10; i++) join(threads[i]);
}

static void* use_locale(void* argument) {
  locale_t own = newlocale(LC_ALL_MASK, argument ? "C.UTF-8" : "C", (locale_t)0);
  CHECK(own != (locale_t)0);
  CHECK(uselocale((locale_t)0) == LC_GLOBAL_LOCALE);
  CHECK(uselocale(own) == LC_GLOBAL_LOCALE);
  for (int i = 0; i < 20; i++) {
    sched_yield();
    if (i % 5 == 0) sleep_ms(1);
    CHECK(uselocale((locale_t)0) == own);
    CHECK(MB_CUR_MAX == (argument ? 6 : 1));
  }
  uselocale(LC_GLOBAL_LOCALE);
  freelocale(own);
  return NULL;
}
PROMISE(locales, "uselocale is each thread's own") {
  pthread_t threads[10];
  for (intptr_t i = 0; i < 10; i++) threads[i] = start(use_locale, (void*)(i % 2));
  for (int i = 0; i < 10; i++) join(threads[i]);
  CHECK(uselocale((locale_t)0) == LC_GLOBAL_LOCALE);
}

static void* use_strings(void* argument) {
  int own = (int)(intptr_t)argument;
  for (int i = 0; i < 50; i++) {
    char expected[64], text[] = "one two three";
    snprintf(expected, sizeof expected, "Unknown error %d", 5000 + own);
    char* message = strerror(5000 + own);
    char* rest;
    CHECK(strcmp(strtok_r(text, " ", &rest), "one") == 0);
    sched_yield();
    CHECK(strcmp(message, expected) == 0);  // glibc: a buffer of the thread
    CHECK(strcmp(strtok_r(NULL, " ", &rest), "two") == 0);
  }
  return NULL;
}
PROMISE(messages, "strerror's buffer is each thread's own") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(use_strings, (void*)(intptr_t)i);
  for (int i = 0; i < 10; i++) join(threads[i]);
}

static int rounding_of(int i) {
  static const int all[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  return all[i % 4];
}
static double sum_up(int terms) {
  volatile double sum = 0;
  for (int i = 1; i <= terms; i++) sum += 1.0 / i;
  return sum;
}
static long double long_sum_up(int terms) {
  volatile long double sum = 0;
  for (int i = 1; i <= terms; i++) sum += 1.0L / i;
  return sum;
}
static void* compute(void* argument) {
  int own = (int)(intptr_t)argument;
  CHECK(fesetround(rounding_of(own)) == 0);
  double expected = sum_up(1000);
  long double long_expected = long_sum_up(1000);
  for (int i = 0; i < 100; i++) {
    sched_yield();
    if (i % 20 == 0) sleep_ms(1);
    CHECK(fegetround() == rounding_of(own));
    CHECK(sum_up(1000) == expected);
    CHECK(long_sum_up(1000) == long_expected);
  }
  return NULL;
}
PROMISE(rounding, "Eight computing threads keep their rounding modes and their results") {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(compute, (void*)(intptr_t)i);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(fegetround() == FE_TONEAREST);
}
static void* inherited_rounding(void* argument) {
  return (void*)(intptr_t)(fegetround() + (argument != NULL));
}
PROMISE(rounding_is_inherited, "A new thread has its creator's rounding mode") {
  fesetround(FE_UPWARD);
  CHECK(join_int(start(inherited_rounding, NULL)) == FE_UPWARD);
  fesetround(FE_TONEAREST);
  CHECK(join_int(start(inherited_rounding, NULL)) == FE_TONEAREST);
}
static void* flush_to_zero(void* argument) {
  unsigned own = argument ? _MM_FLUSH_ZERO_ON : _MM_FLUSH_ZERO_OFF;
  _MM_SET_FLUSH_ZERO_MODE(own);
  for (int i = 0; i < 50; i++) {
    sched_yield();
    if (i % 10 == 0) sleep_ms(1);
    volatile float tiny = 1e-38f;
    volatile float smaller = tiny / 16;
    CHECK(_MM_GET_FLUSH_ZERO_MODE() == own);
    CHECK((smaller == 0) == (argument != NULL));
  }
  return NULL;
}
PROMISE(flush_modes, "Each thread keeps its own flush-to-zero mode") {
  pthread_t threads[6];
  for (intptr_t i = 0; i < 6; i++) threads[i] = start(flush_to_zero, (void*)(i % 2));
  for (int i = 0; i < 6; i++) join(threads[i]);
}

static void* resolve(void* argument) {
  struct addrinfo hints, *found = NULL;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  CHECK(getaddrinfo("localhost", "80", &hints, &found) == 0);
  char text[64] = "";
  if (found != NULL) {
    CHECK(getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, NULL, 0,
                      NI_NUMERICHOST) == 0);
    freeaddrinfo(found);
  }
  CHECK(strcmp(text, "127.0.0.1") == 0);
  hints.ai_flags = AI_NUMERICHOST;
  CHECK(getaddrinfo("no number", NULL, &hints, &found) == EAI_NONAME);
  struct hostent host, *answer = NULL;
  char buffer[4096];
  int error = 0;
  CHECK(gethostbyname_r("localhost", &host, buffer, sizeof buffer, &answer, &error) == 0);
  CHECK(answer == &host && host.h_addrtype == AF_INET);
  return argument;
}
PROMISE(names, "getaddrinfo, getnameinfo and gethostbyname_r in twenty threads") {
  pthread_t threads[20];
  for (int i = 0; i < 20; i++) threads[i] = start(resolve, NULL);
  for (int i = 0; i < 20; i++) join(threads[i]);
}

static void* read_folder(void* argument) {
  int count = 0;
  for (int i = 0; i < 5; i++) {
    DIR* folder = opendir("/etc");
    CHECK(folder != NULL);
    int now = 0;
    while (readdir(folder)) now++;
    closedir(folder);
    CHECK(i == 0 || now == count);
    count = now;
  }
  return argument;
}
PROMISE(folders, "Ten threads read a folder, each with its own stream") {
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(read_folder, NULL);
  for (int i = 0; i < 10; i++) join(threads[i]);
}
static void* churn_memory(void* argument) {
  unsigned seed = (unsigned)(uintptr_t)argument;
  void* kept[64] = {NULL};
  for (int i = 0; i < 20000; i++) {
    int slot = rand_r(&seed) % 64;
    free(kept[slot]);
    size_t bytes = (size_t)(rand_r(&seed) % (i % 100 == 0 ? 300000 : 2000)) + 1;
    kept[slot] = malloc(bytes);
    memset(kept[slot], slot, bytes < 100 ? bytes : 100);
    if (i % 500 == 0) sched_yield();
  }
  for (int i = 0; i < 64; i++) free(kept[i]);
  return NULL;
}
PROMISE(memory, "Eight threads allocate and free at random") {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(churn_memory, (void*)(intptr_t)i);
  for (int i = 0; i < 8; i++) join(threads[i]);
}

// V8 keeps its compiled code so. Where the processor has no such keys there is nothing to keep.
static char* keyed_page;
static int page_key;
static void* use_key(void* argument) {
  unsigned own = argument != NULL ? PKEY_DISABLE_WRITE : 0;
  CHECK(pkey_set(page_key, own) == 0);
  for (int i = 0; i < 50; i++) {
    sched_yield();
    if (i % 5 == 0) sleep_ms(1);
    CHECK(pkey_get(page_key) == (int)own);
    CHECK(keyed_page[0] == 0);  // readable for both, though not for a thread that has never asked
  }
  return NULL;
}
PROMISE(protection_keys, "Each thread keeps its own rights by memory protection keys") {
  page_key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
  if (page_key == -1) return;
  keyed_page = (char*)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  NEED(pkey_mprotect(keyed_page, 4096, PROT_READ | PROT_WRITE, page_key));
  pthread_t threads[6];
  for (intptr_t i = 0; i < 6; i++) threads[i] = start(use_key, (void*)(i % 2));
  for (int i = 0; i < 6; i++) join(threads[i]);
  CHECK(pkey_get(page_key) == PKEY_DISABLE_ACCESS);
}
