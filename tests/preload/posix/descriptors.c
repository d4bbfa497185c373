// Descriptors that are closed, copied and reused while threads wait on them.
#include "network.h"

#include <dirent.h>
#include <sys/resource.h>

static int pair[2], entered, returned, got, error;
static char byte;

static void* read_it(void* argument) {
  SET(entered, 1);
  got = (int)read(*(int*)argument, &byte, 1);
  error = errno;
  SET(returned, 1);
  return NULL;
}
static void* receive_it(void* argument) {
  SET(entered, 1);
  got = (int)recv(*(int*)argument, &byte, 1, 0);
  error = errno;
  SET(returned, 1);
  return NULL;
}

// Nothing but time can tell that a call which was about to begin has begun.
static void let_it_block(void) {
  AWAIT(GET(entered));
  sleep_ms(4 * settle_ms);
}

// What Linux does: the call keeps its file, close does not wake it, data or the end does.
PROMISE(close_under_recv, "close leaves a blocked recv waiting; what the peer sends still comes") {
  tcp_pair(pair);
  pthread_t thread = start(receive_it, &pair[0]);
  let_it_block();
  int other = dup(pair[0]);  // so that the connection outlives the close whoever holds it
  CHECK(close(pair[0]) == 0);
  settle();
  CHECK(!GET(returned));
  NEED(write(pair[1], "k", 1));
  join(thread);
  CHECK(got == 1 && byte == 'k');
  close(other);
}
PROMISE(close_under_read, "close leaves a blocked read of a pipe waiting; data still comes") {
  NEED(pipe(pair));
  pthread_t thread = start(read_it, &pair[0]);
  let_it_block();
  CHECK(close(pair[0]) == 0);
  settle();
  CHECK(!GET(returned));
  CHECK(write(pair[1], "p", 1) == 1);  // no EPIPE: the read end is in use
  join(thread);
  CHECK(got == 1 && byte == 'p');
}
PROMISE(close_then_end, "A read whose descriptor was closed ends when the peer closes") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pthread_t thread = start(receive_it, &pair[0]);
  let_it_block();
  CHECK(close(pair[0]) == 0);
  settle();
  CHECK(!GET(returned));
  close(pair[1]);
  join(thread);
  CHECK(got == 0);
}
static int server, accepted;
static void* accept_it(void* argument) {
  SET(entered, 1);
  accepted = accept(server, NULL, NULL);
  error = errno;
  SET(returned, 1);
  return argument;
}
PROMISE(close_under_accept, "close leaves a blocked accept waiting; a copy still lets clients in") {
  server = tcp_listener(5);
  int copy = dup(server);
  pthread_t thread = start(accept_it, NULL);
  let_it_block();
  CHECK(close(server) == 0);
  settle();
  CHECK(!GET(returned));
  tcp_client(copy);
  join(thread);
  CHECK(accepted >= 0);
}
PROMISE(shutdown_then_close, "shutdown wakes the reader that close would have left") {
  tcp_pair(pair);
  pthread_t thread = start(receive_it, &pair[0]);
  settle();
  shutdown(pair[0], SHUT_RDWR);
  close(pair[0]);
  join(thread);
  CHECK(got == 0 || (got == -1 && error == EBADF));  // EBADF if it had not begun
}
PROMISE(dup2_over_a_wait,
        "dup2 over a descriptor that a thread reads leaves it with the old file") {
  int other[2];
  NEED(pipe(pair));
  NEED(pipe(other));
  pthread_t thread = start(read_it, &pair[0]);
  let_it_block();
  NEED(dup2(other[0], pair[0]));
  NEED(write(other[1], "n", 1));
  settle();
  CHECK(!GET(returned));
  NEED(write(pair[1], "o", 1));
  join(thread);
  CHECK(byte == 'o');
  CHECK(read(pair[0], &byte, 1) == 1 && byte == 'n');
}

PROMISE(copies, "Data written to one copy is read from another, in two threads at once") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int copy = (int)NEED(dup(pair[0]));
  pthread_t thread = start(receive_it, &copy);
  settle();
  close(pair[0]);
  NEED(write(pair[1], "c", 1));
  join(thread);
  CHECK(got == 1 && byte == 'c');
  int moved = (int)NEED(fcntl(copy, F_DUPFD_CLOEXEC, 100));
  CHECK(moved >= 100);
  NEED(write(moved, "d", 1));
  CHECK(read(pair[1], &byte, 1) == 1 && byte == 'd');
}

static void* accept_and_close(void* argument) {
  for (int i = 0; i < 300; i++) {
    int fd = (int)NEED(accept(server, NULL, NULL));
    char text[4];
    CHECK(read_all(fd, text, 4) == 4);
    NEED(write(fd, text, 4));
    close(fd);  // its number is free for the accept of another thread at once
  }
  return argument;
}
static void* connect_often(void* argument) {
  int right = 0;
  for (int i = 0; i < 300; i++) {
    int fd = tcp_client(server);
    char text[5], back[4];
    snprintf(text, sizeof text, "%d%03d", (int)(intptr_t)argument, i);
    write_all(fd, text, 4);
    CHECK(read_all(fd, back, 4) == 4);
    right += memcmp(text, back, 4) == 0;
    close(fd);
  }
  return (void*)(intptr_t)right;
}
PROMISE(reused_numbers, "Descriptor numbers that are reused at once never mix up connections") {
  server = tcp_listener(64);
  pthread_t acceptors[4], clients[4];
  for (int i = 0; i < 4; i++) acceptors[i] = start(accept_and_close, NULL);
  for (int i = 0; i < 4; i++) clients[i] = start(connect_often, (void*)(intptr_t)i);
  for (int i = 0; i < 4; i++) CHECK(join_int(clients[i]) == 300);
  for (int i = 0; i < 4; i++) join(acceptors[i]);
}

