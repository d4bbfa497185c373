// Items are added by the feeder and taken by the reader only; a task that ends merely marks its
// item, and chains it to those that ended before when that is the order of reading.
#include <coir/detail/result_feed.hpp>

#include "runtime/base/assert.hpp"

#include <mutex>
#include <utility>

namespace coir::detail {

result_feed::~result_feed() { COIR_ASSERT(!first_); }

void result_feed::set_feeder(task_ref<task> feeder) noexcept {
  feeder_ = std::move(feeder);
  input_.feed = this;
  input_.owner = this;
  input_.ended = input_ended;
  if (!feeder_->watch(input_)) input_ended(input_, *feeder_);
}

void result_feed::wait_for_room() {
  lock_.lock();
  if (ahead_ < ahead_max_) return lock_.unlock();
  waiter self;
  const wait_status how = feeders_.wait(lock_, self, never, wait_reason::queue);
  if (how == wait_status::interrupted) throw_if_interrupted();
}

void result_feed::add(owned<item> place, task_ref<task> work) noexcept {
  item& i = *place.release();
  i.feed = this;
  i.owner = this;
  i.ended = item_ended;
  i.work = std::move(work);
  lock_.lock();
  i.prev = last_;
  (last_ ? last_->next : first_) = &i;
  last_ = &i;
  ++ahead_;
  lock_.unlock();
  if (!i.work->watch(i)) item_ended(i, *i.work);
}

bool result_feed::item_ended(end_watch& w, task&) noexcept {
  auto& i = static_cast<item&>(w);
  result_feed& self = *i.feed;
  const std::lock_guard guard(self.lock_);
  i.has_ended = true;
  if (!self.is_ordered_) {
    (self.last_ended_ ? self.last_ended_->next_ended : self.first_ended_) = &i;
    self.last_ended_ = &i;
  }
  if (self.readable()) self.readers_.wake_all();
  return false;
}

bool result_feed::input_ended(end_watch& w, task&) noexcept {
  result_feed& self = *static_cast<input_watch&>(w).feed;
  const std::lock_guard guard(self.lock_);
  self.is_fed_ = true;
  self.readers_.wake_all();
  return false;
}

/// What the reader may take now; null when it has to wait.
result_feed::item* result_feed::readable() const noexcept {
  if (!is_ordered_) return first_ended_;
  return first_ && first_->has_ended ? first_ : nullptr;
}

task_ref<task> result_feed::next() {
  for (;;) {
    lock_.lock();
    if (item* const i = readable()) {
      const owned<item> taken = take(*i);
      feeders_.wake_one();
      lock_.unlock();
      return std::move(taken->work);
    }
    if (is_fed_ && !first_) {
      lock_.unlock();
      if (input_error_) std::rethrow_exception(std::exchange(input_error_, nullptr));
      return {};
    }
    waiter self;
    const wait_status how = readers_.wait(lock_, self, never, wait_reason::queue);
    if (how == wait_status::interrupted) throw_if_interrupted();
  }
}

owned<result_feed::item> result_feed::take(item& i) noexcept {
  (i.prev ? i.prev->next : first_) = i.next;
  (i.next ? i.next->prev : last_) = i.prev;
  if (!is_ordered_) {
    first_ended_ = i.next_ended;
    if (!first_ended_) last_ended_ = nullptr;
  }
  --ahead_;
  return owned<item>(&i);
}

namespace {

/// Without memory for the kill of a fiber on another thread it is only waited for.
void kill_if_possible(task& t) noexcept {
  try {
    t.request_kill(nullptr);
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace

void result_feed::end() noexcept {
  if (feeder_) {
    kill_if_possible(*feeder_);
    feeder_->wait_ended();
  }
  for (item* i = first_; i; i = i->next) kill_if_possible(*i->work);
  while (item* const i = first_) {
    i->work->wait_ended();  // after which its watch has been told
    first_ = i->next;
    delete i;
  }
}

}  // namespace coir::detail
