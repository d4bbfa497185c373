// A handler without SA_RESTART ends a slow call with EINTR; with SA_RESTART the call goes on, if it
// is one of those that are restarted. The handler runs in the thread that the signal was sent to.
#include "check.h"

#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>

static int pair[2], tube[2], handled, elsewhere, finished, result, error;
static pthread_t target;
static char buffer[1 << 18];
static void (*the_call)(void);

static void note_signal(int number) {
  (void)number;
  int kept = errno;
  if (!pthread_equal(pthread_self(), target)) ADD(elsewhere, 1);
  ADD(handled, 1);
  errno = kept;
}

static void* make_the_call(void* argument) {
  errno = 0;
  the_call();
  error = errno;
  SET(finished, 1);
  return argument;
}

static void prepare(void (*call)(void), int flags) {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  NEED(pipe(tube));
  handle(SIGUSR1, note_signal, flags);
  the_call = call;
  block(SIGUSR1);  // until the thread is known to the handler
  pthread_attr_t attributes;
  sigset_t none;
  sigemptyset(&none);
  pthread_attr_init(&attributes);
  pthread_attr_setsigmask_np(&attributes, &none);
  pthread_create(&target, &attributes, make_the_call, NULL);
}

// Signals come until the call ends: one that is handled before the call has begun has no effect.
static void interrupted(void (*call)(void), int flags) {
  prepare(call, flags);
  int64_t give_up = now_ms() + patience_ms;
  while (!GET(finished) && now_ms() < give_up) {
    pthread_kill(target, SIGUSR1);
    sleep_ms(3);
  }
  CHECK(GET(finished));
  if (!GET(finished)) _exit(70);
  join(target);
  CHECK(result == -1);
  errno = error;
  CHECK(error == EINTR);
  CHECK(handled > 0);
  CHECK(elsewhere == 0);
}
static void goes_on(void (*call)(void), void (*let_it_end)(void)) {
  prepare(call, SA_RESTART);
  for (int i = 1; i <= 12; i++) {
    pthread_kill(target, SIGUSR1);
    AWAIT(GET(handled) == i);
    settle();
  }
  CHECK(!GET(finished));
  let_it_end();
  join(target);
  errno = error;
  CHECK(result >= 0);
  CHECK(elsewhere == 0);
}

