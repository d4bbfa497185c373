// How a select chooses among its cases.
//
//   look:      lock all queues in the order of their locks' addresses; of the cases that are ready
//              commit one, by chance; unlock
//   wait:      else queue a waiter in each queue, unlock, park
//   withdraw:  lock the queues one by one and take out what is still queued
//
// Between look and wait no lock is given back, so that no change is missed. Two selects can hold
// all their locks at a time only one after the other; the second finds the first one's waiters. A
// select is not in any queue while it looks, so that it never meets itself.
//
// The waiters share a `choice`. A counterpart that takes one of them claims it, under the lock of
// that one's queue; a deadline or a kill claims it for nobody. Whoever comes later finds it claimed
// and goes past. What the counterpart hands over is complete once withdraw has held the lock of
// that queue.
//
// A commit can fail though its case was ready: its counterpart is a select that waits, too, and was
// taken in another queue at that moment. That one has then left this queue, so that looking again
// comes to an end.
//
// A case that waits for a descriptor is in no queue. Which of them are ready is found out, for all
// in one system call, right before the locks are taken for a look; what has come is taken only by
// the commit, and if another fiber was faster the case is as if it had not been ready. While the
// select waits each has an operation in the reactor. The first that is done makes the select claim
// itself for nobody and look again, so that the descriptors, too, are chosen among by chance, and
// a case that loses has taken nothing.
//
// Rejected: trying the cases from a random place on, in a circle. The case behind a gap of cases
// that are not ready would be chosen more often than others.
#include <coir/detail/case_list.hpp>

#include "runtime/base/mix.hpp"
#include "runtime/io/await.hpp"
#include "runtime/io/edge.hpp"
#include "runtime/io/poll_set.hpp"
#include "runtime/sched/replay.hpp"
#include "runtime/sched/worker.hpp"
#include "runtime/task/held_descriptors.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <stdexcept>

