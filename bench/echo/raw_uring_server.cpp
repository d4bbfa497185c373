// An echo server straight on io_uring: multishot accept and receive, a ring of provided buffers,
// sends by the ring, task work deferred to the wait. It is the best that io_uring is known to do
// for small messages, and what coir's echo server is compared with.
//
// A buffer belongs to the kernel until a receive completes in it, then to its connection until the
// send of it has completed. A connection has one send in flight at most, so that bytes keep their
// order; the others wait in its list. A receive that finds no buffer ends, and is armed again when
// there are some.

#include "bench/echo/raw_server.hpp"

#include <cerrno>
#include <deque>
#include <vector>

#include <liburing.h>
#include <sys/mman.h>

namespace {

constexpr unsigned submission_entries = 4096;
constexpr unsigned completion_entries = 32768;  // multishot receives of 10,000 connections
constexpr int buffer_group = 0;
constexpr int no_buffer = -1;
constexpr int exit_unavailable = 77;  // this kernel or container has no such ring

struct connection {
  int fd;
  bool is_receiving = false;
  bool is_ending = false;  ///< to be closed once nothing is in flight
  int first = no_buffer;   ///< being sent; the list goes on in buffer::next
  int last = no_buffer;
};

struct buffer {
  int next = no_buffer;
  std::size_t begin = 0;  ///< what lies before it has been sent
  std::size_t end = 0;
};

/// What a completion belongs to; lies in the low bits of user_data, beside the connection.
enum class kind : std::uint64_t { accept, receive, send };

class server {
 public:
  explicit server(const bench::server_options& how);
  [[noreturn]] void run();

 private:
  void make_ring();
  void make_buffers();
  io_uring_sqe* next_entry();
  void complete(const io_uring_cqe& cqe);
  void accept_multishot();
  void start(int fd);
  void receive(connection& c);
  void on_received(connection& c, const io_uring_cqe& cqe);
  void append(connection& c, int id, std::size_t size);
  void send_first(connection& c);
  void on_sent(connection& c, int result);
  void drop_all(connection& c);
  void give_back(int id);
  void receive_again();
  void close_if_idle(connection& c);
  char* data(int id) { return memory_ + static_cast<std::size_t>(id) * buffer_bytes_; }

  const std::size_t buffer_bytes_;
  const unsigned buffer_count_;
  io_uring ring_;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  char* memory_ = nullptr;
  std::vector<buffer> buffers_;
  std::deque<connection*> starved_;  ///< their receive found no buffer
  int returned_ = 0;                 ///< buffers given back in this turn, not yet published
  int listener_ = -1;
};

unsigned power_of_two_at_least(unsigned n) {
  unsigned result = 1;
  while (result < n) result *= 2;
  return result;
}

server::server(const bench::server_options& how)
    : buffer_bytes_(how.buffer_bytes), buffer_count_(power_of_two_at_least(how.buffer_count)) {
  make_ring();
  make_buffers();
  listener_ = bench::listen_on_loopback(0);
}

void server::make_ring() {
  io_uring_params how{};
  how.flags = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_CQSIZE;
  how.cq_entries = completion_entries;
  const int result = io_uring_queue_init_params(submission_entries, &ring_, &how);
  if (result < 0) {
    std::fprintf(stderr, "io_uring: %s\n", std::strerror(-result));
    std::exit(exit_unavailable);
  }
  io_uring_register_ring_fd(&ring_);
}

void* map_pages(std::size_t bytes) {
  void* result = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (result == MAP_FAILED) bench::fail("mmap", errno);
  return result;
}

void server::make_buffers() {
  buffers_.resize(buffer_count_);
  memory_ = static_cast<char*>(map_pages(buffer_count_ * buffer_bytes_));
  buffer_ring_ = static_cast<io_uring_buf_ring*>(map_pages(buffer_count_ * sizeof(io_uring_buf)));
  io_uring_buf_reg how{};
  how.ring_addr = reinterpret_cast<std::uintptr_t>(buffer_ring_);
  how.ring_entries = buffer_count_;
  how.bgid = buffer_group;
  const int result = io_uring_register_buf_ring(&ring_, &how, 0);
  if (result < 0) {
    std::fprintf(stderr, "io_uring buffer ring: %s\n", std::strerror(-result));
    std::exit(exit_unavailable);
  }
  io_uring_buf_ring_init(buffer_ring_);
  for (unsigned i = 0; i < buffer_count_; ++i) give_back(static_cast<int>(i));
  io_uring_buf_ring_advance(buffer_ring_, returned_);
  returned_ = 0;
}

void server::run() {
  accept_multishot();
  for (;;) {
    const int result = io_uring_submit_and_wait(&ring_, 1);
    if (result < 0 && result != -EINTR) bench::fail("io_uring_submit_and_wait", -result);
    unsigned head;
    unsigned count = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++count;
      complete(*cqe);
    }
    io_uring_cq_advance(&ring_, count);
    if (returned_ > 0) receive_again();
  }
}

