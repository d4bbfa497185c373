// What the two backends share: who waits on which descriptor.
#include "runtime/reactor/reactor.hpp"

#include <cerrno>
#include <new>

#include <poll.h>

namespace coir::detail {
namespace {

/// Generations wrap around.
bool is_before(std::uint32_t one, std::uint32_t other) noexcept {
  return static_cast<std::int32_t>(one - other) < 0;
}

}  // namespace

reactor::fd_slot* reactor::existing_slot(int fd) const noexcept {
  const std::size_t chunk = static_cast<std::size_t>(fd) / slots_per_chunk;
  if (fd < 0 || chunk >= chunks_.size() || !chunks_[chunk]) return nullptr;
  return &chunks_[chunk][static_cast<std::size_t>(fd) % slots_per_chunk];
}

reactor::fd_slot* reactor::slot(int fd) noexcept {
  if (fd_slot* s = existing_slot(fd)) return s;
  if (fd < 0) return nullptr;
  try {
    const std::size_t chunk = static_cast<std::size_t>(fd) / slots_per_chunk;
    if (chunk >= chunks_.size()) chunks_.resize(chunk + 1);
    chunks_[chunk] = std::make_unique<fd_slot[]>(slots_per_chunk);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return existing_slot(fd);
}

void reactor::link(fd_slot& s, operation& op) noexcept {
  op.generation = fd_table::generation(op.fd);
  s.operations.push_back(op);
  ++s.count;
  fd_table::add_waiter(op.fd);
}

void reactor::unlink(operation& op) noexcept {
  fd_slot& s = *existing_slot(op.fd);
  s.operations.remove(op);
  --s.count;
  fd_table::remove_waiter(op.fd);
}

int reactor::link_watch(watch& w) noexcept {
  fd_slot* s = slot(w.fd);
  if (!s) return -ENOMEM;
  if (s->persistent) return -EEXIST;
  w.generation = fd_table::generation(w.fd);
  s->persistent = &w;
  ++s->count;
  fd_table::add_waiter(w.fd);
  w.is_registered = true;
  return 0;
}

void reactor::unlink_watch(watch& w) noexcept {
  fd_slot& s = *existing_slot(w.fd);
  s.persistent = nullptr;
  --s.count;
  fd_table::remove_waiter(w.fd);
  w.is_registered = false;
}

std::uint32_t reactor::waiters(int fd) const noexcept {
  fd_slot* s = existing_slot(fd);
  return s ? s->count : 0;
}

void reactor::forget(int fd, std::uint32_t generation, fiber_list& ready) noexcept {
  fd_slot* s = existing_slot(fd);
  if (!s || s->count == 0) return;
  if (watch* w = s->persistent; w && is_before(w->generation, generation)) {
    remove_watch(*w);
    w->is_closed = true;
    while (edge_wait* op = w->readers.pop_front()) complete(*op, -EBADF, ready);
    while (edge_wait* op = w->writers.pop_front()) complete(*op, -EBADF, ready);
  }
  for (operation *op = s->operations.front(), *after; op; op = after) {
    after = op->next;
    if (!is_before(op->generation, generation)) continue;
    cancel(*op);
    if (!op->kernel_owns_buffer()) complete(*op, -EBADF, ready);
  }
  after_forget();
}

void reactor::deliver(watch& w, std::uint32_t events, fiber_list& ready) noexcept {
  constexpr std::uint32_t ended = POLLRDHUP | POLLHUP | POLLERR;
  if (events & ended) w.has_hangup = true;
  if (events & (POLLIN | ended)) {
    w.readable = true;
    while (edge_wait* op = w.readers.pop_front()) complete(*op, events, ready);
  }
  if (events & (POLLOUT | POLLHUP | POLLERR)) {
    w.writable = true;
    while (edge_wait* op = w.writers.pop_front()) complete(*op, events, ready);
  }
}

}  // namespace coir::detail
