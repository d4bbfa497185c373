// An echo server straight on epoll, edge-triggered: what a careful C program reaches, and what
// coir's echo server is compared with.
//
// One registration per connection for its whole life. A short read means that the socket is empty,
// so that no doomed recv follows it. All connections share one receive buffer, which stays hot in
// the cache; only what the socket does not take at once is copied.

#include "bench/echo/raw_server.hpp"

#include <cerrno>
#include <string>
#include <vector>

#include <sys/epoll.h>

namespace {

// More events a turn would push the first ones out of the cache before they are served.
constexpr int events_per_turn = 128;
// A connection that always has more to read lets the others run after so many reads.
constexpr int reads_per_visit = 16;

struct connection {
  int fd;
  bool is_ending = false;  ///< the peer has sent its last byte: a short read is not the last read
  std::string unsent;      ///< what the socket did not take; nothing is read meanwhile
};

/// What is to be done with a connection after a visit.
enum class verdict {
  wait,   ///< until epoll reports it again
  again,  ///< there may be more to read: visit it again in this turn or the next
  close,  ///< it has ended or failed
};

class server {
 public:
  explicit server(std::size_t buffer_bytes) : buffer_(buffer_bytes) {}

  [[noreturn]] void run() {
    add(listener_, nullptr, EPOLLIN | EPOLLET);
    for (;;) turn();
  }

 private:
  void turn();
  void accept_all();
  void add(int fd, connection* c, std::uint32_t events);
  void visit(connection& c);
  verdict echo(connection& c);
  static bool flush(connection& c);

  int listener_ = bench::listen_on_loopback(SOCK_NONBLOCK);
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<char> buffer_;
  std::vector<connection*> again_;  ///< connections that stopped because of reads_per_visit
};

void server::turn() {
  epoll_event events[events_per_turn];
  const int timeout_ms = again_.empty() ? -1 : 0;
  const int count = epoll_wait(epoll_, events, events_per_turn, timeout_ms);
  if (count < 0 && errno != EINTR) bench::fail("epoll_wait", errno);
  std::vector<connection*> again;
  again.swap(again_);
  for (connection* c : again) visit(*c);
  for (int i = 0; i < count; ++i) {
    auto* c = static_cast<connection*>(events[i].data.ptr);
    if (c == nullptr) {
      accept_all();
      continue;
    }
    if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->is_ending = true;
    visit(*c);
  }
}

void server::accept_all() {
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0) bench::fail("accept4", errno);
    add(fd, new connection{fd, false, {}}, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
}

void server::add(int fd, connection* c, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = c;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) bench::fail("epoll_ctl", errno);
}

void server::visit(connection& c) {
  const verdict next = echo(c);
  if (next == verdict::again) again_.push_back(&c);
  if (next != verdict::close) return;
  close(c.fd);
  delete &c;
}

verdict server::echo(connection& c) {
  for (int i = 0; i < reads_per_visit; ++i) {
    if (!flush(c)) return errno == EAGAIN ? verdict::wait : verdict::close;
    const ssize_t received = recv(c.fd, buffer_.data(), buffer_.size(), 0);
    if (received == 0) return verdict::close;
    if (received < 0) return errno == EAGAIN ? verdict::wait : verdict::close;
    const auto size = static_cast<std::size_t>(received);
    const ssize_t sent = send(c.fd, buffer_.data(), size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return verdict::close;
    const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
    c.unsent.append(buffer_.data() + taken, size - taken);
    if (size < buffer_.size() && c.unsent.empty() && !c.is_ending) return verdict::wait;
  }
  return verdict::again;
}

/// Sends what is left over; false, with errno, when the socket does not take all of it.
bool server::flush(connection& c) {
  while (!c.unsent.empty()) {
    const ssize_t sent = send(c.fd, c.unsent.data(), c.unsent.size(), MSG_NOSIGNAL);
    if (sent < 0) return false;
    c.unsent.erase(0, static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::server_options how = bench::parse_server_options(argc, argv);
  bench::set_limits(how);
  server(how.buffer_bytes).run();
}
