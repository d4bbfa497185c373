// Each blocking call that is a cancellation point ends when its thread is cancelled: the cleanup
// handler runs in that thread, nothing after the call does, and join gives PTHREAD_CANCELED.
#include "check.h"

#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/uio.h>

static int cleanups, went_on;
static pthread_t cleaned_in;
static int pair[2], tube[2];
static char buffer[65536];

static void note_cleanup(void* argument) {
  (void)argument;
  cleaned_in = pthread_self();
  ADD(cleanups, 1);
}

static void* blocked_call(void* argument) {
  void (*call)(void);
  memcpy(&call, &argument, sizeof call);
  pthread_cleanup_push(note_cleanup, NULL);
  call();
  ADD(went_on, 1);
  pthread_cleanup_pop(0);
  return NULL;
}

static void cancelled_in(void (*call)(void)) {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  NEED(pipe(tube));
  void* argument;
  memcpy(&argument, &call, sizeof argument);
  pthread_t thread = start(blocked_call, argument);
  settle();
  CHECK(pthread_cancel(thread) == 0);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(cleanups == 1);
  CHECK(went_on == 0);
  CHECK(pthread_equal(cleaned_in, thread));
}

// POINT(name, statements): the promise that a thread is cancelled in these statements.
// clang-format off
#define POINT(name, ...)                        \
  static void call_##name(void) { __VA_ARGS__ } \
  PROMISE(name, "A thread is cancelled in " #name) { cancelled_in(call_##name); }
// clang-format on

#define IGNORE(call) \
  if ((call) == -1) return

POINT(read, IGNORE(read(tube[0], buffer, 1));)
POINT(readv, struct iovec part = {buffer, 1}; IGNORE(readv(tube[0], &part, 1));)
POINT(write, for (;;) IGNORE(write(tube[1], buffer, sizeof buffer));)
POINT(writev, struct iovec part = {buffer, sizeof buffer};
      for (;;) IGNORE(writev(pair[0], &part, 1));)
POINT(recv, IGNORE(recv(pair[0], buffer, 1, 0));)
POINT(recvfrom, IGNORE(recvfrom(pair[0], buffer, 1, 0, NULL, NULL));)
POINT(recvmsg, struct iovec part = {buffer, 1};
      struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
      IGNORE(recvmsg(pair[0], &message, 0));)
POINT(send, for (;;) IGNORE(send(pair[0], buffer, sizeof buffer, 0));)
POINT(sendto, for (;;) IGNORE(sendto(pair[0], buffer, sizeof buffer, 0, NULL, 0));)
POINT(sendmsg, struct iovec part = {buffer, sizeof buffer};
      struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
      for (;;) IGNORE(sendmsg(pair[0], &message, 0));)

static struct sockaddr_un abstract_name(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "coir-cancel-%d", getpid());
  return name;
}
static int listener(int backlog) {
  struct sockaddr_un name = abstract_name();
  int fd = (int)NEED(socket(AF_UNIX, SOCK_STREAM, 0));
  NEED(bind(fd, (struct sockaddr*)&name, sizeof name));
  NEED(listen(fd, backlog));
  return fd;
}
POINT(accept, IGNORE(accept(listener(1), NULL, NULL));)
POINT(accept4, IGNORE(accept4(listener(1), NULL, NULL, SOCK_CLOEXEC));)
// Of a unix listener whose queue is full.
POINT(connect, struct sockaddr_un name = abstract_name(); listener(0); for (int i = 0; i < 10; i++)
          IGNORE(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr*)&name, sizeof name));)

POINT(poll, struct pollfd one = {tube[0], POLLIN, 0}; IGNORE(poll(&one, 1, -1));)
POINT(poll_of_nothing, IGNORE(poll(NULL, 0, 60000));)
POINT(ppoll, struct pollfd one = {tube[0], POLLIN, 0}; IGNORE(ppoll(&one, 1, NULL, NULL));)
POINT(select, fd_set set; FD_ZERO(&set); FD_SET(tube[0], &set);
      IGNORE(select(tube[0] + 1, &set, NULL, NULL, NULL));)
