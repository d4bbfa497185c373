// Pipes, fifos, terminals, eventfd, timerfd, inotify: what blocks a thread, and until when.
#include "check.h"

#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <termios.h>

static int tube[2];
static char name[128];

static void* read_line(void* argument) {
  static __thread char text[64];
  ssize_t got = read(*(int*)argument, text, sizeof text - 1);
  return (void*)(intptr_t)(got < 0 ? -errno : got);
}

PROMISE(pipe_end, "A reader of a pipe gets 0 when the last writer has closed") {
  NEED(pipe(tube));
  pthread_t thread = start(read_line, &tube[0]);
  int copy = dup(tube[1]);
  close(tube[1]);
  settle();
  CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);
  close(copy);
  CHECK(join_int(thread) == 0);
}

static void* open_to_read(void* argument) {
  int fd = open(name, O_RDONLY);
  CHECK(fd >= 0);
  int got = join_int(start(read_line, &fd));
  close(fd);
  return (void*)(intptr_t)(got + (argument != NULL));
}
static void* open_to_write(void* argument) {
  int fd = open(name, O_WRONLY);
  CHECK(fd >= 0 && write(fd, "hello", 5) == 5);
  close(fd);
  return argument;
}
PROMISE(fifo, "open of a fifo blocks until the other side is opened too") {
  NEED(mkfifo(fresh_name("fifo", name, sizeof name), 0600));
  CHECK(open(name, O_WRONLY | O_NONBLOCK) == -1 && errno == ENXIO);
  pthread_t reader = start(open_to_read, NULL);
  settle();
  CHECK(pthread_tryjoin_np(reader, NULL) == EBUSY);
  pthread_t writer = start(open_to_write, NULL);
  join(writer);
  CHECK(join_int(reader) == 5);
  writer = start(open_to_write, NULL);  // and the other way round
  settle();
  CHECK(pthread_tryjoin_np(writer, NULL) == EBUSY);
  CHECK(join_int(start(open_to_read, NULL)) == 5);
  join(writer);
}
PROMISE(many_fifos, "Ten threads blocked in open of fifos all go on") {
  NEED(mkfifo(fresh_name("fifo", name, sizeof name), 0600));
  pthread_t readers[10];
  for (int i = 0; i < 10; i++) readers[i] = start(open_to_read, NULL);
  settle();
  int fd = (int)NEED(open(name, O_WRONLY));
  settle();
  for (int i = 0; i < 10; i++) NEED(write(fd, "x", 1));
  sleep_ms(2);
  int got = 0, ended = 0;
  int64_t give_up = now_ms() + patience_ms;
  int done[10] = {0};
  while (ended < 10 && now_ms() < give_up) {  // one may have read several bytes at once
    for (int i = 0; i < 10; i++) {
      void* result;
      if (done[i] || pthread_tryjoin_np(readers[i], &result) != 0) continue;
      done[i] = 1;
      ended++;
      got += (int)(intptr_t)result;
    }
    if (ended < 10) NEED(write(fd, "x", 1));
    sleep_ms(1);
  }
  CHECK(ended == 10 && got >= 10);
}

PROMISE(terminal, "A thread reads lines from a terminal, and its mode stays as it was") {
  int master = (int)NEED(posix_openpt(O_RDWR | O_NOCTTY));
  NEED(grantpt(master));
  NEED(unlockpt(master));
  char slave_name[64];
  NEED(-ptsname_r(master, slave_name, sizeof slave_name));
  int slave = (int)NEED(open(slave_name, O_RDWR | O_NOCTTY));
  CHECK(isatty(slave));
  for (int i = 0; i < 3; i++) {
    pthread_t thread = start(read_line, &slave);
    settle();
    NEED(write(master, "no end yet", 10));
    settle();
    CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);  // canonical: it wants a whole line
    NEED(write(master, "\n", 1));
    CHECK(join_int(thread) == 11);
  }
  CHECK((fcntl(slave, F_GETFL) & O_NONBLOCK) == 0);
  struct termios mode;
  CHECK(tcgetattr(slave, &mode) == 0);
  cfmakeraw(&mode);
  CHECK(tcsetattr(slave, TCSANOW, &mode) == 0);
  pthread_t thread = start(read_line, &slave);
  NEED(write(master, "k", 1));
  CHECK(join_int(thread) == 1);
  close(slave);
  char text[64];
  ssize_t got;
  while ((got = read(master, text, sizeof text)) > 0) continue;
  CHECK(got == -1 && errno == EIO);
}

