#include <coir/wait.hpp>

namespace coir::detail {

observed_list::observed_list(std::size_t count) {
  if (count > places_inline) places_ = new place[count];
}

observed_list::~observed_list() {
  for (std::size_t i = 0; i < used_; ++i) observation::end(places_[i].in);
  if (places_ != inline_) delete[] places_;
}

void observed_list::add(const wait_source& source) noexcept {
  place& next = places_[used_];
  next.source = source;
  all_.begin(next.in, next.source, used_++);
}

namespace {

std::vector<any_fiber> other_fibers() {
  std::vector<any_fiber> found = live_fibers();
  std::erase_if(found, [self = current_task()](const any_fiber& each) {
    return handle_access::state(each).get() == self;
  });
  return found;
}

}  // namespace

bool wait_for_all_until(deadline until) {
  for (auto others = other_fibers(); !others.empty(); others = other_fibers()) {
    for (const any_fiber& each : others) {
      if (!handle_access::state(each)->wait_until(until)) return false;
    }
  }
  return true;
}

}  // namespace coir::detail
