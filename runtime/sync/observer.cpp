// Locks are taken in one order: an object's, then the observation's. The observing fiber takes one
// at a time.
#include <coir/detail/observer.hpp>

#include <mutex>

namespace coir::detail {

void observation::begin(observer& place, const wait_source& source, std::size_t index) noexcept {
  place.tell = tell;
  place.by = this;
  place.source = &source;
  place.index = index;
  ++left_;
  const std::lock_guard guard(*source.lock);
  if (source.is_ready(source.object)) return tell(place);
  source.waiters->add(place);
}

void observation::end(observer& place) noexcept {
  if (!place.source) return;  // never begun
  const std::lock_guard guard(*place.source->lock);
  place.source->waiters->remove(place);
}

std::size_t observation::next(deadline until) {
  if (left_ == 0) return none;
  lock_.lock();
  if (!first_ready_) {
    waiter self;
    const wait_status how = waiting_.wait(lock_, self, until, wait_reason::several);
    if (how == wait_status::interrupted) throw_if_interrupted();
    if (how == wait_status::timed_out) return none;
    lock_.lock();
  }
  observer* const told = first_ready_;
  first_ready_ = told->next_ready;
  if (!first_ready_) last_ready_ = &first_ready_;
  lock_.unlock();
  --left_;
  return told->index;
}

void observation::tell(shared_waiter& ready) noexcept {
  auto& told = static_cast<observer&>(ready);
  observation& self = *told.by;
  const std::lock_guard guard(self.lock_);
  told.next_ready = nullptr;
  *self.last_ready_ = &told;
  self.last_ready_ = &told.next_ready;
  self.waiting_.wake_one();
}

}  // namespace coir::detail
