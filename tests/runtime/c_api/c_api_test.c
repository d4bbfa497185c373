/* The C interface, used from a C program. Ends with 0 when all of it does what it says. */
#include <coir/coir.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const int64_t ms = 1000000;
static const int64_t patience = 20000000000;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: %s is not so\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

static void add_one(void* argument) { ++*(int*)argument; }

static void a_fiber_runs_once_the_caller_parks(void) {
  int count = 0;
  coir_fiber* fiber = coir_spawn(add_one, &count, NULL);
  CHECK(fiber && count == 0 && !coir_is_done(fiber) && coir_id(fiber) > 0);
  CHECK(coir_join(fiber, -1) == 0);
  CHECK(count == 1 && coir_is_done(fiber));
  CHECK(coir_join(coir_retain(fiber), 0) == 0);
  coir_release(fiber);
  coir_release(fiber);
  coir_release(NULL);
}

static void attributes_are_obeyed(void) {
  int count = 0;
  const coir_attributes first = {.name = "first", .run_first = 1, .stack_bytes = 65536};
  coir_fiber* fiber = coir_spawn(add_one, &count, &first);
  CHECK(count == 1);
  coir_release(fiber);
  const coir_attributes late = {.delay_ns = 5 * ms};
  const int64_t start = now_ns();
  fiber = coir_spawn(add_one, &count, &late);
  CHECK(coir_join(fiber, patience) == 0 && count == 2 && now_ns() - start >= 5 * ms);
  coir_release(fiber);
}

static void sleep_for_ever(void* argument) { *(int*)argument = coir_sleep_ns(-1); }

static void a_join_ends_with_its_time(void) {
  int result = 1;
  coir_fiber* fiber = coir_spawn(sleep_for_ever, &result, NULL);
  CHECK(coir_join(fiber, 2 * ms) == -ETIMEDOUT);
  CHECK(coir_kill(fiber) == 0 && coir_join(fiber, patience) == 0);
  CHECK(result == -ECANCELED);
  coir_release(fiber);
}

static int results[4];

static void waits_until_the_end(void* argument) {
  results[0] = coir_sleep_ns(-1);
  results[1] = coir_sleep_ns(-1);
  results[2] = coir_yield();
  results[3] = coir_wait_fd(*(int*)argument, POLLIN, -1);
}

static void a_killed_fiber_cannot_wait_any_more(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  coir_fiber* fiber = coir_spawn(waits_until_the_end, &ends[0], NULL);
  coir_yield();
  CHECK(coir_kill(fiber) == 0 && coir_join(fiber, patience) == 0);
  for (int i = 0; i < 4; ++i) CHECK(results[i] == -ECANCELED);
  coir_release(fiber);
  close(ends[0]);
  close(ends[1]);
}

static coir_fiber* self;
static void join_myself(void* argument) { *(int*)argument = coir_join(self, -1); }

static void a_fiber_cannot_join_itself(void) {
  int result = 0;
  self = coir_spawn(join_myself, &result, NULL);
  CHECK(coir_join(self, patience) == 0 && result == -EDEADLK);
  coir_release(self);
}

static void write_later(void* argument) {
  coir_sleep_ns(2 * ms);
  CHECK(write(*(int*)argument, "x", 1) == 1);
}

static void a_descriptor_is_waited_for(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(coir_wait_fd(ends[0], POLLIN, 2 * ms) == -ETIMEDOUT);
  coir_fiber* writer = coir_spawn(write_later, &ends[1], NULL);
  CHECK(coir_wait_fd(ends[0], POLLIN, patience) == POLLIN);
  CHECK(coir_join(writer, patience) == 0);
  coir_release(writer);
  CHECK(coir_close(ends[1]) == 0 && coir_close(ends[1]) == -EBADF);
  CHECK(coir_wait_fd(ends[1], POLLOUT, patience) == -EBADF);
  CHECK(coir_close(ends[0]) == 0);
}

static void block_for_a_while(void* argument) {
  usleep(2000);
  ++*(int*)argument;
}

static void blocking_work_goes_to_a_thread(void) {
  int done = 0;
  int others = 0;
  coir_fiber* other = coir_spawn(add_one, &others, NULL);
  CHECK(coir_offload(block_for_a_while, &done) == 0);
  CHECK(done == 1 && others == 1);
  coir_release(other);
}

