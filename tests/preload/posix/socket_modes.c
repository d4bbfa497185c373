// O_NONBLOCK as the program set it, time limits of sockets, and what MSG_ flags promise.
#include "network.h"

static int pair[2];
static char buffer[1 << 20];

static int is_nonblocking(int fd) { return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }
static void* read_one(void* argument) {
  char byte = 0;
  CHECK(read(*(int*)argument, &byte, 1) == 1);
  return (void*)(intptr_t)byte;
}
PROMISE(stays_blocking, "A blocking socket stays blocking, seen from inside and from a child") {
  tcp_pair(pair);
  pthread_t thread = start(read_one, &pair[0]);
  settle();
  CHECK(!is_nonblocking(pair[0]) && !is_nonblocking(pair[1]));
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    CHECK(!is_nonblocking(pair[0]) && !is_nonblocking(pair[1]));
    FINISH_CHILD();
  }
  CHECK(status_of(child) == 0);
  int server = tcp_listener(5), client = tcp_client(server), accepted = accept(server, NULL, NULL);
  CHECK(!is_nonblocking(server) && !is_nonblocking(client) && !is_nonblocking(accepted));
  NEED(write(pair[1], "a", 1));
  CHECK(join_int(thread) == 'a');
  CHECK(!is_nonblocking(pair[0]));
}
PROMISE(stays_blocking_elsewhere, "A pipe shared with a child stays blocking for the child") {
  int tube[2], back[2];
  NEED(pipe(tube));
  NEED(pipe(back));
  pid_t child = (pid_t)NEED(fork());
  if (child == 0) {
    char byte;
    NEED(write(back[1], "r", 1));
    CHECK(read(tube[0], &byte, 1) == 1);  // and not EAGAIN
    CHECK(!is_nonblocking(tube[0]));
    FINISH_CHILD();
  }
  pthread_t thread = start(read_one, &back[0]);
  CHECK(join_int(thread) == 'r');
  settle();
  NEED(write(tube[1], "x", 1));
  CHECK(status_of(child) == 0);
}