POINT(pselect, fd_set set; FD_ZERO(&set); FD_SET(tube[0], &set);
      IGNORE(pselect(tube[0] + 1, &set, NULL, NULL, NULL, NULL));)
POINT(epoll_wait, struct epoll_event event; int set = epoll_create1(0);
      IGNORE(epoll_wait(set, &event, 1, -1));)
POINT(epoll_pwait, struct epoll_event event; int set = epoll_create1(0);
      IGNORE(epoll_pwait(set, &event, 1, -1, NULL));)

POINT(nanosleep, struct timespec time = from_ms(60000); IGNORE(nanosleep(&time, NULL));)
POINT(clock_nanosleep, struct timespec time = in_ms(CLOCK_MONOTONIC, 60000);
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);)
POINT(sleep, sleep(60);)
POINT(usleep, IGNORE(usleep(60000000));)
POINT(pause, IGNORE(pause());)
POINT(sigsuspend, sigset_t none; sigemptyset(&none); IGNORE(sigsuspend(&none));)
POINT(sigwait, sigset_t set = set_of(SIGUSR1); block(SIGUSR1); int got; sigwait(&set, &got);)
POINT(sigwaitinfo, sigset_t set = set_of(SIGUSR1); block(SIGUSR1); IGNORE(sigwaitinfo(&set, NULL));)
POINT(sigtimedwait, sigset_t set = set_of(SIGUSR1); block(SIGUSR1);
      struct timespec time = from_ms(60000); IGNORE(sigtimedwait(&set, NULL, &time));)

static sem_t semaphore;
POINT(sem_wait, sem_init(&semaphore, 0, 0); IGNORE(sem_wait(&semaphore));)
POINT(sem_timedwait, sem_init(&semaphore, 0, 0);
      struct timespec time = in_ms(CLOCK_REALTIME, 60000);
      IGNORE(sem_timedwait(&semaphore, &time));)

static void* sleep_long(void* argument) {
  sleep_ms(60000);
  return argument;
}
POINT(pthread_join, pthread_join(start(sleep_long, NULL), NULL);)
POINT(pthread_timedjoin_np, struct timespec time = in_ms(CLOCK_REALTIME, 60000);
      pthread_timedjoin_np(start(sleep_long, NULL), NULL, &time);)

static pid_t sleeping_child;
static void make_child(void) {
  sleeping_child = (pid_t)NEED(fork());
  if (sleeping_child == 0) {
    sleep_ms(60000);
    _exit(0);
  }
}
static void in_child_wait(void (*call)(void)) {
  make_child();
  cancelled_in(call);
  CHECK(kill(sleeping_child, SIGKILL) == 0);
  CHECK(status_of(sleeping_child) == -SIGKILL);
}
static void call_waitpid(void) { IGNORE(waitpid(sleeping_child, NULL, 0)); }
PROMISE(waitpid, "A thread is cancelled in waitpid") { in_child_wait(call_waitpid); }
static void call_wait(void) { IGNORE(wait(NULL)); }
PROMISE(wait, "A thread is cancelled in wait") { in_child_wait(call_wait); }
static void call_waitid(void) {
  siginfo_t info;
  IGNORE(waitid(P_PID, (id_t)sleeping_child, &info, WEXITED));
}
PROMISE(waitid, "A thread is cancelled in waitid") { in_child_wait(call_waitid); }

static int queue;
static void call_msgrcv(void) {
  struct {
    long type;
    char text[8];
  } message;
  IGNORE(msgrcv(queue, &message, sizeof message.text, 0, 0));
}
PROMISE(msgrcv, "A thread is cancelled in msgrcv") {
  queue = (int)NEED(msgget(IPC_PRIVATE, 0600));
  cancelled_in(call_msgrcv);
  NEED(msgctl(queue, IPC_RMID, NULL));
}

static char fifo[128];
static void call_open(void) { IGNORE(open(fifo, O_RDONLY)); }
PROMISE(open_of_a_fifo, "A thread is cancelled in open of a fifo without a writer") {
  NEED(mkfifo(fresh_name("fifo", fifo, sizeof fifo), 0600));
  cancelled_in(call_open);
}

