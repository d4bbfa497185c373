// poll, select and epoll: readiness, time limits, many descriptors, several waiters.
#include "network.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

static int pair[2], tubes[600][2], tube_count;

static void make_tubes(int count) {
  struct rlimit most;
  NEED(getrlimit(RLIMIT_NOFILE, &most));
  if (most.rlim_cur < 4096) {
    most.rlim_cur = most.rlim_max < 4096 ? most.rlim_max : 4096;
    NEED(setrlimit(RLIMIT_NOFILE, &most));
  }
  for (tube_count = 0; tube_count < count; tube_count++) NEED(pipe(tubes[tube_count]));
}

static void* poll_all(void* argument) {
  static struct pollfd all[600];
  for (int i = 0; i < tube_count; i++) all[i] = (struct pollfd){tubes[i][0], POLLIN, 0};
  for (int seen = 0; seen < 3;) {
    int ready = poll(all, (nfds_t)tube_count, patience_ms);
    CHECK(ready >= 1);
    if (ready < 1) break;
    for (int i = 0; i < tube_count; i++) {
      if (all[i].revents == 0) continue;
      char byte;
      CHECK(all[i].revents == POLLIN && read(all[i].fd, &byte, 1) == 1);
      printf("descriptor %d of %d is ready\n", i, tube_count);
      seen++;
    }
    sem_post((sem_t*)argument);
  }
  return NULL;
}
PROMISE(poll_of_many, "poll of 600 descriptors ends as each becomes ready") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  make_tubes(600);
  pthread_t thread = start(poll_all, &semaphore);
  int order[] = {599, 0, 300};
  for (int i = 0; i < 3; i++) {
    settle();
    NEED(write(tubes[order[i]][1], "x", 1));
    sem_wait(&semaphore);
  }
  join(thread);
}

static void* select_all(void* argument) {
  fd_set set;
  int last = 0, seen = 0;
  FD_ZERO(&set);
  for (int i = 0; i < tube_count; i++) {
    FD_SET(tubes[i][0], &set);
    if (tubes[i][0] > last) last = tubes[i][0];
  }
  CHECK(select(last + 1, &set, NULL, NULL, NULL) == 1);
  for (int i = 0; i < tube_count; i++) {
    if (!FD_ISSET(tubes[i][0], &set)) continue;
    printf("descriptor %d of %d is ready\n", i, tube_count);
    seen++;
  }
  CHECK(seen == 1);
  return argument;
}
PROMISE(select_of_many, "select of a set with 400 descriptors gives the one that is ready") {
  make_tubes(400);
  pthread_t thread = start(select_all, NULL);
  settle();
  NEED(write(tubes[399][1], "x", 1));
  join(thread);
}

static void* time_limits(void* argument) {
  struct pollfd one = {pair[0], POLLIN, 77};
  int64_t began = now_ms();
  CHECK(poll(&one, 1, 20) == 0 && one.revents == 0);
  CHECK(now_ms() - began >= 20);
  CHECK(poll(&one, 1, 0) == 0);
  CHECK(poll(NULL, 0, 5) == 0);
  struct timespec time = from_ms(10);
  CHECK(ppoll(&one, 1, &time, NULL) == 0 && time.tv_nsec == 10000000);  // left alone
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pair[0], &set);
  struct timeval brief = {0, 20000};
  began = now_ms();
  CHECK(select(pair[0] + 1, &set, NULL, NULL, &brief) == 0 && !FD_ISSET(pair[0], &set));
  CHECK(now_ms() - began >= 19);
  CHECK(brief.tv_sec == 0 && brief.tv_usec == 0);  // Linux: what was left
  FD_SET(pair[0], &set);
  brief = (struct timeval){50, 0};
  NEED(write(pair[1], "x", 1));
  CHECK(select(pair[0] + 1, &set, NULL, NULL, &brief) == 1);
  CHECK(brief.tv_sec >= 40 && brief.tv_sec < 50);
  CHECK(poll(&one, 1, -1) == 1 && one.revents == POLLIN);
  int epoll = (int)NEED(epoll_create1(0));
  struct epoll_event event;
  began = now_ms();
  CHECK(epoll_wait(epoll, &event, 1, 20) == 0);
  CHECK(now_ms() - began >= 19);
  time = from_ms(5);
  CHECK(epoll_pwait2(epoll, &event, 1, &time, NULL) == 0);
  CHECK(epoll_wait(epoll, &event, 0, 0) == -1 && errno == EINVAL);
  CHECK(epoll_wait(pair[0], &event, 1, 0) == -1 && errno == EINVAL);
  CHECK(poll(&one, 1, 0) == 1);
  brief.tv_usec = -1;
  CHECK(select(0, NULL, NULL, NULL, &brief) == -1 && errno == EINVAL);
  return argument;
}
PROMISE(limits, "poll, select and epoll_wait end after their time limit and not before") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  join(start(time_limits, NULL));
}