PROMISE(standard_input, "A thread reads standard input while others run") {
  NEED(pipe(tube));
  NEED(dup2(tube[0], 0));
  static int zero = 0;
  pthread_t thread = start(read_line, &zero);
  for (int i = 0; i < 20; i++) join(start(read_line, &(int){-1}));
  NEED(write(tube[1], "line\n", 5));
  CHECK(join_int(thread) == 5);
  close(tube[1]);
  CHECK(getchar() == EOF);
}

static void* read_number(void* argument) {
  uint64_t number = 0;
  CHECK(read(*(int*)argument, &number, sizeof number) == sizeof number);
  return (void*)(uintptr_t)number;
}
static void* write_number(void* argument) {
  uint64_t number = 5;
  CHECK(write(*(int*)argument, &number, sizeof number) == sizeof number);
  return NULL;
}
PROMISE(event_counter, "A read of an eventfd waits for a write, a write for room") {
  int fd = (int)NEED(eventfd(0, 0));
  pthread_t thread = start(read_number, &fd);
  settle();
  write_number(&fd);
  CHECK(join_int(thread) == 5);
  uint64_t most = UINT64_MAX - 1;
  NEED(write(fd, &most, sizeof most));
  thread = start(write_number, &fd);
  settle();
  CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);
  uint64_t number;
  CHECK(read(fd, &number, sizeof number) == 8 && number == most);
  join(thread);
  CHECK((intptr_t)read_number(&fd) == 5);
  uint32_t small;
  CHECK(read(fd, &small, sizeof small) == -1 && errno == EINVAL);
}
PROMISE(event_semaphore, "Ten threads share the counts of a semaphore eventfd") {
  int fd = (int)NEED(eventfd(0, EFD_SEMAPHORE));
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(read_number, &fd);
  settle();
  write_number(&fd);
  write_number(&fd);
  for (int i = 0; i < 10; i++) CHECK(join_int(threads[i]) == 1);
}

PROMISE(timer_descriptor, "A read of a timerfd waits until it expires and counts") {
  int fd = (int)NEED(timerfd_create(CLOCK_MONOTONIC, 0));
  struct itimerspec once = {from_ms(0), from_ms(20)};
  int64_t began = now_ms();
  NEED(timerfd_settime(fd, 0, &once, NULL));
  CHECK(join_int(start(read_number, &fd)) == 1);
  CHECK(now_ms() - began >= 19);
  struct itimerspec often = {from_ms(2), from_ms(2)};
  NEED(timerfd_settime(fd, 0, &often, NULL));
  sleep_ms(30);
  CHECK(join_int(start(read_number, &fd)) >= 10);
}

static void* read_notice(void* argument) {
  char text[4096] __attribute__((aligned(8)));
  ssize_t got = read(*(int*)argument, text, sizeof text);
  CHECK(got >= (ssize_t)sizeof(struct inotify_event));
  struct inotify_event notice;
  memcpy(&notice, text, sizeof notice);
  return (void*)(intptr_t)notice.mask;
}
PROMISE(file_notices, "A thread that reads inotify learns of a new file") {
  int fd = (int)NEED(inotify_init1(0));
  fresh_name("new", name, sizeof name);
  NEED(inotify_add_watch(fd, names_folder, IN_CREATE | IN_DELETE));
  pthread_t thread = start(read_notice, &fd);
  settle();
  close((int)NEED(open(name, O_CREAT | O_WRONLY, 0600)));
  CHECK(join_int(thread) == IN_CREATE);
  thread = start(read_notice, &fd);
  NEED(unlink(name));
  CHECK(join_int(thread) == IN_DELETE);
}

static void* use_files(void* argument) {
  char own[160], text[4096], back[4096];
  snprintf(own, sizeof own, "%s-%d", name, (int)(intptr_t)argument);
  memset(text, 'a' + (int)(intptr_t)argument, sizeof text);
  int fd = (int)NEED(open(own, O_CREAT | O_RDWR | O_TRUNC, 0600));
  for (int i = 0; i < 20; i++) CHECK(pwrite(fd, text, sizeof text, i * 4096) == 4096);
  CHECK(fsync(fd) == 0 && fdatasync(fd) == 0);
  for (int i = 0; i < 20; i++) {
    CHECK(pread(fd, back, sizeof back, i * 4096) == 4096);
    CHECK(memcmp(text, back, sizeof back) == 0);
  }
  CHECK(lseek(fd, 0, SEEK_END) == 20 * 4096);
  CHECK(read(fd, back, 1) == 0);
  close(fd);
  return NULL;
}
PROMISE(files, "Eight threads write, sync and read their own files") {
  fresh_name("file", name, sizeof name);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(use_files, (void*)(intptr_t)i);
  for (int i = 0; i < 8; i++) join(threads[i]);
}
