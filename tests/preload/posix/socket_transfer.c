// Amounts and forms of data: large sends, vectors, many messages, descriptors, files, splices.
#include "network.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

static int pair[2];
enum { large = 4 << 20 };
static char sent[large], received[large];

static void fill(void) {
  for (size_t i = 0; i < large; i++) sent[i] = (char)(i * 2654435761u >> 13);
}
static void* receive_slowly(void* argument) {
  int fd = *(int*)argument;
  size_t done = 0;
  for (int i = 0; done < large; i++) {
    size_t part = large - done < 50000 ? large - done : 50000;
    ssize_t got = read(fd, received + done, part);
    if (got <= 0) break;
    done += (size_t)got;
    if (i % 40 == 0) sleep_ms(1);
  }
  return (void*)(intptr_t)done;
}
static void check_received(pthread_t thread) {
  CHECK(join_int(thread) == large);
  CHECK(memcmp(sent, received, large) == 0);
}
PROMISE(large_write, "One write of 4 MiB to a blocking TCP socket is complete") {
  fill();
  tcp_pair(pair);
  pthread_t thread = start(receive_slowly, &pair[1]);
  CHECK(write(pair[0], sent, large) == large);
  check_received(thread);
}
PROMISE(large_send, "One send of 4 MiB to a blocking unix socket is complete") {
  fill();
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pthread_t thread = start(receive_slowly, &pair[1]);
  CHECK(send(pair[0], sent, large, 0) == large);
  check_received(thread);
}
PROMISE(large_pipe, "One write of 4 MiB to a blocking pipe is complete") {
  fill();
  NEED(pipe(pair));
  pthread_t thread = start(receive_slowly, &pair[0]);
  CHECK(write(pair[1], sent, large) == large);
  check_received(thread);
}
PROMISE(large_vector, "One writev and one sendmsg of many parts are complete") {
  fill();
  tcp_pair(pair);
  pthread_t thread = start(receive_slowly, &pair[1]);
  struct iovec parts[64];
  for (size_t i = 0; i < 64; i++) parts[i] = (struct iovec){sent + i * (large / 64), large / 64};
  CHECK(writev(pair[0], parts, 32) == large / 2);
  struct msghdr message = {.msg_iov = parts + 32, .msg_iovlen = 32};
  CHECK(sendmsg(pair[0], &message, 0) == large / 2);
  check_received(thread);
}
static void* write_large(void* argument) {
  CHECK(write(*(int*)argument, sent, large) == large);
  return NULL;
}
PROMISE(both_directions, "4 MiB go both ways through one socket at the same time") {
  fill();
  tcp_pair(pair);
  pthread_t one = start(write_large, &pair[0]), two = start(write_large, &pair[1]);
  pthread_t reader = start(receive_slowly, &pair[0]);
  static char other[large];
  CHECK(read_all(pair[1], other, large) == large);
  CHECK(memcmp(sent, other, large) == 0);
  check_received(reader);
  join(one);
  join(two);
}

static void* atomic_writer(void* argument) {
  char line[512];
  memset(line, 'a' + (int)(intptr_t)argument, sizeof line);
  for (int i = 0; i < 200; i++) NEED(write(pair[1], line, sizeof line));
  return NULL;
}
PROMISE(atomic_pipe_writes, "Writes of up to PIPE_BUF bytes by several threads do not mix") {
  NEED(pipe(pair));
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(atomic_writer, (void*)(intptr_t)i);
  int whole = 0;
  for (int i = 0; i < 800; i++) {
    char line[512];
    CHECK(read_all(pair[0], line, sizeof line) == sizeof line);
    whole += memcmp(line, line + 1, sizeof line - 1) == 0;
  }
  CHECK(whole == 800);
  for (int i = 0; i < 4; i++) join(threads[i]);
}