PROMISE(events, "poll tells POLLOUT, POLLHUP, POLLRDHUP, POLLERR and POLLNVAL") {
  int tube[2];
  NEED(pipe(tube));
  struct pollfd all[3] = {{tube[1], POLLOUT, 0}, {tube[0], POLLIN, 0}, {-1, POLLIN, 9}};
  CHECK(poll(all, 3, 0) == 1);
  CHECK(all[0].revents == POLLOUT && all[1].revents == 0 && all[2].revents == 0);
  close(tube[1]);
  CHECK(poll(&all[1], 1, -1) == 1 && all[1].revents == POLLHUP);
  CHECK(poll(all, 1, -1) == 1 && all[0].revents == POLLNVAL);
  tcp_pair(pair);
  shutdown(pair[1], SHUT_WR);
  struct pollfd one = {pair[0], POLLIN | POLLRDHUP, 0};
  CHECK(poll(&one, 1, -1) == 1 && one.revents == (POLLIN | POLLRDHUP));
  NEED(pipe(tube));
  close(tube[0]);
  one = (struct pollfd){tube[1], POLLIN, 0};
  CHECK(poll(&one, 1, -1) == 1 && one.revents == POLLERR);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(60, &set);  // within the table of descriptors, but not open
  CHECK(select(61, &set, NULL, NULL, NULL) == -1 && errno == EBADF);
}

static void* poll_for_end(void* argument) {
  struct pollfd one = {*(int*)argument, POLLIN, 0};
  CHECK(poll(&one, 1, -1) == 1);
  CHECK(one.revents & POLLIN);
  return NULL;
}
PROMISE(several_pollers, "All threads that poll one descriptor end when it becomes ready") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(poll_for_end, &pair[0]);
  settle();
  NEED(write(pair[1], "x", 1));
  for (int i = 0; i < 10; i++) join(threads[i]);
}

static void* read_side(void* argument) {
  char text[4];
  CHECK(read_all(pair[0], text, 4) == 4);
  return argument;
}
static void* write_side(void* argument) {
  static char data[1 << 20];
  CHECK(write(pair[0], data, sizeof data) == sizeof data);
  return argument;
}
PROMISE(both_sides, "One thread waits to read and one to write on the same descriptor") {
  tcp_pair(pair);
  pthread_t reader = start(read_side, NULL), writer = start(write_side, NULL);
  settle();
  NEED(write(pair[1], "1234", 4));
  join(reader);
  static char data[1 << 20];
  CHECK(read_all(pair[1], data, sizeof data) == sizeof data);
  join(writer);
}

