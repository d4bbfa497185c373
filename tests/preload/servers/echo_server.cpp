// An echo server as it stands in many textbooks: a std::thread for each connection, and calls that
// block. It knows nothing of coir.
//
// It listens on a free loopback port, says which, and serves until SIGTERM or SIGINT: then it
// accepts no more, closes the connections, waits for their threads and says how much it did. When
// it has no descriptor left, it refuses connections instead of leaving them in the backlog: one
// descriptor is kept in reserve for that.

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_set>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr int backlog = 4096;
constexpr std::size_t buffer_bytes = 16 * 1024;

int listener = -1;
volatile std::sig_atomic_t is_stopping = 0;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

/// Ends the accept that the main thread is in.
extern "C" void stop(int) {
  const int error = errno;
  is_stopping = 1;
  shutdown(listener, SHUT_RDWR);
  errno = error;
}

/// The connections that are open, and what they did.
class connections {
 public:
  void add(int fd) {
    const std::lock_guard lock(mutex_);
    open_.insert(fd);
    ++served_;
  }

  /// The connection's thread calls this last.
  void remove(int fd, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    open_.erase(fd);
    close(fd);
    bytes_ += bytes;
    if (open_.empty()) is_empty_.notify_all();
  }

  void refuse() {
    const std::lock_guard lock(mutex_);
    ++refused_;
  }

  void stop_all() {
    std::unique_lock lock(mutex_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    is_empty_.wait(lock, [this] { return open_.empty(); });
  }

  void print() {
    const std::lock_guard lock(mutex_);
    std::printf("served %llu connections, %llu bytes; refused %llu\n",
                static_cast<unsigned long long>(served_), static_cast<unsigned long long>(bytes_),
                static_cast<unsigned long long>(refused_));
  }

 private:
  std::mutex mutex_;
  std::condition_variable is_empty_;
  std::unordered_set<int> open_;
  std::uint64_t served_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t refused_ = 0;
};

connections all;

bool send_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

void serve(int fd) {
  char buffer[buffer_bytes];
  std::uint64_t bytes = 0;
  for (;;) {
    const ssize_t received = recv(fd, buffer, sizeof buffer, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0 || !send_all(fd, buffer, static_cast<std::size_t>(received))) break;
    bytes += static_cast<std::uint64_t>(received);
  }
  all.remove(fd, bytes);
}

void start(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  all.add(fd);
  try {
    std::thread(serve, fd).detach();
  } catch (const std::system_error&) {
    all.refuse();
    all.remove(fd, 0);
  }
}

int open_reserve() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

/// Takes a connection by means of the descriptor in reserve, and closes it.
void refuse_one(int& reserve) {
  close(reserve);
  const int fd = accept(listener, nullptr, nullptr);
  if (fd >= 0) {
    close(fd);
    all.refuse();
  }
  reserve = open_reserve();
}

void accept_all() {
  int reserve = open_reserve();
  while (is_stopping == 0) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd >= 0) {
      start(fd);
    } else if (errno == EMFILE || errno == ENFILE) {
      refuse_one(reserve);
    } else if (errno != EINTR && errno != ECONNABORTED && is_stopping == 0) {
      fail("accept");
    }
  }
}

int listen_on_free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
  if (listen(fd, backlog) != 0) fail("listen");
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) fail("getsockname");
  std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = stop;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

int main() {
  listener = listen_on_free_port();
  stop_on_signals();
  accept_all();
  close(listener);
  all.stop_all();
  all.print();
}
