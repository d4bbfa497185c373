// A task tells the roster of its end through its membership, under the lock of the task; the
// roster's lock is the inner one, and no other task is touched under it.
//
// A place is taken first, then the task is made and started, and then it is listed as a member: so
// that a kill meets only tasks that can be killed. Between the start and the listing the task may
// end, on another thread; is_over tells so.
#include <coir/detail/roster.hpp>
#include <coir/fiber.hpp>

#include "runtime/sched/worker.hpp"

#include <memory>
#include <mutex>
#include <utility>

namespace coir::detail {

namespace {

std::uint32_t generation_now() noexcept { return fork_generation.load(std::memory_order_relaxed); }

}  // namespace

/// The lock of a roster, held; in the child of a fork the first one finds it empty.
class roster::locked {
 public:
  explicit locked(roster& r) noexcept : roster_(r) {
    r.lock_.lock();
    if (r.generation_ != generation_now()) [[unlikely]]
      r.reset();
  }
  locked(const locked&) = delete;
  locked& operator=(const locked&) = delete;
  ~locked() {
    if (is_held_) roster_.lock_.unlock();
  }
  /// For wait_queue::wait, which gives the lock back.
  short_lock& hand_over() noexcept {
    is_held_ = false;
    return roster_.lock_;
  }

 private:
  roster& roster_;
  bool is_held_ = true;
};

roster::roster(std::size_t places, failure_handler on_failure, void* argument) noexcept
    : on_failure_(on_failure), argument_(argument), bound_(places) {
  worker::install_fork_handlers();
  generation_ = generation_now();
}

bool roster::take_place(deadline until) {
  locked guard(*this);
  if (taken_ < bound_) {
    ++taken_;
    return true;
  }
  waiter self;
  const wait_status how = spawners_.wait(guard.hand_over(), self, until, wait_reason::place);
  if (how == wait_status::interrupted) throw_if_interrupted();
  return how == wait_status::woken;  // then with a place
}

void roster::give_place() noexcept {
  const locked guard(*this);
  if (taken_ > 0) free_place();  // none is taken in the child of a fork
}

void roster::reserve(membership& seat, task& t) noexcept {
  prepare(seat, t);
  t.watch(seat);
}

void roster::prepare(membership& seat, task& t) noexcept {
  seat.owner = this;
  seat.ended = ended;
  seat.afterwards = afterwards;
  seat.home = this;
  seat.member = &t;
  seat.generation = generation_now();
}

void roster::enter(membership& seat) noexcept {
  const locked guard(*this);
  if (seat.is_over || seat.generation != generation_) return;
  seat.is_listed = true;
  seat.prev = last_;
  (last_ ? last_->next : first_) = &seat;
  last_ = &seat;
  ++members_;
  ++unkilled_;
  killers_.wake_all();
}

bool roster::add(task& t, deadline until) {
  if (t.ready() || contains(t)) return true;
  auto seat = std::make_unique<membership>();
  seat->is_owned = true;
  if (!take_place(until)) return false;
  prepare(*seat, t);
  enter(*seat);
  if (t.watch(*seat)) {
    seat.release();
  } else {
    leave(*seat);  // it has ended, or somebody else was quicker
  }
  return true;
}

bool roster::discard(task& t) noexcept {
  auto* const seat = static_cast<membership*>(t.unwatch(this));
  if (!seat) return false;
  leave(*seat);
  if (seat->is_owned) delete seat;
  return true;
}

bool roster::contains_caller() const noexcept {
  task* const caller = current_task();
  return caller && contains(*caller);
}

std::vector<task_ref<task>> roster::members() { return collect(false); }

bool roster::ended(end_watch& w, task& t) noexcept {
  auto& seat = static_cast<membership&>(w);
  roster& self = *seat.home;
  const locked guard(self);
  if (seat.generation == self.generation_) {
    seat.must_tell = self.on_failure_ && t.error();
    if (seat.must_tell) ++self.holds_;
    self.give_up(seat);
  }
  return seat.must_tell || seat.is_owned;
}

void roster::afterwards(end_watch& w, task& t) noexcept {
  auto& seat = static_cast<membership&>(w);
  if (seat.must_tell) {
    roster& self = *seat.home;
    self.on_failure_(self.argument_, t.error());
    self.release_hold(seat.generation);
  }
  if (seat.is_owned) delete &seat;
}

void roster::leave(membership& seat) noexcept {
  const locked guard(*this);
  if (seat.generation == generation_) give_up(seat);
}

void roster::give_up(membership& seat) noexcept {
  seat.is_over = true;
  if (seat.is_listed) {
    (seat.prev ? seat.prev->next : first_) = seat.next;
    (seat.next ? seat.next->prev : last_) = seat.prev;
    --members_;
    unkilled_ -= !seat.is_killed;
  }
  free_place();
}

/// The place goes to the longest waiting spawner, if there is one.
void roster::free_place() noexcept {
  --taken_;
  if (taken_ < bound_ && spawners_.wake_one()) ++taken_;
  wake_if_empty();
}

void roster::wake_if_empty() noexcept {
  if (!is_empty()) return;
  joiners_.wake_all();
  killers_.wake_all();
}

bool roster::join(deadline until) {
  locked guard(*this);
  if (is_empty()) return true;
  waiter self;
  const wait_status how = joiners_.wait(guard.hand_over(), self, until, wait_reason::join);
  if (how == wait_status::interrupted) throw_if_interrupted();
  return how == wait_status::woken;
}

void roster::wait_empty() noexcept {
  locked guard(*this);
  if (is_empty()) return;
  waiter self;
  joiners_.wait(guard.hand_over(), self, never, wait_reason::join, interruptible::no);
}

void roster::kill_members(const std::exception_ptr& error) { kill_each(collect(true), error); }

/// Retains the members, or those that have to be killed and are marked so.
std::vector<task_ref<task>> roster::collect(bool for_kill) {
  std::vector<task_ref<task>> found;
  for (std::size_t needed = 0;; found.reserve(needed)) {
    const locked guard(*this);
    needed = for_kill ? unkilled_ : members_;
    if (needed > found.capacity()) continue;
    for (membership* each = first_; each; each = each->next) {
      if (for_kill && std::exchange(each->is_killed, true)) continue;
      each->member->retain();
      found.emplace_back(each->member);
    }
    if (for_kill) unkilled_ = 0;
    return found;
  }
}

bool roster::kill(const std::exception_ptr& error, deadline until) {
  for (;;) {
    kill_members(error);
    const change seen = wait_change(until, interruptible::yes);
    if (seen != change::more_to_kill) return seen == change::emptied;
  }
}

void roster::kill_all(const std::exception_ptr& error) noexcept {
  change seen = change::more_to_kill;
  while (seen != change::emptied) {
    try {
      kill_members(error);
    } catch (const std::bad_alloc&) {
    }
    seen = wait_change(never, interruptible::no);
  }
}

roster::change roster::wait_change(deadline until, interruptible kind) {
  locked guard(*this);
  if (is_empty()) return change::emptied;
  if (unkilled_ > 0) return change::more_to_kill;
  waiter self;
  const wait_status how = killers_.wait(guard.hand_over(), self, until, wait_reason::join, kind);
  if (how == wait_status::interrupted) throw_if_interrupted();
  return how == wait_status::timed_out ? change::timed_out : change::more_to_kill;
}

std::size_t roster::size() noexcept {
  const locked guard(*this);
  return members_;
}

std::size_t roster::free_places() noexcept {
  const locked guard(*this);
  return taken_ < bound_ ? bound_ - taken_ : 0;
}

std::size_t roster::places() noexcept {
  const locked guard(*this);
  return bound_;
}

void roster::set_places(std::size_t places) noexcept {
  const locked guard(*this);
  bound_ = places;
  while (taken_ < bound_ && spawners_.wake_one()) ++taken_;
}

void roster::forget_all() noexcept {
  std::construct_at(&lock_);
  reset();
}

void roster::reset() noexcept {
  for (wait_queue* each : {&spawners_, &joiners_, &killers_}) std::construct_at(each);
  first_ = last_ = nullptr;
  members_ = unkilled_ = taken_ = holds_ = 0;
  generation_ = generation_now();
}

roster::hold::hold(roster& r) noexcept : roster_(&r) {
  const locked guard(r);
  ++r.holds_;
  generation_ = r.generation_;
}

roster::hold::~hold() {
  if (roster_) roster_->release_hold(generation_);
}

void roster::release_hold(unsigned generation) noexcept {
  const locked guard(*this);
  if (generation != generation_) return;
  --holds_;
  wake_if_empty();
}

}  // namespace coir::detail