static void* send_file(void* argument) {
  int file = *(int*)argument;
  off_t at = 0;
  while (at < large) NEED(sendfile(pair[0], file, &at, (size_t)(large - at)));
  CHECK(at == large);
  return NULL;
}
PROMISE(sendfile_waits, "sendfile to a blocking socket goes on as the reader takes the data") {
  char name[128];
  fill();
  tcp_pair(pair);
  int file = (int)NEED(open(fresh_name("file", name, sizeof name), O_CREAT | O_RDWR, 0600));
  write_all(file, sent, large);
  pthread_t sender = start(send_file, &file), reader = start(receive_slowly, &pair[1]);
  check_received(reader);
  join(sender);
}

static int tube[2];
static void* splice_in(void* argument) {
  size_t total = 0;
  ssize_t got;
  while ((got = splice(*(int*)argument, NULL, tube[1], NULL, 1 << 16, 0)) > 0) total += (size_t)got;
  close(tube[1]);
  return (void*)total;
}
PROMISE(splicing, "splice from a socket to a pipe waits for data and for room") {
  fill();
  tcp_pair(pair);
  NEED(pipe(tube));
  pthread_t splicer = start(splice_in, &pair[1]), reader = start(receive_slowly, &tube[0]);
  settle();
  CHECK(write(pair[0], sent, large) == large);
  close(pair[0]);
  CHECK((size_t)join(splicer) == large);
  check_received(reader);
}

enum { burst = 20 };
static void* receive_burst(void* argument) {
  struct mmsghdr messages[burst];
  struct iovec parts[burst];
  char texts[burst][16];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < burst; i++) {
    parts[i] = (struct iovec){texts[i], sizeof texts[i]};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int got = recvmmsg(pair[1], messages, burst, 0, NULL);  // waits until all are there
  CHECK(got == burst);
  int right = 0;
  for (int i = 0; i < got; i++) right += messages[i].msg_len == (unsigned)i % 10 + 1;
  CHECK(right == burst);
  return argument;
}
PROMISE(many_messages, "recvmmsg waits for all its messages, sendmmsg sends all") {
  NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  pthread_t thread = start(receive_burst, NULL);
  struct mmsghdr messages[burst];
  struct iovec parts[burst];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < burst; i++) {
    parts[i] = (struct iovec){sent, (size_t)i % 10 + 1};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  settle();
  CHECK(sendmmsg(pair[0], messages, burst, 0) == burst);
  join(thread);
}
PROMISE(wait_for_one,
        "recvmmsg gives what is there with MSG_WAITFORONE, and ends at its time limit") {
  NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  struct mmsghdr messages[3];
  struct iovec parts[3];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < 3; i++) {
    parts[i] = (struct iovec){received + 100 * i, 100};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  NEED(send(pair[0], "a", 1, 0));
  NEED(send(pair[0], "b", 1, 0));
  CHECK(recvmmsg(pair[1], messages, 3, MSG_WAITFORONE, NULL) == 2);
  NEED(send(pair[0], "c", 1, 0));
  NEED(send(pair[0], "d", 1, 0));
  struct timespec time = {0, 1};  // looked at after each message
  CHECK(recvmmsg(pair[1], messages, 3, 0, &time) == 1);
  CHECK(recv(pair[1], received, 10, MSG_DONTWAIT) == 1 && received[0] == 'd');
}