static void* end_quickly(void* argument) { return argument; }
PROMISE(lowest_number, "open, dup, pipe and socket give the lowest free numbers beside threads") {
  pthread_t thread = start(end_quickly, NULL);
  int tube[2];
  int a = open("/dev/null", O_RDONLY), b = dup(a);
  NEED(pipe(tube));
  int c = socket(AF_UNIX, SOCK_STREAM, 0);
  printf("%d %d %d %d %d\n", a, b, tube[0], tube[1], c);
  join(thread);
  sleep_ms(2);
  close(b);
  printf("%d\n", open("/dev/null", O_RDONLY));
}

static void list_descriptors(const char* when) {
  printf("%s:", when);
  for (int fd = 0; fd < 1 << 12; fd++)
    if (fcntl(fd, F_GETFD) != -1) printf(" %d", fd);
  printf("\n");
}
static void* sleep_a_little(void* argument) {
  sleep_ms(5);
  return argument;
}
PROMISE(numbers_in_use, "Threads and their waits use up none of the lower descriptor numbers") {
  list_descriptors("before");
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(sleep_a_little, NULL);
  list_descriptors("beside ten threads");
  for (int i = 0; i < 10; i++) join(threads[i]);
  list_descriptors("after");
}

static void list_folder(const char* when) {
  DIR* folder = opendir("/proc/self/fd");
  struct dirent* entry;
  NEED(folder == NULL ? -1 : 0);
  printf("%s:", when);
  while ((entry = readdir(folder)) != NULL)
    if (entry->d_name[0] != '.') printf(" %s", entry->d_name);
  printf("\n");
  closedir(folder);
}
PROMISE(numbers_in_proc, "/proc/self/fd lists the descriptors of the program and no others") {
  list_folder("before");
  pthread_t threads[10];
  for (int i = 0; i < 10; i++) threads[i] = start(sleep_a_little, NULL);
  list_folder("beside ten threads");
  for (int i = 0; i < 10; i++) join(threads[i]);
  list_folder("after");
}

static void* read_pair(void* argument) {
  char text[4];
  CHECK(read_all(*(int*)argument, text, 4) == 4 && memcmp(text, "data", 4) == 0);
  return NULL;
}
static void works_as_before(void) {
  int now[2];
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, now));
  pthread_t threads[4];
  threads[0] = start(read_pair, &now[0]);
  for (int i = 1; i < 4; i++) threads[i] = start(sleep_a_little, NULL);
  settle();
  NEED(write(now[1], "data", 4));
  for (int i = 0; i < 4; i++) join(threads[i]);
  struct pollfd one = {now[0], POLLIN, 0};
  CHECK(poll(&one, 1, 10) == 0);
  close(now[0]);
  close(now[1]);
}
PROMISE(close_them_all,
        "After every descriptor from 3 on was closed, threads and sockets still work") {
  works_as_before();
  struct rlimit most;
  NEED(getrlimit(RLIMIT_NOFILE, &most));
  for (int fd = 3; fd < (int)most.rlim_cur && fd < 1 << 17; fd++) close(fd);
  works_as_before();
  works_as_before();
}
PROMISE(close_range_of_all, "After close_range from 3 on, threads and sockets still work") {
  works_as_before();
  CHECK(close_range(3, ~0u, 0) == 0);
  works_as_before();
  closefrom(3);
  works_as_before();
}
PROMISE(close_first, "A process may close everything before its first thread") {
  for (int fd = 3; fd < 1 << 16; fd++) close(fd);
  works_as_before();
}

static void* accept_without_room(void* argument) {
  CHECK(accept(server, NULL, NULL) == -1 && errno == EMFILE);
  return argument;
}
PROMISE(too_many,
        "With RLIMIT_NOFILE used up accept is EMFILE, nothing hangs, and later it works") {
  server = tcp_listener(5);
  int client = tcp_client(server);
  struct rlimit most;
  NEED(getrlimit(RLIMIT_NOFILE, &most));
  most.rlim_cur = 32;
  NEED(setrlimit(RLIMIT_NOFILE, &most));
  int last = -1, now;
  while ((now = dup(0)) != -1) last = now;
  CHECK(errno == EMFILE);
  join(start(accept_without_room, NULL));
  CHECK(socket(AF_UNIX, SOCK_STREAM, 0) == -1 && errno == EMFILE);
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(sleep_a_little, NULL);
  for (int i = 0; i < 5; i++) join(threads[i]);
  close(last);
  int fd = accept(server, NULL, NULL);
  CHECK(fd == last);
  NEED(write(client, "data", 4));
  join(start(read_pair, &fd));
}
PROMISE(low_limit_first,
        "Threads and waits work under a descriptor limit set before the first one") {
  struct rlimit most;
  NEED(getrlimit(RLIMIT_NOFILE, &most));
  most.rlim_cur = most.rlim_max = 16;
  NEED(setrlimit(RLIMIT_NOFILE, &most));
  works_as_before();
}
PROMISE(closed_standard, "Threads and sockets work in a process without standard descriptors") {
  close(0);
  close(2);
  works_as_before();
}
