// Sockets on loopback for the programs of this folder.
#ifndef NETWORK_H
#define NETWORK_H
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static UNUSED int tcp_listener(int backlog) {
  int fd = (int)NEED(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in name = {.sin_family = AF_INET};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  NEED(bind(fd, (struct sockaddr*)&name, sizeof name));
  NEED(listen(fd, backlog));
  return fd;
}
static UNUSED struct sockaddr_in address_of(int fd) {
  struct sockaddr_in name;
  socklen_t bytes = sizeof name;
  NEED(getsockname(fd, (struct sockaddr*)&name, &bytes));
  return name;
}
static UNUSED int tcp_client(int listener) {
  struct sockaddr_in name = address_of(listener);
  int fd = (int)NEED(socket(AF_INET, SOCK_STREAM, 0));
  NEED(connect(fd, (struct sockaddr*)&name, sizeof name));
  return fd;
}
static UNUSED void tcp_pair(int pair[2]) {
  int listener = tcp_listener(5);
  pair[0] = tcp_client(listener);
  pair[1] = (int)NEED(accept(listener, NULL, NULL));
  close(listener);
}
static UNUSED void write_all(int fd, const void* data, size_t bytes) {
  for (size_t done = 0; done < bytes;)
    done += (size_t)NEED(write(fd, (const char*)data + done, bytes - done));
}
// Until `bytes` are there or the end; the number read.
static UNUSED size_t read_all(int fd, void* data, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    size_t got = (size_t)NEED(read(fd, (char*)data + done, bytes - done));
    if (got == 0) break;
    done += got;
  }
  return done;
}
static UNUSED void set_nonblocking(int fd) {
  NEED(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}
#endif
