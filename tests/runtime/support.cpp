#include "tests/runtime/support.hpp"

#include <cstdlib>
#include <system_error>
#include <thread>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

namespace coir::test {
namespace {

constexpr const char* options_of_the_sanitizer = "ASAN_OPTIONS";

int checked(int result, const char* call) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), call);
  return result;
}

/// Waits a little; true while the peer's kernel may still take over what was written.
bool is_settling(int fd) {
  std::this_thread::sleep_for(milliseconds(5));
  tcp_info connection{};
  socklen_t size = sizeof connection;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &connection, &size) == 0 &&
         connection.tcpi_unacked > 0;
}

}  // namespace

stderr_capture::stderr_capture()
    : kept_(checked(::dup(STDERR_FILENO), "dup")),
      file_(checked(::memfd_create("stderr", MFD_CLOEXEC), "memfd_create")) {
  checked(::dup2(file_, STDERR_FILENO), "dup2");
}

stderr_capture::~stderr_capture() {
  ::dup2(kept_, STDERR_FILENO);
  ::close(kept_);
  ::close(file_);
}

without_leak_check::without_leak_check() {
  if (const char* set = std::getenv(options_of_the_sanitizer)) kept_ = set;
  ::setenv(options_of_the_sanitizer, (kept_ + ":detect_leaks=0").c_str(), 1);
}

without_leak_check::~without_leak_check() { ::setenv(options_of_the_sanitizer, kept_.c_str(), 1); }

std::string stderr_capture::text() const {
  std::string text;
  char part[4096];
  for (ssize_t size;
       (size = ::pread(file_, part, sizeof part, static_cast<off_t>(text.size()))) > 0;) {
    text.append(part, static_cast<std::size_t>(size));
  }
  return text;
}

pipe_ends make_pipe(int flags) {
  int ends[2];
  checked(::pipe2(ends, flags), "pipe2");
  return {descriptor(ends[0]), descriptor(ends[1])};
}

socket_ends make_socket_pair(int type) {
  int ends[2];
  checked(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
  return {descriptor(ends[0]), descriptor(ends[1])};
}

listener make_listener(int backlog) {
  listener made{descriptor(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")),
                {}};
  made.address.sin_family = AF_INET;
  made.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof made.address;
  checked(::bind(made.socket.get(), made.peer(), size), "bind");
  checked(::listen(made.socket.get(), backlog), "listen");
  checked(::getsockname(made.socket.get(), reinterpret_cast<sockaddr*>(&made.address), &size),
          "getsockname");
  return made;
}

socket_ends make_tcp_pair() {
  const listener door = make_listener();
  socket_ends made;
  made.one.reset(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  checked(::connect(made.one.get(), door.peer(), sizeof door.address), "connect");
  made.other.reset(
      checked(::accept4(door.socket.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept4"));
  return made;
}

listener make_full_listener(std::vector<descriptor>& filler) {
  constexpr int tries_max = 64;
  listener door = make_listener(0);
  for (int i = 0; i < tries_max; ++i) {
    filler.emplace_back(
        checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
    const int result = ::connect(filler.back().get(), door.peer(), sizeof door.address);
    if (result < 0 && errno != EINPROGRESS) checked(result, "connect");
    pollfd connected{filler.back().get(), POLLOUT, 0};
    if (result < 0 && ::poll(&connected, 1, 100) == 0) return door;
  }
  throw std::system_error(EINVAL, std::generic_category(), "the listener's queue does not fill");
}

descriptor make_event() { return descriptor(checked(::eventfd(0, EFD_CLOEXEC), "eventfd")); }

descriptor make_file() {
  char name[] = "/tmp/coir-test-XXXXXX";
  descriptor made(checked(::mkostemp(name, O_CLOEXEC), "mkostemp"));
  ::unlink(name);
  return made;
}

std::size_t fill(int fd) {
  const std::vector<char> data(4096, 'x');
  const int flags = flags_of(fd);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  std::size_t total = 0;
  constexpr int rounds_max = 100;
  bool is_over = false;
  for (int i = 0; i < rounds_max && !is_over; ++i) {
    is_over = i > 0 && !is_settling(fd);
    for (ssize_t size; (size = ::write(fd, data.data(), data.size())) > 0; is_over = false)
      total += static_cast<std::size_t>(size);
  }
  ::fcntl(fd, F_SETFL, flags);
  return total;
}

}  // namespace coir::test
