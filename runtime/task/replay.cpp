#include <coir/replay.hpp>

#include "runtime/kernel/environment.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/sched/replay.hpp"
#include "runtime/sched/worker.hpp"
#include "runtime/task/fiber_start.hpp"

#include <random>
#include <stdexcept>

namespace coir {
replay_report current_replay() noexcept {
  const detail::worker* const w = detail::worker::current_or_null();
  if (!w || !w->in_replay()) return {};
  const detail::replay_trace& trace = w->in_replay()->trace();
  return {w->in_replay()->setup().seed, trace.steps, trace.hash};
}

replay_scope::replay_scope(const replay_options& how) {
  detail::worker& w = detail::worker::current();
  const detail::replay* const before = w.in_replay();
  if (before && before->setup().is_ambient && before->is_alone() && w.live() == 0) w.end_replay();
  if (detail::replay::current())
    throw std::logic_error("coir::replay: a replay is in progress; there is one at a time");
  if (w.live() > 0)
    throw std::logic_error("coir::replay: a replay begins before any fiber is spawned");
  w.begin_replay({.seed = how.seed,
                  .has_virtual_clock = how.virtual_clock,
                  .first_fiber_id = detail::next_fiber_id()});
}

replay_scope::~replay_scope() { detail::worker::current().end_replay(); }

std::uint64_t detail::first_seed(std::size_t& count) noexcept {
  constexpr char variable[] = "COIR_SEED";
  if (!kernel::text_said(variable)) return std::random_device{}();
  count = 1;
  return kernel::number_said(variable, 0, ~std::uint64_t{0}, 0);
}

void detail::report_seed(std::uint64_t seed) noexcept {
  kernel::report("this run failed with seed %llu; COIR_SEED=%llu repeats it",
                 static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seed));
}

}  // namespace coir