static void* send_datagrams(void* argument) {
  for (int i = 0; i < 500; i++) CHECK(send(pair[0], &i, sizeof i, 0) == sizeof i);
  return argument;
}
PROMISE(full_datagram_queue, "A sender to a full unix datagram queue waits, and nothing is lost") {
  NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  pthread_t thread = start(send_datagrams, NULL);
  settle();
  int right = 0;
  for (int i = 0; i < 500; i++) {
    int number = -1;
    CHECK(recv(pair[1], &number, sizeof number, 0) == sizeof number);
    right += number == i;
  }
  CHECK(right == 500);
  join(thread);
}
PROMISE(datagram_borders, "Datagrams keep their borders, and MSG_TRUNC tells the whole length") {
  NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  NEED(send(pair[0], "abcdef", 6, 0));
  NEED(send(pair[0], "gh", 2, 0));
  CHECK(recv(pair[1], received, 3, MSG_TRUNC) == 6);
  CHECK(recv(pair[1], received, 10, 0) == 2 && received[0] == 'g');
}
static void* echo_udp(void* argument) {
  int fd = *(int*)argument;
  for (int i = 0; i < 20; i++) {
    struct sockaddr_in from;
    socklen_t bytes = sizeof from;
    char text[32];
    ssize_t got = recvfrom(fd, text, sizeof text, 0, (struct sockaddr*)&from, &bytes);
    CHECK(got > 0);
    CHECK(sendto(fd, text, (size_t)got, 0, (struct sockaddr*)&from, bytes) == got);
  }
  return NULL;
}
PROMISE(udp, "recvfrom waits for UDP messages and tells where they came from") {
  int server = (int)NEED(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in name = {.sin_family = AF_INET};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  NEED(bind(server, (struct sockaddr*)&name, sizeof name));
  name = address_of(server);
  pthread_t thread = start(echo_udp, &server);
  int client = (int)NEED(socket(AF_INET, SOCK_DGRAM, 0));
  NEED(connect(client, (struct sockaddr*)&name, sizeof name));
  for (int i = 0; i < 20; i++) {
    char text[32], back[32];
    int bytes = snprintf(text, sizeof text, "message %d", i);
    CHECK(send(client, text, (size_t)bytes, 0) == bytes);
    CHECK(recv(client, back, sizeof back, 0) == bytes && memcmp(text, back, (size_t)bytes) == 0);
  }
  join(thread);
}

static void* receive_descriptor(void* argument) {
  char byte;
  char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
  struct iovec part = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(*(int*)argument, &message, MSG_CMSG_CLOEXEC) == 1);
  int fd = -1;
  struct cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head != NULL) memcpy(&fd, CMSG_DATA(head), sizeof fd);
  CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
  char text[8] = "";
  CHECK(read(fd, text, sizeof text) == 5 && memcmp(text, "hello", 5) == 0);
  return NULL;
}
PROMISE(descriptors_in_messages,
        "A descriptor sent by SCM_RIGHTS works in the thread that gets it") {
  NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  NEED(pipe(tube));
  pthread_t thread = start(receive_descriptor, &pair[1]);
  settle();
  char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
  memset(control, 0, sizeof control);
  struct iovec part = {"x", 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &tube[0], sizeof(int));
  CHECK(sendmsg(pair[0], &message, 0) == 1);
  close(tube[0]);
  settle();
  NEED(write(tube[1], "hello", 5));
  join(thread);
}

static void* serve(void* argument) {
  int fd = (int)(intptr_t)argument;
  char text[64];
  ssize_t got;
  while ((got = read(fd, text, sizeof text)) > 0) NEED(write(fd, text, (size_t)got));
  close(fd);
  return NULL;
}
static int server;
static void* accept_many(void* argument) {
  for (int i = 0; i < 50; i++) {
    int fd = (int)NEED(accept(server, NULL, NULL));
    pthread_detach(start(serve, (void*)(intptr_t)fd));
  }
  return argument;
}
static void* ask(void* argument) {
  int fd = tcp_client(server), right = 0;
  for (int i = 0; i < 20; i++) {
    char text[32], back[32];
    int bytes = snprintf(text, sizeof text, "%d of client %d", i, (int)(intptr_t)argument);
    write_all(fd, text, (size_t)bytes);
    CHECK(read_all(fd, back, (size_t)bytes) == (size_t)bytes);
    right += memcmp(text, back, (size_t)bytes) == 0;
  }
  close(fd);
  return (void*)(intptr_t)right;
}
PROMISE(echo_server, "A thread per connection serves fifty clients at once") {
  server = tcp_listener(64);
  pthread_t acceptor = start(accept_many, NULL), clients[50];
  int right = 0;
  for (int i = 0; i < 50; i++) clients[i] = start(ask, (void*)(intptr_t)i);
  for (int i = 0; i < 50; i++) right += join_int(clients[i]);
  CHECK(right == 1000);
  join(acceptor);
}