static void* nonblocking_calls(void* argument) {
  int server = tcp_listener(5);
  set_nonblocking(server);
  set_nonblocking(pair[0]);
  CHECK(accept(server, NULL, NULL) == -1 && errno == EAGAIN);
  CHECK(recv(pair[0], buffer, 1, 0) == -1 && errno == EAGAIN);
  CHECK(read(pair[0], buffer, 1) == -1 && errno == EAGAIN);
  CHECK(recv(pair[0], buffer, 10, MSG_WAITALL) == -1 && errno == EAGAIN);
  CHECK(recv(pair[1], buffer, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  ssize_t sent;
  size_t total = 0;
  while ((sent = send(pair[0], buffer, sizeof buffer, 0)) > 0) total += (size_t)sent;
  CHECK(sent == -1 && errno == EAGAIN && total > 0);
  while (send(pair[1], buffer, sizeof buffer, MSG_DONTWAIT) > 0) continue;
  CHECK(errno == EAGAIN);
  int client = (int)NEED(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  struct sockaddr_in name = address_of(server);
  CHECK(connect(client, (struct sockaddr*)&name, sizeof name) == -1 && errno == EINPROGRESS);
  struct pollfd one = {client, POLLOUT, 0};
  CHECK(poll(&one, 1, patience_ms) == 1);
  int error = -1;
  socklen_t bytes = sizeof error;
  CHECK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && error == 0);
  return argument;
}
PROMISE(nonblocking, "Calls on non-blocking sockets answer EAGAIN and EINPROGRESS at once") {
  tcp_pair(pair);
  join(start(nonblocking_calls, NULL));
}
PROMISE(nonblocking_pipe, "Calls on non-blocking pipes answer EAGAIN at once") {
  int tube[2];
  NEED(pipe2(tube, O_NONBLOCK));
  CHECK(read(tube[0], buffer, 1) == -1 && errno == EAGAIN);
  while (write(tube[1], buffer, 4096) > 0) continue;
  CHECK(errno == EAGAIN);
}
static void* become_blocking(void* argument) {
  NEED(fcntl(pair[0], F_SETFL, O_RDWR));
  CHECK(recv(pair[0], buffer, 1, 0) == 1);
  return argument;
}
PROMISE(mode_changes, "O_NONBLOCK can be switched on and off again") {
  tcp_pair(pair);
  set_nonblocking(pair[0]);
  CHECK(recv(pair[0], buffer, 1, 0) == -1 && errno == EAGAIN);
  pthread_t thread = start(become_blocking, NULL);
  settle();
  NEED(write(pair[1], "x", 1));
  join(thread);
}

static void limit(int fd, int option, int ms) {
  struct timeval time = {ms / 1000, ms % 1000 * 1000};
  NEED(setsockopt(fd, SOL_SOCKET, option, &time, sizeof time));
}
static void* time_out(void* argument) {
  limit(pair[0], SO_RCVTIMEO, 30);
  int64_t began = now_ms();
  CHECK(recv(pair[0], buffer, 1, 0) == -1 && errno == EAGAIN);
  CHECK(now_ms() - began >= 25);
  CHECK(read(pair[0], buffer, 1) == -1 && errno == EAGAIN);
  limit(pair[0], SO_SNDTIMEO, 30);
  ssize_t sent;
  while ((sent = send(pair[0], buffer, sizeof buffer, 0)) > 0) continue;
  CHECK(sent == -1 && errno == EAGAIN);
  return argument;
}
PROMISE(time_limits, "SO_RCVTIMEO and SO_SNDTIMEO end calls with EAGAIN after their time") {
  tcp_pair(pair);
  time_out(NULL);
  tcp_pair(pair);
  join(start(time_out, NULL));
}
PROMISE(time_limit_is_read_back, "The time limits can be read back and taken off again") {
  tcp_pair(pair);
  limit(pair[0], SO_RCVTIMEO, 1500);
  struct timeval time = {0, 0};
  socklen_t bytes = sizeof time;
  CHECK(getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, &bytes) == 0);
  CHECK(time.tv_sec == 1 && time.tv_usec >= 490000 && time.tv_usec <= 510000);
  limit(pair[0], SO_RCVTIMEO, 10);
  CHECK(recv(pair[0], buffer, 1, 0) == -1 && errno == EAGAIN);
  limit(pair[0], SO_RCVTIMEO, 0);
  pthread_t thread = start(read_one, &pair[0]);
  sleep_ms(40);
  CHECK(pthread_tryjoin_np(thread, NULL) == EBUSY);
  NEED(write(pair[1], "z", 1));
  CHECK(join_int(thread) == 'z');
}
static void* accept_limited(void* argument) {
  int server = *(int*)argument;
  limit(server, SO_RCVTIMEO, 20);
  CHECK(accept(server, NULL, NULL) == -1 && errno == EAGAIN);
  return NULL;
}
PROMISE(accept_time_limit, "accept ends with EAGAIN after SO_RCVTIMEO") {
  int server = tcp_listener(1);
  join(start(accept_limited, &server));
}
static struct sockaddr_un abstract_name(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "coir-modes-%d", getpid());
  return name;
}
static void* connect_limited(void* argument) {
  struct sockaddr_un name = abstract_name();
  int answer = 0;
  for (int i = 0; i < 5 && answer == 0; i++) {
    int fd = (int)NEED(socket(AF_UNIX, SOCK_STREAM, 0));
    limit(fd, SO_SNDTIMEO, 20);
    answer = connect(fd, (struct sockaddr*)&name, sizeof name);
  }
  CHECK(answer == -1 && errno == EAGAIN);
  return argument;
}
PROMISE(connect_time_limit, "connect to a full unix listener ends with EAGAIN after SO_SNDTIMEO") {
  struct sockaddr_un name = abstract_name();
  int server = (int)NEED(socket(AF_UNIX, SOCK_STREAM, 0));
  NEED(bind(server, (struct sockaddr*)&name, sizeof name));
  NEED(listen(server, 0));
  join(start(connect_limited, NULL));
}
PROMISE(partial_before_the_limit, "MSG_WAITALL gives what came when the time limit ends it") {
  tcp_pair(pair);
  limit(pair[0], SO_RCVTIMEO, 40);
  NEED(write(pair[1], "abc", 3));
  CHECK(recv(pair[0], buffer, 10, MSG_WAITALL) == 3);
}
static void* connect_refused(void* argument) {
  int server = tcp_listener(1);
  struct sockaddr_in name = address_of(server);
  close(server);
  int fd = (int)NEED(socket(AF_INET, SOCK_STREAM, 0));
  CHECK(connect(fd, (struct sockaddr*)&name, sizeof name) == -1 && errno == ECONNREFUSED);
  return argument;
}
PROMISE(refused, "A blocking connect to a closed port is ECONNREFUSED") {
  join(start(connect_refused, NULL));
}
static void* receive_all(void* argument) {
  CHECK(recv(pair[0], buffer, 10, MSG_WAITALL) == 10);
  CHECK(memcmp(buffer, "0123456789", 10) == 0);
  return argument;
}
PROMISE(waitall, "MSG_WAITALL waits until all parts have come") {
  tcp_pair(pair);
  pthread_t thread = start(receive_all, NULL);
  for (int i = 0; i < 10; i++) {
    if (i % 3 == 0) settle();
    NEED(write(pair[1], &"0123456789"[i], 1));
  }
  join(thread);
  NEED(write(pair[1], "end", 3));
  close(pair[1]);
  CHECK(recv(pair[0], buffer, 10, MSG_WAITALL) == 3);
  CHECK(recv(pair[0], buffer, 10, MSG_WAITALL) == 0);
}
static void* peek(void* argument) {
  CHECK(recv(pair[0], buffer, 10, MSG_PEEK) == 3);
  CHECK(recv(pair[0], buffer, 2, MSG_PEEK) == 2);
  CHECK(recv(pair[0], buffer, 10, 0) == 3 && memcmp(buffer, "abc", 3) == 0);
  return argument;
}
PROMISE(peeking, "MSG_PEEK waits for data and leaves it there") {
  tcp_pair(pair);
  pthread_t thread = start(peek, NULL);
  settle();
  NEED(write(pair[1], "abc", 3));
  join(thread);
}
PROMISE(urgent, "Out-of-band data is seen by poll and read with MSG_OOB") {
  tcp_pair(pair);
  CHECK(send(pair[1], "!", 1, MSG_OOB) == 1);
  struct pollfd one = {pair[0], POLLPRI, 0};
  CHECK(poll(&one, 1, patience_ms) == 1 && (one.revents & POLLPRI));
  CHECK(recv(pair[0], buffer, 1, MSG_OOB) == 1 && buffer[0] == '!');
}
static void* end_of_stream(void* argument) {
  CHECK(recv(pair[0], buffer, 10, 0) == 0);
  return argument;
}
PROMISE(end_and_reset, "A reader sees the end as 0 and a reset as ECONNRESET") {
  tcp_pair(pair);
  pthread_t thread = start(end_of_stream, NULL);
  settle();
  shutdown(pair[1], SHUT_WR);
  join(thread);
  tcp_pair(pair);
  struct linger hard = {1, 0};
  NEED(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
  close(pair[1]);
  CHECK(recv(pair[0], buffer, 10, 0) == -1 && errno == ECONNRESET);
}
static void* shut_down(void* argument) {
  CHECK(recv(*(int*)argument, buffer, 10, 0) == 0);
  return NULL;
}
PROMISE(own_shutdown, "shutdown(SHUT_RD) of the own end wakes a blocked reader with 0") {
  tcp_pair(pair);
  pthread_t thread = start(shut_down, &pair[0]);
  settle();
  shutdown(pair[0], SHUT_RD);
  join(thread);
}
static void* accept_shut(void* argument) {
  CHECK(accept(*(int*)argument, NULL, NULL) == -1 && errno == EINVAL);
  return NULL;
}
PROMISE(shutdown_of_listener, "shutdown of a listener wakes a blocked accept with EINVAL") {
  int server = tcp_listener(1);
  pthread_t thread = start(accept_shut, &server);
  settle();
  shutdown(server, SHUT_RDWR);
  join(thread);
}
static void* wrong_descriptors(void* argument) {
  CHECK(read(9999, buffer, 1) == -1 && errno == EBADF);
  CHECK(recv(9999, buffer, 1, 0) == -1 && errno == EBADF);
  CHECK(accept(-1, NULL, NULL) == -1 && errno == EBADF);
  CHECK(write(-1, buffer, 1) == -1 && errno == EBADF);
  int tube[2];
  NEED(pipe(tube));
  CHECK(recv(tube[0], buffer, 1, 0) == -1 && errno == ENOTSOCK);
  CHECK(read(tube[1], buffer, 1) == -1 && errno == EBADF);
  CHECK(write(tube[0], buffer, 1) == -1 && errno == EBADF);
  CHECK(accept(pair[0], NULL, NULL) == -1 && errno == EINVAL);
  CHECK(read(pair[0], NULL, 0) == 0);
  NEED(write(pair[1], "x", 1));
  CHECK(recv(pair[0], (void*)8, 1, 0) == -1 && errno == EFAULT);
  int unconnected = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(recv(unconnected, buffer, 1, 0) == -1 && errno == ENOTCONN);
  return argument;
}
PROMISE(errors, "Wrong descriptors and addresses give the kernel's errors") {
  tcp_pair(pair);
  join(start(wrong_descriptors, NULL));
}
static void* errno_after_success(void* argument) {
  errno = 1234;
  CHECK(recv(pair[0], buffer, 1, 0) == 1 && errno == 1234);
  CHECK(send(pair[0], buffer, 1, 0) == 1 && errno == 1234);
  struct pollfd one = {pair[0], POLLOUT, 0};
  CHECK(poll(&one, 1, 100) == 1 && errno == 1234);
  sleep_ms(1);
  CHECK(errno == 1234);
  return argument;
}
PROMISE(errno_is_kept, "A call that succeeds after a wait leaves errno alone") {
  tcp_pair(pair);
  pthread_t thread = start(errno_after_success, NULL);
  settle();
  NEED(write(pair[1], "x", 1));
  join(thread);
}
