/// What the programs that load a server share: clocks, connections, and rounds that are asked for
/// on stdin.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

namespace bench {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t silence_ns_max = 10 * second_ns;  ///< a server this silent has failed
constexpr unsigned load_life_seconds_max = 600;

/// Ends the process with status 1.
[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "load: %s\n", what);
  std::exit(1);
}

/// The same, with what errno says.
[[noreturn]] inline void fail_with_errno(const char* what) {
  std::fprintf(stderr, "load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

inline std::int64_t clock_ns(clockid_t clock) {
  timespec t;
  if (clock_gettime(clock, &t) != 0) fail_with_errno("clock_gettime");
  return t.tv_sec * second_ns + t.tv_nsec;
}

inline std::int64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

/// The processor time of a process; of this one for 0.
inline clockid_t cpu_clock_of(pid_t process) {
  clockid_t clock;
  if (clock_getcpuclockid(process, &clock) != 0) fail("there is no such server process");
  return clock;
}

/// A connection to a loopback port, which `epoll` tells of, at every edge, with `data`.
inline int connect_to(std::uint16_t port, int epoll, void* data) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail_with_errno("socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(port);
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0) {
    fail_with_errno("connect");
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = data;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail_with_errno("epoll_ctl");
  return fd;
}

inline void raise_descriptor_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// An option whose value is a number above 0, and what is done with it.
struct number_option {
  const char* name;
  std::function<void(unsigned long)> set;
};

/// Reads the command line, in which every option has a number; ends the process on any other.
inline void parse_numbers(int argc, char** argv, const std::vector<number_option>& known) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const unsigned long number = i + 1 < argc ? std::strtoul(argv[i + 1], nullptr, 10) : 0;
    if (number == 0) fail("every option needs a number above 0");
    std::string names = "the options are";
    const number_option* found = nullptr;
    for (const number_option& each : known) {
      names += std::string(" ") + each.name;
      if (name == each.name) found = &each;
    }
    if (!found) fail(names.c_str());
    found->set(number);
  }
}

/// Says that all is connected; then each line of stdin is the length of a round in seconds, and
/// what `round(seconds)` returns, a std::string, is the line that answers. Returns at the end of
/// stdin.
template <class Round>
void serve_rounds(Round round) {
  std::printf("connected\n");
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const double seconds = std::strtod(line, nullptr);
    if (!(seconds > 0 && seconds <= 60)) fail("a round lasts up to 60 seconds");
    std::printf("%s\n", round(seconds).c_str());
    std::fflush(stdout);
  }
}

}  // namespace bench
