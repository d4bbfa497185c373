/// What the raw echo servers have in common: their command line and their listening socket.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {

/// How a raw server runs.
struct server_options {
  std::size_t buffer_bytes = 65536;  ///< the most that one recv may bring
  unsigned buffer_count = 1024;      ///< how many such buffers a server with a buffer ring has
  unsigned seconds_max = 300;        ///< the server ends by itself after so long
};

/// Prints "`what`: `error` as text" and ends the process. `error` is an errno value.
[[noreturn]] inline void fail(const char* what, int error) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(error));
  std::exit(1);
}

/// Reads `--buffer BYTES`, `--buffers COUNT` and `--seconds LIMIT`; ends the process when there is
/// anything else.
inline server_options parse_server_options(int argc, char** argv) {
  server_options result;
  for (int i = 1; i < argc; i += 2) {
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    const unsigned long number = std::strtoul(value, nullptr, 10);
    if (number != 0 && std::strcmp(argv[i], "--buffer") == 0) {
      result.buffer_bytes = number;
    } else if (number != 0 && std::strcmp(argv[i], "--buffers") == 0) {
      result.buffer_count = static_cast<unsigned>(number);
    } else if (number != 0 && std::strcmp(argv[i], "--seconds") == 0) {
      result.seconds_max = static_cast<unsigned>(number);
    } else {
      std::fprintf(stderr, "usage: %s [--buffer BYTES] [--buffers COUNT] [--seconds LIMIT]\n",
                   argv[0]);
      std::exit(2);
    }
  }
  return result;
}

/// Makes sure that the process ends after `seconds_max`, and lets it open as many descriptors as
/// the administrator allows.
inline void set_limits(const server_options& how) {
  alarm(how.seconds_max);
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// A socket that listens on a free port of 127.0.0.1, which is printed. Accepted sockets inherit
/// TCP_NODELAY. Ends the process on an error.
inline int listen_on_loopback(int type_flags) {
  constexpr int backlog = 4096;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0);
  if (fd < 0) fail("socket", errno);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof local;
  if (bind(fd, reinterpret_cast<sockaddr*>(&local), size) != 0) fail("bind", errno);
  if (listen(fd, backlog) != 0) fail("listen", errno);
  getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
  std::printf("listening on 127.0.0.1:%u\n", ntohs(local.sin_port));
  std::fflush(stdout);
  return fd;
}

}  // namespace bench