static void produce(void* argument) {
  static int items[10];
  coir_queue* queue = argument;
  for (int i = 0; i < 10; ++i) {
    items[i] = i;
    CHECK(coir_queue_put(queue, &items[i], patience) == 0);
  }
  coir_queue_shutdown(queue);
}

static void a_queue_carries_pointers_in_order(void) {
  coir_queue* queue = coir_queue_new(3);
  void* item;
  CHECK(queue && coir_queue_get(queue, &item, 0) == -ETIMEDOUT);
  coir_fiber* producer = coir_spawn(produce, queue, NULL);
  for (int i = 0; i < 10; ++i) {
    CHECK(coir_queue_get(queue, &item, patience) == 0);
    CHECK(*(int*)item == i && coir_queue_size(queue) <= 3);
  }
  CHECK(coir_queue_get(queue, &item, patience) == -EPIPE);
  CHECK(coir_queue_put(queue, item, 0) == -EPIPE);
  CHECK(coir_join(producer, patience) == 0);
  coir_release(producer);
  coir_queue_free(queue);
  queue = coir_queue_new(1);
  CHECK(coir_queue_put(queue, item, 0) == 0 && coir_queue_put(queue, item, 2 * ms) == -ETIMEDOUT);
  coir_queue_free(queue);
}

static void the_dump_names_the_fibers(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  int result;
  const coir_attributes named = {.name = "sleeper"};
  coir_fiber* fiber = coir_spawn(sleep_for_ever, &result, &named);
  coir_yield();
  CHECK(coir_dump(ends[1]) == 0 && coir_dump(-1) == -EBADF);
  char text[4096] = {0};
  CHECK(read(ends[0], text, sizeof text - 1) > 0);
  CHECK(strstr(text, "\"sleeper\"") && strstr(text, "sleeps"));
  coir_kill(fiber);
  CHECK(coir_join(fiber, patience) == 0);
  coir_release(fiber);
  close(ends[0]);
  close(ends[1]);
}

static void wait_and_note(void* result) { *(int*)result = coir_sleep_ns(5 * ms); }

static void another_loop_runs_the_fibers(void) {
  int result = 1;
  coir_fiber* fiber = coir_spawn(wait_and_note, &result, NULL);
  struct pollfd own = {coir_pollable_fd(), POLLIN, 0};
  CHECK(own.fd >= 0);
  for (int i = 0; i < 1000 && !coir_is_done(fiber); ++i) {
    int64_t limit_ns = 0;
    CHECK(coir_run_once(&limit_ns) == 0);
    CHECK(limit_ns <= 5 * ms);
    if (limit_ns > 0) poll(&own, 1, (int)(limit_ns / ms) + 1);
  }
  CHECK(coir_is_done(fiber) && result == 0);
  coir_release(fiber);
}

static void run_once_in_fiber(void* result) {
  int64_t limit_ns;
  *(int*)result = coir_run_once(&limit_ns);
}

static void a_spawned_fiber_runs_no_loop(void) {
  int result = 0;
  coir_fiber* fiber = coir_spawn(run_once_in_fiber, &result, NULL);
  CHECK(coir_join(fiber, patience) == 0 && result == -EDEADLK);
  coir_release(fiber);
}

static void several_descriptors_are_waited_for(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  struct pollfd both[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}};
  CHECK(coir_poll(both, 2, 2 * ms) == 0);
  both[1].events = POLLOUT;
  CHECK(coir_poll(both, 2, patience) == 1 && both[1].revents == POLLOUT);
  close(ends[0]);
  close(ends[1]);
}

int main(void) {
  const char* wanted = getenv("COIR_BACKEND");
  const char* backend = coir_backend();
  if (!backend) return wanted && strcmp(wanted, "uring") == 0 ? 77 : 1;
  CHECK(!wanted || strcmp(backend, strcmp(wanted, "uring") == 0 ? "io_uring" : "epoll") == 0);
  a_fiber_runs_once_the_caller_parks();
  attributes_are_obeyed();
  a_join_ends_with_its_time();
  a_killed_fiber_cannot_wait_any_more();
  a_fiber_cannot_join_itself();
  a_descriptor_is_waited_for();
  blocking_work_goes_to_a_thread();
  a_queue_carries_pointers_in_order();
  the_dump_names_the_fibers();
  several_descriptors_are_waited_for();
  another_loop_runs_the_fibers();
  a_spawned_fiber_runs_no_loop();
  CHECK(coir_sleep_ns(0) == 0);
  puts("c_api: ok");
  return 0;
}