static void call_lock(void) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int fd = open(fifo, O_RDWR);
  IGNORE(fcntl(fd, F_SETLKW, &whole));
}
PROMISE(fcntl_setlkw, "A thread is cancelled in fcntl(F_SETLKW)") {
  int fd = (int)NEED(open(fresh_name("file", fifo, sizeof fifo), O_RDWR | O_CREAT, 0600));
  int ready[2];
  NEED(pipe(ready));
  pid_t holder = (pid_t)NEED(fork());
  if (holder == 0) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    NEED(fcntl(fd, F_SETLKW, &whole));
    NEED(write(ready[1], "x", 1));
    sleep_ms(60000);
    _exit(0);
  }
  char byte;
  NEED(read(ready[0], &byte, 1));
  cancelled_in(call_lock);
  kill(holder, SIGKILL);
  CHECK(status_of(holder) == -SIGKILL);
}

// Condition variables: the mutex is held again when the cleanup handler runs.
static pthread_mutex_t mutex;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int was_held;
static void unlock_and_note(void* argument) {
  (void)argument;
  was_held = pthread_mutex_unlock(&mutex) == 0;  // an error-checking mutex: EPERM if not held
}
static void make_errorcheck_mutex(void) {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&mutex, &kind);
}
static void call_cond_wait(void) {
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(unlock_and_note, NULL);
  for (;;) pthread_cond_wait(&condition, &mutex);
  pthread_cleanup_pop(0);
}
PROMISE(cond_wait, "A thread cancelled in pthread_cond_wait holds the mutex in its cleanup") {
  make_errorcheck_mutex();
  cancelled_in(call_cond_wait);
  CHECK(was_held);
  CHECK(pthread_mutex_trylock(&mutex) == 0);
}
static void call_cond_timedwait(void) {
  struct timespec time = in_ms(CLOCK_REALTIME, 60000);
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(unlock_and_note, NULL);
  for (;;) pthread_cond_timedwait(&condition, &mutex, &time);
  pthread_cleanup_pop(0);
}
PROMISE(cond_timedwait, "A thread cancelled in pthread_cond_timedwait holds the mutex again") {
  make_errorcheck_mutex();
  cancelled_in(call_cond_timedwait);
  CHECK(was_held);
  CHECK(pthread_mutex_trylock(&mutex) == 0);
}

static void unlock(void* argument) { pthread_mutex_unlock((pthread_mutex_t*)argument); }
static void* wait_once(void* argument) {
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(unlock, &mutex);
  while (!GET(*(int*)argument)) pthread_cond_wait(&condition, &mutex);
  pthread_cleanup_pop(1);
  return NULL;
}
PROMISE(cancelled_waiter_takes_no_wake, "A waiter is woken while another waiter is cancelled") {
  make_errorcheck_mutex();
  for (int round = 0; round < 50; round++) {
    int go = 0, never = 0;
    pthread_t cancelled = start(wait_once, &never);
    pthread_t woken = start(wait_once, &go);
    if (round % 10 == 0) settle();
    pthread_cancel(cancelled);
    pthread_mutex_lock(&mutex);
    SET(go, 1);
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    CHECK(join(cancelled) == PTHREAD_CANCELED);
    CHECK(join(woken) == NULL);
  }
}

PROMISE(join_again_after_cancel, "A thread whose joiner was cancelled can be joined by another") {
  cancelled_in(call_pthread_join);
  int done = 0;
  pthread_t sleeper = start(sleep_long, &done);
  pthread_cancel(sleeper);
  CHECK(join(sleeper) == PTHREAD_CANCELED);
}

PROMISE(data_is_kept, "A read that was cancelled has taken no data") {
  cancelled_in(call_recv);
  CHECK(write(pair[1], "abc", 3) == 3);
  CHECK(recv(pair[0], buffer, sizeof buffer, 0) == 3);
  CHECK(memcmp(buffer, "abc", 3) == 0);
}

PROMISE(accept_after_cancel, "A listener goes on accepting after an accept was cancelled") {
  cancelled_in(call_accept);
  struct sockaddr_un name = abstract_name();
  int client = (int)NEED(socket(AF_UNIX, SOCK_STREAM, 0));
  CHECK(connect(client, (struct sockaddr*)&name, sizeof name) == 0);
}
