#include <coir/workers.hpp>

#include "runtime/sched/worker.hpp"
#include "runtime/task/worker_threads.hpp"

#include <limits>
#include <stdexcept>

namespace coir {
namespace {

// How often a kill looks for fibers that were spawned meanwhile
constexpr std::int64_t kill_period_ns = 10'000'000;

const detail::crew_seat* seat_of_caller() noexcept {
  const detail::worker* const w = detail::worker::current_or_null();
  return w ? w->seat() : nullptr;
}

}  // namespace

workers::workers(std::size_t count) : workers(worker_options{.count = count}) {}

workers::workers(const worker_options& how) : threads_(new detail::worker_threads(*this, how)) {}

workers::~workers() {
  if (!threads_->is_left_behind()) threads_->wait_quiet(detail::never, detail::interruptible::no);
}

std::size_t workers::size() const noexcept { return threads_->size(); }

std::size_t workers::least_loaded() const noexcept {
  std::size_t best = 0;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (std::size_t i = 0; i < threads_->size(); ++i) {
    const std::size_t load = threads_->load_of(i);
    if (load >= fewest) continue;
    fewest = load;
    best = i;
  }
  return best;
}

detail::crew& workers::crew() const {
  if (threads_->is_left_behind())
    throw std::logic_error("coir::workers: the threads of a set do not come along with a fork");
  return *threads_;
}

detail::crew& workers::crew_with(std::size_t number) const {
  if (number >= threads_->size()) {
    throw std::out_of_range("coir::workers: there is no worker " + std::to_string(number) + " of " +
                            std::to_string(threads_->size()));
  }
  return crew();
}

bool workers::join_until(detail::deadline until) {
  if (threads_->is_left_behind()) return true;
  if (current() == this)
    throw std::logic_error("coir::workers: a fiber of a set cannot wait for the set's end");
  const detail::wait_status how = threads_->wait_quiet(until, detail::interruptible::yes);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how == detail::wait_status::woken;
}

void workers::kill(bool wait) {
  if (wait) {
    kill_until(detail::never);
  } else if (!threads_->is_left_behind()) {
    threads_->kill_all();
  }
}

bool workers::kill_until(detail::deadline until) {
  for (;;) {
    if (!threads_->is_left_behind()) threads_->kill_all();
    const detail::deadline next = detail::now_ns() + kill_period_ns;
    if (join_until(std::min(until, next))) return true;
    if (until <= next) return false;
  }
}

workers* workers::current() noexcept {
  const detail::crew_seat* const seat = seat_of_caller();
  return seat ? &static_cast<detail::worker_threads*>(seat->all)->owner() : nullptr;
}

int workers::current_number() noexcept {
  const detail::crew_seat* const seat = seat_of_caller();
  return seat ? static_cast<int>(seat->number) : -1;
}

}  // namespace coir
