// Streams that threads share, and streams on which one of them blocks.
#include "check.h"

static FILE *reader, *writer;
static void make_streams(void) {
  int tube[2];
  NEED(pipe(tube));
  reader = fdopen(tube[0], "r");
  writer = fdopen(tube[1], "w");
}

static void* read_a_line(void* argument) {
  char line[64] = "";
  CHECK(fgets(line, sizeof line, reader) != NULL);
  return (void*)(intptr_t)(atoi(line) + (argument != NULL));
}
static int counted;
static void* count_some(void* argument) {
  for (int i = 0; i < 5; i++) {
    sleep_ms(1);
    ADD(counted, 1);
  }
  return argument;
}
PROMISE(blocked_fgets, "A thread blocked in fgets does not stop ten others") {
  make_streams();
  pthread_t blocked = start(read_a_line, NULL), others[10];
  settle();
  for (int i = 0; i < 10; i++) others[i] = start(count_some, NULL);
  for (int i = 0; i < 10; i++) join(others[i]);
  CHECK(counted == 50);
  fprintf(writer, "17\n");
  fflush(writer);
  CHECK(join_int(blocked) == 17);
}

static void* print_lines(void* argument) {
  for (int i = 0; i < 200; i++)
    fprintf(writer, "<%d|%d|%.*s>\n", (int)(intptr_t)argument, i, i % 40,
            "........................................");
  return NULL;
}
static void* print_and_close(void* argument) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(print_lines, (void*)(intptr_t)i);
  for (int i = 0; i < 8; i++) join(threads[i]);
  fclose(writer);
  return argument;
}
PROMISE(whole_lines, "Lines that eight threads print to one stream come out whole and in order") {
  make_streams();
  pthread_t printer = start(print_and_close, NULL);
  int next[8] = {0}, lines = 0, right = 0;
  char line[128];
  while (fgets(line, sizeof line, reader) != NULL) {
    int thread = -1, number = -1, end = 0;
    lines++;
    if (sscanf(line, "<%d|%d|%n", &thread, &number, &end) != 2 || thread < 0 || thread > 7)
      continue;
    if (next[thread]++ != number) continue;
    right += strspn(line + end, ".") == (size_t)(number % 40) &&
             strcmp(line + end + number % 40, ">\n") == 0;
  }
  join(printer);
  CHECK(lines == 1600 && right == 1600);
}

static int inside;
static void* use_locked_stream(void* argument) {
  for (int i = 0; i < 50; i++) {
    flockfile(writer);
    CHECK(ADD(inside, 1) == 1);
    putc_unlocked('a' + (int)(intptr_t)argument, writer);
    if (i % 10 == 0) sleep_ms(1);
    flockfile(writer);  // it may be taken again
    putc_unlocked('a' + (int)(intptr_t)argument, writer);
    funlockfile(writer);
    ADD(inside, -1);
    funlockfile(writer);
  }
  return NULL;
}
PROMISE(locked_streams, "flockfile excludes eight threads, also over sleeps") {
  make_streams();
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(use_locked_stream, (void*)(intptr_t)i);
  for (int i = 0; i < 8; i++) join(threads[i]);
  fclose(writer);
  int pairs = 0, one, two;
  while ((one = getc(reader)) != EOF && (two = getc(reader)) != EOF) pairs += one == two;
  CHECK(pairs == 400);
}
static void* try_stream(void* argument) {
  int result = ftrylockfile(writer);
  if (result == 0) funlockfile(writer);
  return (void*)(intptr_t)((result != 0) + (argument != NULL));
}
PROMISE(tried_streams, "ftrylockfile of a stream that another thread holds fails") {
  make_streams();
  flockfile(writer);
  CHECK(join_int(start(try_stream, NULL)) == 1);
  funlockfile(writer);
  CHECK(join_int(start(try_stream, NULL)) == 0);
}
static void* use_own_streams(void* argument) {
  char name[160], line[64];
  snprintf(name, sizeof name, "%s/own-%d", names_folder, (int)(intptr_t)argument);
  FILE* stream = fopen(name, "w+");
  CHECK(stream != NULL);
  for (int i = 0; i < 500; i++) fprintf(stream, "%d %d\n", (int)(intptr_t)argument, i);
  rewind(stream);
  int right = 0;
  for (int i = 0; i < 500 && fgets(line, sizeof line, stream); i++) {
    int one = -1, two = -1;
    right += sscanf(line, "%d %d", &one, &two) == 2 && one == (intptr_t)argument && two == i;
  }
  fclose(stream);
  return (void*)(intptr_t)right;
}
PROMISE(own_streams, "Eight threads write and read files through their own streams") {
  char name[160];
  fresh_name("x", name, sizeof name);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(use_own_streams, (void*)(intptr_t)i);
  for (int i = 0; i < 8; i++) CHECK(join_int(threads[i]) == 500);
}
static void* print_much(void* argument) {
  for (int i = 0; i < 3000; i++) fputs("0123456789012345678901234567890\n", writer);
  fclose(writer);
  return argument;
}
PROMISE(full_pipe, "A thread whose printf blocks on a full pipe goes on as it is read") {
  make_streams();
  pthread_t thread = start(print_much, NULL);
  settle();
  char line[64];
  int lines = 0;
  while (fgets(line, sizeof line, reader)) lines += strlen(line) == 32;
  join(thread);
  CHECK(lines == 3000);
}
static void* leave_with_lock(void* argument) {
  for (int i = 0; i < 20; i++) fprintf(writer, "line\n");
  pthread_exit(argument);
}
PROMISE(after_threads_end, "A stream is usable after the threads that printed to it have ended") {
  make_streams();
  for (int i = 0; i < 20; i++) join(start(leave_with_lock, NULL));
  CHECK(fprintf(writer, "end\n") == 4);
  fclose(writer);
  char line[64];
  int lines = 0;
  while (fgets(line, sizeof line, reader)) lines++;
  CHECK(lines == 401);
}
