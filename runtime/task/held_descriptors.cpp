#include "runtime/task/held_descriptors.hpp"

#include "runtime/io/edge.hpp"
#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/reactor/fd_table.hpp"

#include <cerrno>

namespace coir::detail {

held_descriptors::held_descriptors(case_base* first, std::size_t count)
    : first_(first), count_(count) {
  if (count > few) {
    polled_heap_ = std::make_unique<pollfd[]>(count);
    generations_heap_ = std::make_unique<std::uint32_t[]>(count);
    polled_ = polled_heap_.get();
    generations_ = generations_heap_.get();
  }
  std::size_t i = 0;
  for (case_base* c = first_; c; c = c->next_, ++i) {
    descriptor_case& each = of(*c);
    each.found_ = 0;
    try {
      polled_[i] = {each.hold(), each.events_, 0};
    } catch (...) {
      let_go(c);
      throw;
    }
    generations_[i] = fd_table::generation(polled_[i].fd);
  }
}

held_descriptors::~held_descriptors() { let_go(nullptr); }

void held_descriptors::let_go(const case_base* end) noexcept {
  for (case_base* c = first_; c != end; c = c->next_) of(*c).let_go();
}

bool held_descriptors::look() {
  const int known = kernel::poll_now(polled_, count_);
  if (known < 0) throw_error(code_of(known), "coir::select: look at descriptors");
  bool is_any_ready = false;
  std::size_t i = 0;
  for (case_base* c = first_; c; c = c->next_, ++i) {
    descriptor_case& each = of(*c);
    pollfd& p = polled_[i];
    if (p.fd >= 0 && fd_table::generation(p.fd) != generations_[i]) {
      p.fd = -1;  // whatever has the number now, it is not meant
      each.found_ = POLLNVAL;
    } else if (p.fd >= 0) {
      each.found_ = p.revents;
    }
    is_any_ready |= each.found_ != 0;
  }
  return is_any_ready;
}

}  // namespace coir::detail
