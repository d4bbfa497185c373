// The same answers straight from epoll, edge-triggered, without an HTTP server: what the kernel's
// share of a request costs, and the limit of what any server can reach.
//
// It looks for nothing but the end of each request's head, and sends the answers of all the
// requests that came together at once.

#include "bench/echo/raw_server.hpp"

#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

#include <sys/epoll.h>

namespace {

constexpr int events_per_turn = 128;
constexpr std::string_view head_end = "\r\n\r\n";
constexpr std::string_view answer =
    "HTTP/1.1 200 OK\r\n"
    "Date: Thu, 29 Feb 2024 12:00:00 GMT\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 14\r\n"
    "\r\n"
    "Hello, World!\n";

struct connection {
  int fd;
  std::string begun;  ///< the part of a request whose rest has not come
};

class server {
 public:
  explicit server(std::size_t buffer_bytes) : buffer_(buffer_bytes) {}

  [[noreturn]] void run() {
    add(listener_, nullptr);
    for (;;) turn();
  }

 private:
  void turn();
  void accept_all();
  void add(int fd, connection* c);
  bool serve(connection& c);
  bool answer_all(connection& c, std::string_view received);

  int listener_ = bench::listen_on_loopback(SOCK_NONBLOCK);
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<char> buffer_;
  std::string answers_;
};

void server::turn() {
  epoll_event events[events_per_turn];
  const int count = epoll_wait(epoll_, events, events_per_turn, -1);
  if (count < 0 && errno != EINTR) bench::fail("epoll_wait", errno);
  for (int i = 0; i < count; ++i) {
    auto* c = static_cast<connection*>(events[i].data.ptr);
    if (c == nullptr) {
      accept_all();
    } else if (!serve(*c)) {
      close(c->fd);
      delete c;
    }
  }
}

void server::accept_all() {
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0) bench::fail("accept4", errno);
    add(fd, new connection{fd, {}});
  }
}

void server::add(int fd, connection* c) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  event.data.ptr = c;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) bench::fail("epoll_ctl", errno);
}

/// False when the connection has ended. A short read means that the socket is empty.
bool server::serve(connection& c) {
  for (;;) {
    const ssize_t received = recv(c.fd, buffer_.data(), buffer_.size(), 0);
    if (received < 0) return errno == EAGAIN;
    if (received == 0) return false;
    const auto size = static_cast<std::size_t>(received);
    if (!answer_all(c, {buffer_.data(), size})) return false;
    if (size < buffer_.size()) return true;
  }
}

/// False when the client does not take its answers: the load always does.
bool server::answer_all(connection& c, std::string_view received) {
  if (!c.begun.empty()) received = c.begun.append(received);
  answers_.clear();
  for (std::size_t end; (end = received.find(head_end)) != std::string_view::npos;) {
    received.remove_prefix(end + head_end.size());
    answers_ += answer;
  }
  c.begun = std::string(received);
  if (answers_.empty()) return true;
  const ssize_t sent = send(c.fd, answers_.data(), answers_.size(), MSG_NOSIGNAL);
  return sent == static_cast<ssize_t>(answers_.size());
}

}  // namespace

int main(int argc, char** argv) {
  const bench::server_options how = bench::parse_server_options(argc, argv);
  bench::set_limits(how);
  server(how.buffer_bytes).run();
}
