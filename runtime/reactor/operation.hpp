/// What a fiber asks of a reactor.
#pragma once

#include "runtime/base/intrusive_list.hpp"
#include "runtime/fiber/control_block.hpp"

#include <cstdint>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace coir::detail {

enum class operation_kind : std::uint8_t {
  readiness,  ///< one shot: until `fd` has one of `events`
  // The kernel owns buffers of the following until they are complete. The epoll reactor does not
  // perform them.
  readv,   ///< into `size` parts at `buffer`, at `offset`; -1 is the descriptor's position
  writev,  ///< from `size` parts at `buffer`, at `offset`
  fsync,   ///< data only with `flags` = IORING_FSYNC_DATASYNC
  accept,  ///< peer to `buffer` and `peer_size`
};

/// Lives on the stack of the fiber that waits for it. Linked into its descriptor's list while
/// pending.
struct operation {
  operation* next = nullptr;
  operation* prev = nullptr;
  control_block* waiter = nullptr;
  operation_kind kind = operation_kind::readiness;
  bool is_done = false;
  int fd = -1;
  std::uint32_t events = 0;  ///< POLLIN and the like, which epoll numbers alike
  std::uint32_t flags = 0;
  std::int64_t result = 0;  ///< once done: what the system call would return, the events, or -errno
  void* buffer = nullptr;
  std::uint64_t size = 0;
  off_t offset = 0;
  socklen_t* peer_size = nullptr;
  std::uint32_t ticket = 0;      ///< the reactor's own: which kernel request this is
  std::uint32_t generation = 0;  ///< of the descriptor's number, when the operation began

  bool kernel_owns_buffer() const noexcept { return kind != operation_kind::readiness; }
};

using operation_list = intrusive_list<operation>;

/// A fiber that waits for the next edge of a watch: less than an operation, because it must come
/// back to the cache with the fiber's stack.
struct edge_wait {
  edge_wait* next = nullptr;
  edge_wait* prev = nullptr;
  control_block* waiter = nullptr;
  std::int64_t result = 0;  ///< once done: the events, or -errno
  bool is_done = false;
};

/// Marks an operation or an edge_wait done and its fiber ready.
template <class Wait>
void complete(Wait& op, std::int64_t result, fiber_list& ready) noexcept {
  op.result = result;
  op.is_done = true;
  ready.make_ready(*op.waiter);
}

/// A persistent readiness registration of a descriptor whose owner keeps it open: one system call
/// in its life, an edge for each arrival. Those who wait are linked into its lists and
/// unknown to the kernel.
struct watch {
  int fd = -1;
  bool is_registered = false;
  bool is_closed = false;   ///< the descriptor was closed under it
  bool readable = true;     ///< false once known to be dry; a new edge sets it
  bool writable = true;     ///< false once known to be full; a new edge sets it
  bool has_hangup = false;  ///< the peer has ended; then a short read does not mean dry
  std::uint32_t ticket = 0;
  std::uint32_t generation = 0;  ///< of the descriptor's number, when it was registered
  intrusive_list<edge_wait> readers;
  intrusive_list<edge_wait> writers;
};

}  // namespace coir::detail