// ENDS(name, flags of the handler, how, statements) and RESTARTS(name, how, statements that let the
// call of ENDS(name) come to its end).
// clang-format off
#define ENDS(name, flags, how, ...)                                     \
  static void call_##name(void) { __VA_ARGS__ }                         \
  PROMISE(ends_##name, #name " ends with EINTR after a handler " how) { \
    interrupted(call_##name, flags);                                    \
  }
#define RESTARTS(name, how, ...)                                                             \
  static void end_##name(void) { __VA_ARGS__ }                                               \
  PROMISE(restarts_##name, #name " goes on after a handler with SA_RESTART, " how) {         \
    goes_on(call_##name, end_##name);                                                        \
  }
// clang-format on
#define WITHOUT "without SA_RESTART"
#define EVEN_WITH "even with SA_RESTART"

ENDS(read, 0, WITHOUT, result = (int)read(tube[0], buffer, 1);)
ENDS(recv, 0, WITHOUT, result = (int)recv(pair[0], buffer, 1, 0);)
ENDS(recvmsg, 0, WITHOUT, struct iovec part = {buffer, 1};
     struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
     result = (int)recvmsg(pair[0], &message, 0);)
static int listener(void) {
  int fd = (int)NEED(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "coir-interrupt-%d", getpid());
  NEED(bind(fd, (struct sockaddr*)&name, sizeof name));
  NEED(listen(fd, 5));
  return fd;
}
ENDS(accept, 0, WITHOUT, result = accept(listener(), NULL, NULL);)
static void fill(int fd) {
  int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  while (write(fd, buffer, 4096) > 0) continue;
  fcntl(fd, F_SETFL, flags);
}
ENDS(write, 0, WITHOUT, fill(tube[1]); result = (int)write(tube[1], buffer, 4096);)
ENDS(send, 0, WITHOUT, fill(pair[0]); result = (int)send(pair[0], buffer, 4096, 0);)
ENDS(poll, SA_RESTART, EVEN_WITH, struct pollfd one = {tube[0], POLLIN, 0};
     result = poll(&one, 1, -1);)
ENDS(ppoll, SA_RESTART, EVEN_WITH, struct pollfd one = {tube[0], POLLIN, 0};
     result = ppoll(&one, 1, NULL, NULL);)
ENDS(select, SA_RESTART, EVEN_WITH, fd_set set; FD_ZERO(&set); FD_SET(tube[0], &set);
     result = select(tube[0] + 1, &set, NULL, NULL, NULL);)
ENDS(pselect, SA_RESTART, EVEN_WITH, fd_set set; FD_ZERO(&set); FD_SET(tube[0], &set);
     result = pselect(tube[0] + 1, &set, NULL, NULL, NULL, NULL);)
ENDS(epoll_wait, SA_RESTART, EVEN_WITH, struct epoll_event event; int set = epoll_create1(0);
     result = epoll_wait(set, &event, 1, -1);)
ENDS(nanosleep, SA_RESTART, EVEN_WITH, struct timespec time = from_ms(60000);
     result = nanosleep(&time, NULL);)
ENDS(clock_nanosleep, SA_RESTART, EVEN_WITH, struct timespec time = from_ms(60000);
     errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL); result = -1;)
ENDS(usleep, SA_RESTART, EVEN_WITH, result = usleep(60000000);)
ENDS(pause, SA_RESTART, EVEN_WITH, result = pause();)
ENDS(sigsuspend, SA_RESTART, EVEN_WITH, sigset_t none; sigemptyset(&none);
     result = sigsuspend(&none);)
ENDS(sigtimedwait, SA_RESTART, EVEN_WITH, sigset_t set = set_of(SIGUSR2);
     struct timespec time = from_ms(60000); result = sigtimedwait(&set, NULL, &time);)
ENDS(
    msgrcv, SA_RESTART, EVEN_WITH,
    struct {
      long type;
      char text[8];
    } message;
    int queue = (int)NEED(msgget(IPC_PRIVATE, 0600));
    result = (int)msgrcv(queue, &message, sizeof message.text, 0, 0); int kept = errno;
    msgctl(queue, IPC_RMID, NULL); errno = kept;)

static pid_t sleeping_child(void) {
  pid_t child = (pid_t)NEED(fork());
  if (child != 0) return child;
  sleep_ms(60000);
  _exit(0);
}
ENDS(waitpid, 0, WITHOUT, pid_t child = sleeping_child(); result = waitpid(child, NULL, 0);
     int kept = errno; kill(child, SIGKILL); errno = kept;)

static char path[128];
ENDS(flock, 0, WITHOUT, fresh_name("lock", path, sizeof path);
     int first = open(path, O_CREAT | O_RDWR, 0600); int second = open(path, O_RDWR);
     NEED(flock(first, LOCK_EX)); result = flock(second, LOCK_EX);)
ENDS(open_of_a_fifo, 0, WITHOUT, fresh_name("fifo", path, sizeof path); NEED(mkfifo(path, 0600));
     result = open(path, O_RDONLY);)

static void feed(void) {
  NEED(write(tube[1], "x", 1));
  NEED(write(pair[1], "x", 1));
}
RESTARTS(read, "and gets the data", feed();)
RESTARTS(recv, "and gets the data", feed();)
RESTARTS(recvmsg, "and gets the data", feed();)
RESTARTS(accept, "and gets the connection", struct sockaddr_un name = {.sun_family = AF_UNIX};
         snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "coir-interrupt-%d", getpid());
         NEED(connect((int)NEED(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr*)&name,
                      sizeof name));)
static void drain(int fd) {
  NEED(fcntl(fd, F_SETFL, O_NONBLOCK));  // of the reading end: the writing end keeps its own mode
  int64_t give_up = now_ms() + patience_ms;
  while (!GET(finished) && now_ms() < give_up)
    if (read(fd, buffer + sizeof buffer / 2, 4096) == -1) sleep_ms(1);
}
RESTARTS(write, "and writes all", drain(tube[0]);)
RESTARTS(send, "and sends all", drain(pair[1]);)

static pid_t ready_child;
static void call_waitpid_of_a_child(void) { result = waitpid(ready_child, NULL, 0); }
static void end_the_child(void) { kill(ready_child, SIGKILL); }
PROMISE(restarts_waitpid, "waitpid goes on after a handler with SA_RESTART") {
  ready_child = sleeping_child();
  goes_on(call_waitpid_of_a_child, end_the_child);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static void call_mutex(void) {
  result = -pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
}
static void unlock_it(void) { pthread_mutex_unlock(&mutex); }
PROMISE(never_mutex, "pthread_mutex_lock never ends with EINTR") {
  pthread_mutex_lock(&mutex);
  goes_on(call_mutex, unlock_it);
}
static int go;
static void call_condition(void) {
  pthread_mutex_lock(&mutex);
  while (!go) result |= -pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
}
static void let_it_go(void) {
  pthread_mutex_lock(&mutex);
  go = 1;
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&mutex);
}
PROMISE(never_condition, "pthread_cond_wait never ends with EINTR") {
  goes_on(call_condition, let_it_go);
}
static pthread_t joined;
static void* wait_for_pipe(void* argument) {
  char byte;
  while (read(tube[0], &byte, 1) == -1 && errno == EINTR) continue;
  return argument;
}
static void call_join(void) { result = -pthread_join(joined = start(wait_for_pipe, NULL), NULL); }
PROMISE(never_join, "pthread_join never ends with EINTR") { goes_on(call_join, feed); }
