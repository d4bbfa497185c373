#include "runtime/sched/crew.hpp"

#include "runtime/sched/hand_shake.hpp"

namespace coir::detail {
namespace {

// Taken from the common queue at a time: enough to make its lock cheap, few enough that the others
// find something
constexpr std::size_t batch_max = 32;

/// Marsaglia's xorshift: from where on a thief looks.
std::uint32_t roll(std::uint32_t& dice) noexcept {
  dice ^= dice << 13;
  dice ^= dice >> 17;
  dice ^= dice << 5;
  return dice;
}

}  // namespace

crew::crew(std::size_t size, std::size_t processors)
    : size_(size), may_spin_(size <= processors), seats_(new crew_seat[size]) {
  for (std::size_t i = 0; i < size; ++i) {
    seats_[i].all = this;
    seats_[i].number = i;
    seats_[i].dice = static_cast<std::uint32_t>(i) + 1;
  }
}

void crew::add(remote_call& work, crew_seat* own) noexcept {
  if (own && own->all == this) {
    own->offered.add();
    if (own->unbegun.push(work)) return wake_idle();
    own->offered.add(std::uint64_t(-1));
  }
  handed_in_.fetch_add(1, std::memory_order_relaxed);  // before is_quiet() could see it taken
  common_.push(work);
  wake_idle();
}

void crew::add_for(std::size_t number, remote_call& work) noexcept {
  crew_seat& s = seats_[number];
  s.sent.fetch_add(1, std::memory_order_release);  // before is_quiet() could see it taken
  s.occupant->post(work);
}

void crew::tell(std::size_t number, remote_call& call) noexcept {
  handed_in_.fetch_add(1, std::memory_order_relaxed);  // as in add
  seats_[number].occupant->post(call);
}

remote_call* crew::take(crew_seat& by) noexcept {
  if (remote_call* const own = by.unbegun.pop()) return own;
  if (remote_call* const common = take_common(by)) return common;
  return steal(by);
}

remote_call* crew::take_oldest(crew_seat& by) noexcept {
  if (remote_call* const common = take_common(by)) return common;
  return by.unbegun.steal();
}

/// One call to be invoked now; some more go into the deque of `by`, the oldest of them on top.
remote_call* crew::take_common(crew_seat& by) noexcept {
  if (common_.seems_empty()) return nullptr;
  const std::size_t room = by.unbegun.reserve(batch_max) ? batch_max : 1;
  remote_call* taken[batch_max];
  const std::size_t count = common_.take(taken, room, size_);
  if (count == 0) return nullptr;
  for (std::size_t i = count - 1; i > 0; --i) (void)by.unbegun.push(*taken[i]);  // there is room
  if (count > 1) wake_idle();
  return taken[0];
}

remote_call* crew::steal(crew_seat& by) noexcept {
  const std::size_t from = roll(by.dice) % size_;
  for (std::size_t i = 0; i < size_; ++i) {
    crew_seat& victim = seats_[(from + i) % size_];
    if (&victim == &by) continue;
    if (remote_call* const work = victim.unbegun.steal()) {
      by.occupant->count().steals.add();
      if (!victim.unbegun.empty()) wake_idle();
      return work;
    }
  }
  return nullptr;
}

bool crew::may_have_work(crew_seat& by) noexcept {
  return !common_.seems_empty() || !seats_[roll(by.dice) % size_].unbegun.empty();
}

bool crew::has_work() const noexcept {
  if (!common_.empty()) return true;
  for (std::size_t i = 0; i < size_; ++i) {
    if (!seats_[i].unbegun.empty()) return true;
  }
  return false;
}

void crew::note_idle() noexcept {
  if (auto* const told = told_.load(std::memory_order_seq_cst); told && is_quiet())
    told(told_argument_.load(std::memory_order_relaxed));
}

bool crew::begin_rest(crew_seat& by) noexcept {
  return enter_idle(idle_, by.number, [this] {
    note_idle();
    return has_work();
  });
}

void crew::wake_idle() noexcept {
  wake_one(idle_, size_, [this](std::size_t number) { return seats_[number].occupant->rouse(); });
}

std::size_t crew::load_of(std::size_t number) const noexcept {
  const crew_seat& s = seats_[number];
  const std::uint64_t ended = s.occupant->count().fibers_ended.read();
  return static_cast<std::size_t>(s.occupant->count().fibers_begun.read() - ended) +
         s.unbegun.size() + s.on_the_way();
}

/// Counts of ends are read before those of beginnings, which they never exceed: when the sums are
/// equal, they were so at the moment between.
bool crew::is_quiet() const noexcept {
  std::uint64_t ends = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    ends += seats_[i].taken.read() + seats_[i].occupant->count().fibers_ended.read();
  }
  std::uint64_t beginnings = handed_in_.load(std::memory_order_seq_cst);
  for (std::size_t i = 0; i < size_; ++i) {
    const crew_seat& s = seats_[i];
    beginnings += s.offered.read() + s.sent.load(std::memory_order_seq_cst) +
                  s.occupant->count().fibers_begun.read();
  }
  return ends == beginnings;
}

void crew::tell_when_quiet(void (*told)(void*) noexcept, void* argument) noexcept {
  // One who has read `told` before may still be about to call it
  if (told) told_argument_.store(argument, std::memory_order_relaxed);
  told_.store(told, std::memory_order_seq_cst);
}

}  // namespace coir::detail