// epoll.
static int epoll, taken[400], total;
static void add(int fd, uint32_t events, int number) {
  struct epoll_event event = {.events = events, .data = {.u32 = (uint32_t)number}};
  NEED(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}
static void* take_events(void* argument) {
  int count = *(int*)argument;
  while (GET(total) < count) {
    struct epoll_event event;
    int ready = epoll_wait(epoll, &event, 1, 50);
    CHECK(ready >= 0);
    if (ready != 1) continue;
    ADD(taken[event.data.u32], 1);
    ADD(total, 1);
  }
  return NULL;
}
PROMISE(oneshot, "Of four threads in epoll_wait one takes each EPOLLONESHOT event") {
  int count = 200;
  make_tubes(count);
  epoll = (int)NEED(epoll_create1(0));
  for (int i = 0; i < count; i++) add(tubes[i][0], EPOLLIN | EPOLLONESHOT, i);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(take_events, &count);
  for (int i = 0; i < count; i++) NEED(write(tubes[i][1], "x", 1));
  for (int i = 0; i < 4; i++) join(threads[i]);
  int once = 0;
  for (int i = 0; i < count; i++) once += taken[i] == 1;
  CHECK(once == count);
}
PROMISE(edge, "An EPOLLET event comes once for each arrival and not again without one") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  epoll = (int)NEED(epoll_create1(0));
  add(pair[0], EPOLLIN | EPOLLET, 5);
  struct epoll_event event;
  CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
  for (int i = 0; i < 3; i++) {
    NEED(write(pair[1], "x", 1));
    CHECK(epoll_wait(epoll, &event, 1, -1) == 1);
    CHECK(event.data.u32 == 5 && event.events == EPOLLIN);
    CHECK(epoll_wait(epoll, &event, 1, 5) == 0);
  }
}
static void* exclusive_taker(void* argument) {
  int own = (int)NEED(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
  NEED(epoll_ctl(own, EPOLL_CTL_ADD, pair[0], &event));
  int stop = *(int*)argument;
  event.events = EPOLLIN;
  event.data.u32 = 1;
  NEED(epoll_ctl(own, EPOLL_CTL_ADD, stop, &event));
  for (;;) {
    struct epoll_event got;
    CHECK(epoll_wait(own, &got, 1, -1) == 1);
    if (got.data.u32 == 1) break;
    uint64_t number;
    if (read(pair[0], &number, sizeof number) == sizeof number) ADD(total, 1);
  }
  return NULL;
}
PROMISE(exclusive, "EPOLLEXCLUSIVE loses no event among four epolls on one descriptor") {
  pair[0] = (int)NEED(eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE));
  int stop = (int)NEED(eventfd(0, 0));
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(exclusive_taker, &stop);
  uint64_t one = 1;
  for (int i = 0; i < 100; i++) {
    NEED(write(pair[0], &one, sizeof one));
    AWAIT(GET(total) == i + 1);
  }
  NEED(write(stop, &one, sizeof one));
  for (int i = 0; i < 4; i++) join(threads[i]);
  CHECK(total == 100);
}
static void* wait_for_event(void* argument) {
  struct epoll_event event;
  CHECK(epoll_wait(epoll, &event, 1, -1) == 1);
  return (void*)(intptr_t)(event.data.u32 + (argument != NULL));
}
PROMISE(changes_while_waiting, "A descriptor added while a thread is in epoll_wait wakes it") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  epoll = (int)NEED(epoll_create1(0));
  pthread_t thread = start(wait_for_event, NULL);
  settle();
  NEED(write(pair[1], "x", 1));
  add(pair[0], EPOLLIN, 8);
  CHECK(join_int(thread) == 8);
  struct epoll_event event = {.events = EPOLLOUT, .data = {.u32 = 9}};
  NEED(epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], &event));
  CHECK((int)(intptr_t)wait_for_event(NULL) == 9);
  NEED(epoll_ctl(epoll, EPOLL_CTL_DEL, pair[0], NULL));
  CHECK(epoll_wait(epoll, &event, 1, 5) == 0);
  CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, pair[0], NULL) == -1 && errno == ENOENT);
}
PROMISE(nested_epoll, "An epoll inside an epoll and inside poll becomes ready") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int inner = (int)NEED(epoll_create1(0));
  epoll = inner;
  add(pair[0], EPOLLIN, 1);
  epoll = (int)NEED(epoll_create1(0));
  add(inner, EPOLLIN, 2);
  pthread_t thread = start(wait_for_event, NULL), poller = start(poll_for_end, &inner);
  settle();
  NEED(write(pair[1], "x", 1));
  CHECK(join_int(thread) == 2);
  join(poller);
}
PROMISE(closed_in_epoll,
        "A closed descriptor leaves its epoll, and its number can be added again") {
  epoll = (int)NEED(epoll_create1(0));
  for (int i = 0; i < 20; i++) {
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    add(pair[0], EPOLLIN, i);
    NEED(write(pair[1], "x", 1));
    CHECK((int)(intptr_t)wait_for_event(NULL) == i);
    close(pair[0]);
    struct epoll_event event;
    CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    close(pair[1]);
  }
}
