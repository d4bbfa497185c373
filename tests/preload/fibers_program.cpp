// Uses coir without its hooks, and calls libc plainly on fibers. Says of each call whether other
// fibers ran meanwhile: "blocked the thread" without the hooks, "cooperative" under `coir run`.
#include <coir/fiber.hpp>

#include <cstdio>

#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

constexpr auto patience = 10s;
constexpr timeval blocked_after{
    0, 200'000};  // without hooks nobody can send while the thread is blocked

struct pair {
  int fds[2];
  pair() {
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) std::perror("socketpair");
    ::setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &blocked_after, sizeof blocked_after);
  }
  ~pair() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
};

/// Runs `wait` in one fiber, and in another what it waits for.
template <class Wait>
void report(const char* name, Wait wait) {
  pair sockets;
  bool has_sent = false, was_cooperative = false;
  auto waiter = coir::spawn([&] {
    const bool has_come = wait(sockets.fds[0]);
    was_cooperative = has_come && has_sent;
  });
  auto sender = coir::spawn([&] { has_sent = ::send(sockets.fds[1], "x", 1, 0) == 1; });
  const bool is_over = waiter.join_for(patience) && sender.join_for(patience);
  std::printf("%s: %s\n", name,
              !is_over          ? "hangs"
              : was_cooperative ? "cooperative"
                                : "blocked the thread");
}

bool wait_by_poll(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 200) == 1;
}

}  // namespace

int main() {
  char byte;
  report("recv", [&](int fd) { return ::recv(fd, &byte, 1, 0) == 1; });
  report("read", [&](int fd) { return ::read(fd, &byte, 1) == 1; });
  report("poll", wait_by_poll);
  report("nanosleep", [](int) {
    const timespec length{0, 50'000'000};
    return ::nanosleep(&length, nullptr) == 0;
  });
}
