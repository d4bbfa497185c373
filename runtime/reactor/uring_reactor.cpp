// Requests are numbered by tickets, indices into a table, because an event may come after its
// operation's fiber has left: the table entry then stays, emptied, until the kernel's last word. No
// address of a stack ever reaches the kernel except buffers of file operations, whose fibers wait
// for that last word.
#include "runtime/reactor/uring_reactor.hpp"

#include "runtime/base/assert.hpp"

#include <algorithm>
#include <cerrno>
#include <new>

#include <poll.h>
#include <sys/epoll.h>

namespace coir::detail {
namespace {

constexpr unsigned submission_entries = 256;     // flushed when full; two turns' worth of events
constexpr unsigned completion_entries = 16'384;  // the kernel keeps what does not fit
constexpr std::uint64_t wake_mark = ~std::uint64_t{0};
constexpr std::uint64_t removal_mark = wake_mark - 1;
constexpr std::uint32_t no_ticket = ~std::uint32_t{0};
constexpr std::uint32_t watch_events = POLLIN | POLLOUT | POLLRDHUP;
constexpr std::int64_t ns_per_s = 1'000'000'000;

constexpr std::uint8_t opcodes_needed[] = {
    IORING_OP_POLL_ADD, IORING_OP_READV,  IORING_OP_WRITEV,
    IORING_OP_FSYNC,    IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL,
};
constexpr unsigned features_needed =
    IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE;

}  // namespace

std::unique_ptr<reactor> uring_reactor::make(int& error, const char*& missing) noexcept {
  std::unique_ptr<uring_reactor> made(new (std::nothrow) uring_reactor);
  missing = "memory";
  error = made ? made->start(missing) : -ENOMEM;
  if (error < 0) made.reset();
  return made;
}

int uring_reactor::start(const char*& missing) noexcept {
  missing = "eventfd";
  if (wake_event_.fd() < 0) return wake_event_.fd();
  missing = "io_uring_setup";
  const int error = start_ring();
  if (error < 0) return error;
  has_ring_ = true;
  missing = missing_feature();
  if (missing) return -EOPNOTSUPP;
  io_uring_register_ring_fd(&ring_);  // only saves a little; its failure does not matter
  arm_wake_event();
  return 0;
}

/// Deferred task work is the fastest (Linux 6.1), cooperative the next (5.19); both are worth 15 %
/// over none.
int uring_reactor::start_ring() noexcept {
  constexpr unsigned common = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  constexpr unsigned choices[] = {
      common | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
          IORING_SETUP_TASKRUN_FLAG,
      common | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      common,
  };
  int error = 0;
  for (const unsigned flags : choices) {
    io_uring_params parameters{};
    parameters.flags = flags;
    parameters.cq_entries = completion_entries;
    error = io_uring_queue_init_params(submission_entries, &ring_, &parameters);
    tells_task_work_ = flags & IORING_SETUP_TASKRUN_FLAG;
    if (error != -EINVAL) break;
  }
  return error;
}

const char* uring_reactor::missing_feature() noexcept {
  if ((ring_.features & features_needed) != features_needed) return "a feature of Linux 5.11";
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (!probe) return "the probe of operations";
  const char* missing = nullptr;
  for (const std::uint8_t opcode : opcodes_needed) {
    if (!io_uring_opcode_supported(probe, opcode)) missing = "an operation of Linux 5.5";
  }
  io_uring_free_probe(probe);
  return missing;
}

uring_reactor::~uring_reactor() {
  if (foreign_epoll_ >= 0) kernel::close(foreign_epoll_);
  if (has_ring_) io_uring_queue_exit(&ring_);
}

int uring_reactor::submit(operation& op) noexcept {
  fd_slot* s = slot(op.fd);
  if (!s) return op.fd < 0 ? -EBADF : -ENOMEM;
  op.ticket = take_request();
  if (op.ticket == no_ticket) return -ENOMEM;
  io_uring_sqe* sqe = next_sqe();
  if (!sqe) {
    free_request(op.ticket);
    return -ENOMEM;
  }
  link(*s, op);
  requests_[op.ticket].op = &op;
  prepare(*sqe, op);
  io_uring_sqe_set_data64(sqe, op.ticket);
  return 0;
}

void uring_reactor::cancel(operation& op) noexcept {
  request_removal(op.ticket);
  if (op.kernel_owns_buffer()) return;
  unlink(op);
  requests_[op.ticket].op = nullptr;
}

int uring_reactor::add_watch(watch& w) noexcept {
  const int error = link_watch(w);
  if (error < 0) return error;
  const int refused = request_watch(w);
  if (refused < 0) unlink_watch(w);
  return refused;
}

void uring_reactor::remove_watch(watch& w) noexcept {
  unlink_watch(w);
  request_removal(w.ticket);
  requests_[w.ticket].persistent = nullptr;
}

void uring_reactor::poll(std::int64_t timeout_ns, fiber_list& ready) noexcept {
  enter(timeout_ns);
  run_task_work();
  io_uring_cqe* events[events_per_turn];
  const unsigned count = io_uring_peek_batch_cqe(&ring_, events, events_per_turn);
  for (unsigned i = 0; i < count; ++i) handle(*events[i], ready);
  io_uring_cq_advance(&ring_, count);
}

/// An epoll of two events: the one that the ring signals, and the one of wake(), which comes faster
/// so. The ring's own descriptor would not do: since Linux 6.3 work that waits for this thread does
/// not make it readable.
int uring_reactor::pollable_fd() noexcept {
  if (foreign_epoll_ >= 0) return foreign_epoll_;
  completion_event_.emplace();
  int error = completion_event_->fd();
  if (error >= 0) error = io_uring_register_eventfd(&ring_, completion_event_->fd());
  const int made = error < 0 ? error : kernel::epoll_create1(EPOLL_CLOEXEC);
  error = std::min(made, 0);
  for (const int fd : {completion_event_->fd(), wake_event_.fd()}) {
    epoll_event edges{EPOLLIN | EPOLLET, {.fd = fd}};
    if (error == 0) error = kernel::epoll_ctl(made, EPOLL_CTL_ADD, fd, &edges);
  }
  if (error == 0) return foreign_epoll_ = made;
  if (made >= 0) kernel::close(made);
  io_uring_unregister_eventfd(&ring_);
  completion_event_.reset();
  return error;
}

/// In this order: what comes after the look at the epoll makes it readable again. The event is
/// registered anew because current kernels (seen on 6.18) signal one at most once in its life for
/// the sake of another eventfd, for which a fiber may wait.
bool uring_reactor::prepare_foreign_wait() noexcept {
  if (foreign_epoll_ >= 0) {
    epoll_event seen[2];
    kernel::epoll_wait(foreign_epoll_, seen, 2, 0);
    io_uring_unregister_eventfd(&ring_);
    if (io_uring_register_eventfd(&ring_, completion_event_->fd()) < 0) return false;
  }
  io_uring_submit_and_get_events(&ring_);
  return io_uring_cq_ready(&ring_) == 0 &&
         !(IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/// Null only when the kernel takes no requests at all, for want of memory.
io_uring_sqe* uring_reactor::next_sqe() noexcept {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe) return sqe;
  if (io_uring_submit(&ring_) < 0) {  // busy: it wants to hand over completions first
    io_uring_get_events(&ring_);
    io_uring_submit(&ring_);
  }
  return io_uring_get_sqe(&ring_);
}

std::uint32_t uring_reactor::take_request() noexcept {
  if (first_free_) {
    const std::uint32_t ticket = first_free_ - 1;
    first_free_ = requests_[ticket].next_free;
    requests_[ticket] = {};
    return ticket;
  }
  try {
    requests_.emplace_back();
  } catch (const std::bad_alloc&) {
    return no_ticket;
  }
  return static_cast<std::uint32_t>(requests_.size() - 1);
}

void uring_reactor::free_request(std::uint32_t ticket) noexcept {
  requests_[ticket] = {nullptr, nullptr, first_free_};
  first_free_ = ticket + 1;
}

void uring_reactor::prepare(io_uring_sqe& sqe, const operation& op) noexcept {
  const auto size = static_cast<unsigned>(op.size);
  const auto offset = static_cast<std::uint64_t>(op.offset);
  auto* const parts = static_cast<const iovec*>(op.buffer);
  auto* const peer = static_cast<sockaddr*>(op.buffer);
  switch (op.kind) {
    case operation_kind::readiness:
      return io_uring_prep_poll_add(&sqe, op.fd, op.events);
    case operation_kind::readv:
      return io_uring_prep_readv(&sqe, op.fd, parts, size, offset);
    case operation_kind::writev:
      return io_uring_prep_writev(&sqe, op.fd, parts, size, offset);
    case operation_kind::fsync:
      return io_uring_prep_fsync(&sqe, op.fd, op.flags);
    case operation_kind::accept:
      return io_uring_prep_accept(&sqe, op.fd, peer, op.peer_size, static_cast<int>(op.flags));
  }
}

int uring_reactor::request_watch(watch& w) noexcept {
  w.ticket = take_request();
  if (w.ticket == no_ticket) return -ENOMEM;
  io_uring_sqe* sqe = next_sqe();
  if (!sqe) {
    free_request(w.ticket);
    return -ENOMEM;
  }
  requests_[w.ticket].persistent = &w;
  io_uring_prep_poll_multishot(sqe, w.fd, watch_events);
  io_uring_sqe_set_data64(sqe, w.ticket);
  return 0;
}

/// Not by a poll removal: the kernel refuses that while an event of the poll is on its way, and the
/// poll would stay, with its file.
void uring_reactor::request_removal(std::uint32_t ticket) noexcept {
  io_uring_sqe* sqe = next_sqe();
  if (!sqe) return;  // the ring refuses everything: the request then ends with its descriptor
  io_uring_prep_cancel64(sqe, ticket, 0);
  io_uring_sqe_set_data64(sqe, removal_mark);
}

/// One system call submits, lets deferred work run and waits; none when there is nothing to do.
void uring_reactor::enter(std::int64_t timeout_ns) noexcept {
  if (io_uring_cq_ready(&ring_) > 0) timeout_ns = 0;
  if (timeout_ns == 0) {
    const unsigned flags = IO_URING_READ_ONCE(*ring_.sq.kflags);
    const bool has_work = !tells_task_work_ || flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    if (has_work || io_uring_sq_ready(&ring_)) io_uring_submit_and_get_events(&ring_);
    return;
  }
  io_uring_cqe* first;
  if (timeout_ns < 0) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  __kernel_timespec timeout{timeout_ns / ns_per_s, timeout_ns % ns_per_s};
  io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
}

/// The kernel runs deferred work twenty items at a time: asks for more until the turn is full. It
/// stops when a call brings nothing, because the flag may outlive the work: who adds work raises it
/// after the fact, when this thread may have done that work already.
void uring_reactor::run_task_work() noexcept {
  unsigned before = 0;
  unsigned count = io_uring_cq_ready(&ring_);
  while (tells_task_work_ && count > before && count < events_per_turn &&
         IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN) {
    if (io_uring_get_events(&ring_) < 0) return;
    before = count;
    count = io_uring_cq_ready(&ring_);
  }
}

void uring_reactor::handle(const io_uring_cqe& cqe, fiber_list& ready) noexcept {
  if (cqe.user_data == removal_mark) return;
  if (cqe.user_data == wake_mark) return handle_wake(cqe);
  const auto ticket = static_cast<std::uint32_t>(cqe.user_data);
  if (requests_[ticket].persistent) return handle_watch(ticket, cqe, ready);
  operation* op = requests_[ticket].op;
  if (!(cqe.flags & IORING_CQE_F_MORE)) free_request(ticket);
  if (!op) return;
  unlink(*op);
  complete(*op, cqe.res, ready);
}

void uring_reactor::handle_wake(const io_uring_cqe& cqe) noexcept {
  if (!(cqe.flags & IORING_CQE_F_MORE)) arm_wake_event();
}

/// The kernel may end a multishot poll at any time, when its queue overflows for instance. All who
/// wait then try again, and the first who must wait registers the watch anew.
void uring_reactor::handle_watch(std::uint32_t ticket, const io_uring_cqe& cqe,
                                 fiber_list& ready) noexcept {
  watch& w = *requests_[ticket].persistent;
  auto events = static_cast<std::uint32_t>(cqe.res);
  if (!(cqe.flags & IORING_CQE_F_MORE)) {
    free_request(ticket);
    unlink_watch(w);
    events = POLLIN | POLLOUT;
  }
  deliver(w, events, ready);
}

void uring_reactor::arm_wake_event() noexcept {
  io_uring_sqe* sqe = next_sqe();
  COIR_ASSERT(sqe);
  io_uring_prep_poll_multishot(sqe, wake_event_.fd(), POLLIN);
  io_uring_sqe_set_data64(sqe, wake_mark);
}

/// A pending request holds its file open: a peer would not see the close, a listener would go on
/// to take connections. A request that is cancelled lets go of it in deferred work only.
void uring_reactor::after_forget() noexcept { io_uring_submit_and_get_events(&ring_); }

}  // namespace coir::detail
