/* What does a thread cost that does nothing? Parks N threads in a condition variable.
 *
 *   parked N: says "ready", waits for a line on stdin, starts the threads, says "parked" when all
 *   of them wait, and ends after one more line.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_come = PTHREAD_COND_INITIALIZER;
static pthread_cond_t may_go = PTHREAD_COND_INITIALIZER;
static int waiting = 0;
static int is_open = 0;

static void* park(void* unused) {
  pthread_mutex_lock(&mutex);
  ++waiting;
  pthread_cond_signal(&has_come);
  while (!is_open) pthread_cond_wait(&may_go, &mutex);
  pthread_mutex_unlock(&mutex);
  return unused;
}

static void await_line(const char* what) {
  char line[16];
  puts(what);
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) exit(1);
}

int main(int argc, char** argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 10000;
  pthread_t* threads = calloc((size_t)count, sizeof *threads);
  if (threads == NULL) return 1;
  await_line("ready");
  for (int i = 0; i < count; ++i) {
    if (pthread_create(&threads[i], NULL, park, NULL) != 0) {
      fprintf(stderr, "parked: thread %d could not be made\n", i);
      return 1;
    }
  }
  pthread_mutex_lock(&mutex);
  while (waiting < count) pthread_cond_wait(&has_come, &mutex);
  pthread_mutex_unlock(&mutex);
  await_line("parked");
  pthread_mutex_lock(&mutex);
  is_open = 1;
  pthread_cond_broadcast(&may_go);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  free(threads);
  return 0;
}
