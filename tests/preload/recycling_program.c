// A million threads, one after the other, each with an allocation and a thread-specific value: the
// memory of the process must not grow with their number. Prints what it has grown after the first
// tenth; 1 when that is more than what an allocator needs to settle.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { grown_kb_max = 1024 };

static pthread_key_t key;

static void* body(void* argument) {
  pthread_setspecific(key, malloc(100 + (size_t)argument % 1000));
  return argument;
}

static long resident_kb(void) {
  FILE* status = fopen("/proc/self/status", "r");
  char line[256];
  long kb = -1;
  while (status && fgets(line, sizeof line, status))
    if (sscanf(line, "VmRSS: %ld", &kb) == 1) break;
  if (status) fclose(status);
  return kb;
}

int main(int argc, char** argv) {
  const long count = argc > 1 ? atol(argv[1]) : 1000000;
  long settled_kb = 0;
  pthread_key_create(&key, free);
  for (long i = 0; i < count; ++i) {
    pthread_t thread;
    void* result = NULL;
    if (pthread_create(&thread, NULL, body, (void*)i) != 0 || pthread_join(thread, &result) != 0 ||
        result != (void*)i) {
      printf("thread %ld failed\n", i);
      return 1;
    }
    if (i == count / 10) settled_kb = resident_kb();
  }
  const long grown_kb = resident_kb() - settled_kb;
  printf("%ld threads; grown by %ld kB after the first tenth\n", count, grown_kb);
  return grown_kb > grown_kb_max;
}