io_uring_sqe* server::next_entry() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry != nullptr) return entry;
  io_uring_submit(&ring_);  // makes room
  return io_uring_get_sqe(&ring_);
}

/// Says what the completion of a prepared entry will belong to.
void tag(io_uring_sqe* entry, kind what, connection* c) {
  entry->user_data = reinterpret_cast<std::uintptr_t>(c) | static_cast<std::uint64_t>(what);
}

void server::complete(const io_uring_cqe& cqe) {
  const auto what = static_cast<kind>(cqe.user_data & 3);
  auto* c = reinterpret_cast<connection*>(cqe.user_data & ~std::uint64_t{3});
  if (what == kind::receive) {
    on_received(*c, cqe);
  } else if (what == kind::send) {
    on_sent(*c, cqe.res);
  } else {
    if (cqe.res >= 0) start(cqe.res);
    if (!(cqe.flags & IORING_CQE_F_MORE)) accept_multishot();
  }
}

void server::accept_multishot() {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_multishot_accept(entry, listener_, nullptr, nullptr, SOCK_CLOEXEC);
  tag(entry, kind::accept, nullptr);
}

void server::start(int fd) { receive(*new connection{fd}); }

void server::receive(connection& c) {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_recv_multishot(entry, c.fd, nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = buffer_group;
  tag(entry, kind::receive, &c);
  c.is_receiving = true;
}

void server::on_received(connection& c, const io_uring_cqe& cqe) {
  if (!(cqe.flags & IORING_CQE_F_MORE)) c.is_receiving = false;
  if (cqe.res > 0) {
    append(c, static_cast<int>(cqe.flags >> IORING_CQE_BUFFER_SHIFT),
           static_cast<std::size_t>(cqe.res));
    if (!c.is_receiving) receive(c);
  } else if (cqe.res == -ENOBUFS) {
    starved_.push_back(&c);
  } else {
    c.is_ending = true;
    close_if_idle(c);
  }
}

void server::append(connection& c, int id, std::size_t size) {
  buffers_[static_cast<std::size_t>(id)] = {no_buffer, 0, size};
  const bool is_idle = c.first == no_buffer;
  (is_idle ? c.first : buffers_[static_cast<std::size_t>(c.last)].next) = id;
  c.last = id;
  if (is_idle) send_first(c);
}

void server::send_first(connection& c) {
  const buffer& b = buffers_[static_cast<std::size_t>(c.first)];
  io_uring_sqe* entry = next_entry();
  io_uring_prep_send(entry, c.fd, data(c.first) + b.begin, b.end - b.begin,
                     MSG_WAITALL | MSG_NOSIGNAL);
  tag(entry, kind::send, &c);
}

void server::on_sent(connection& c, int result) {
  if (result < 0) {
    drop_all(c);
    shutdown(c.fd, SHUT_RDWR);  // ends the receive, which then ends the connection
    close_if_idle(c);
    return;
  }
  buffer& b = buffers_[static_cast<std::size_t>(c.first)];
  b.begin += static_cast<std::size_t>(result);
  if (b.begin == b.end) {
    const int done = c.first;
    c.first = b.next;
    give_back(done);
  }
  if (c.first != no_buffer) {
    send_first(c);
  } else {
    close_if_idle(c);
  }
}

void server::drop_all(connection& c) {
  while (c.first != no_buffer) {
    const int id = c.first;
    c.first = buffers_[static_cast<std::size_t>(id)].next;
    give_back(id);
  }
}

void server::give_back(int id) {
  io_uring_buf_ring_add(buffer_ring_, data(id), static_cast<unsigned>(buffer_bytes_),
                        static_cast<unsigned short>(id), static_cast<int>(buffer_count_ - 1),
                        returned_++);
}

/// Publishes the buffers that came back, and arms as many of the starved receives.
void server::receive_again() {
  io_uring_buf_ring_advance(buffer_ring_, returned_);
  for (; returned_ > 0 && !starved_.empty(); --returned_) {
    receive(*starved_.front());
    starved_.pop_front();
  }
  returned_ = 0;
}

void server::close_if_idle(connection& c) {
  if (!c.is_ending || c.is_receiving || c.first != no_buffer) return;
  close(c.fd);
  delete &c;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::server_options how = bench::parse_server_options(argc, argv);
  bench::set_limits(how);
  server(how).run();
}
