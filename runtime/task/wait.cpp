#include <coir/wait.hpp>

#include "runtime/sched/worker.hpp"

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

/// The tasks of all fibers of the worker but the caller's.
std::vector<task_ref<task>> other_tasks(worker& w) {
  std::vector<task_ref<task>> found;
  w.for_each_fiber([&](control_block& f) {
    task* const t = &f == w.running ? nullptr : task_of_fiber(f);
    if (!t) return;
    t->retain();
    found.emplace_back(t);
  });
  return found;
}

}  // namespace

bool wait_for_all_until(deadline until) {
  worker& w = worker::current();
  for (auto others = other_tasks(w); !others.empty(); others = other_tasks(w)) {
    for (const auto& other : others) {
      if (!other->wait_until(until)) return false;
    }
  }
  return true;
}

}  // namespace coir::detail