namespace coir::detail {
namespace {

constinit thread_local std::uint64_t random_state = 0;

/// A random number; each thread has a sequence of its own, but in a replay it is that one's. Not
/// inlined: the address of a thread-local must not be kept over a switch.
[[gnu::noinline]] std::uint64_t random_number() noexcept {
  const worker* const w = worker::current_or_null();
  if (replay* const in = w ? w->in_replay() : nullptr) [[unlikely]]
    return in->roll(std::numeric_limits<std::uint32_t>::max());
  std::uint64_t x = random_state;
  if (x == 0) x = static_cast<std::uint64_t>(now_ns()) ^ reinterpret_cast<std::uintptr_t>(&x);
  x ^= x >> 12;  // xorshift64*
  x ^= x << 25;
  x ^= x >> 27;
  random_state = x;
  return x * 0x2545F4914F6CDD1D;
}

/// What a case draws in a lottery: all are as likely to draw the most, and in whatever order they
/// do, which depends on addresses, the same one wins.
std::uint64_t lot_of(std::size_t index, std::uint64_t lottery) noexcept {
  return mix(lottery + (index + 1) * mix_step);
}

}  // namespace

void case_list::add(case_base& c) {
  c.index_ = count_++;
  if (c.lock_) {
    c.next_ = queued_;
    queued_ = &c;
    ++queued_count_;
  } else if (c.has_descriptor_) {
    c.next_ = polled_;
    polled_ = &c;
    ++polled_count_;
  } else if (c.is_otherwise_) {
    if (otherwise_) throw std::invalid_argument("coir::select: more than one otherwise");
    otherwise_ = &c;
  } else if (c.when_ < (earliest_ ? earliest_->when_ : never)) {
    earliest_ = &c;
  }
}

case_base& case_list::choose() {
  queued_ = sorted(queued_, queued_count_);
  std::optional<held_descriptors> held;
  if (polled_) held.emplace(polled_, polled_count_);
  for (;;) {
    if (held) held->look();
    std::unique_lock guard(*this);
    if (case_base* const ready = commit_one()) {
      guard.unlock();
      if (held && !otherwise_)
        io::count_call();  // one that is ready again and again must not reign
      return *ready;
    }
    if (case_base* const passive = without_waiting()) return *passive;
    choice made;
    enlist(made, *worker::current().running);
    guard.unlock();
    int error = 0;
    const wait_status how = held ? wait_for(made, *held, error) : wait_for(made);
    if (case_base* const taken = withdraw(made)) return *taken;
    if (error < 0) throw_error(code_of(error), "coir::select: wait for descriptors");
    if (how == wait_status::interrupted) throw_if_interrupted();
    if (how == wait_status::timed_out && !(held && held->look())) return *earliest_;
  }
}

/// Of the cases that are ready, each is committed with the same probability; null when none is.
case_base* case_list::commit_one() {
  for (;;) {
    case_base* chosen = nullptr;
    std::uint64_t lottery = 0;
    for (case_base* const first : {queued_, polled_}) {
      for (case_base* c = first; c; c = c->next_) {
        if (!c->is_ready_now()) continue;
        if (chosen && lottery == 0) lottery = random_number();
        if (!chosen || lot_of(c->index_, lottery) > lot_of(chosen->index_, lottery)) chosen = c;
      }
    }
    if (!chosen || chosen->commit_now()) return chosen;
  }
}

/// The case that needs no queue and need not be waited for; null when there is none.
case_base* case_list::without_waiting() const noexcept {
  const bool is_over =
      earliest_ && (earliest_->when_ == 0 || (otherwise_ && earliest_->when_ <= now_ns()));
  return is_over ? earliest_ : otherwise_;
}

void case_list::enlist(choice& made, control_block& fiber) noexcept {
  for (case_base* c = queued_; c; c = c->next_) {
    set_fiber(c->waiter_, fiber);
    c->waiter_.among = &made;
    c->waiter_.payload = c->payload_now();
    c->where_->add(c->waiter_);
  }
}

/// Parks until one case has been taken, or none can be any more.
wait_status case_list::wait_for(choice& made) {
  const deadline until = earliest_ ? earliest_->when_ : never;
  worker& w = worker::current();
  alternative nobody;
  for (;;) {
    w.running->waits_in = nullptr;  // in several queues
    const wait_status how = w.park(wait_reason::select, until, interruptible::yes);
    if (made.taken()) return wait_status::woken;
    if (how != wait_status::woken && made.claim(nobody)) return how;
  }
}

/// The same when there are descriptors, until one of those may be ready, too; woken then. `error`:
/// the wait could not begin.
wait_status case_list::wait_for(choice& made, const held_descriptors& held, int& error) {
  const deadline until = earliest_ ? earliest_->when_ : never;
  worker& w = worker::current();
  const io::poll_set operations(w, held.polled(), held.count());
  error = operations.error();
  alternative nobody;
  wait_status how = wait_status::woken;
  while (!made.taken()) {
    if (error < 0 || how != wait_status::woken || operations.is_done())
      return made.claim(nobody) ? how : wait_status::woken;
    w.running->waits_in = nullptr;
    how = w.park(wait_reason::io, until, interruptible::yes);
  }
  return wait_status::woken;
}

/// Takes every waiter out of its queue; returns the case that was taken, null when none was.
case_base* case_list::withdraw(const choice& made) noexcept {
  case_base* taken = nullptr;
  for (case_base* c = queued_; c; c = c->next_) {
    std::lock_guard guard(*c->lock_);
    c->where_->remove(c->waiter_);
    if (&c->waiter_ == made.taken()) taken = c;
  }
  return taken;
}

void case_list::lock() noexcept {
  const short_lock* last = nullptr;
  for (case_base* c = queued_; c; c = c->next_) {
    if (c->lock_ != last) c->lock_->lock();
    last = c->lock_;
  }
}

void case_list::unlock() noexcept {
  const short_lock* last = nullptr;
  for (case_base* c = queued_; c; c = c->next_) {
    if (c->lock_ != last) c->lock_->unlock();
    last = c->lock_;
  }
}

/// The list by the addresses of the locks, in ascending order.
case_base* case_list::sorted(case_base* first, std::size_t count) noexcept {
  if (count < 2) return first;
  case_base* last_of_half = first;
  for (std::size_t i = 1; i < count / 2; ++i) last_of_half = last_of_half->next_;
  case_base* const second = last_of_half->next_;
  last_of_half->next_ = nullptr;
  return merged(sorted(first, count / 2), sorted(second, count - count / 2));
}

case_base* case_list::merged(case_base* one, case_base* other) noexcept {
  case_base* first = nullptr;
  case_base** end = &first;
  while (one && other) {
    case_base*& least = std::less<>()(other->lock_, one->lock_) ? other : one;
    *end = least;
    end = &(*end)->next_;
    least = *end;
  }
  *end = one ? one : other;
  return first;
}

}  // namespace coir::detail
