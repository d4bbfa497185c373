// What do the switches in the other benchmarks cost alone, without a scheduler or a library?
//
// jump_fcontext of Boost.Context, which coir and Boost.Fiber both stand on, over stacks of one
// slab. The tops of the stacks lie at different offsets in their pages, since equal ones would
// compete for the same cache sets.

#include <benchmark/benchmark.h>
#include <boost/context/detail/fcontext.hpp>

#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include <sys/mman.h>

namespace {

namespace ctx = boost::context::detail;

/// Memory for stacks of 64 KiB, touched only where they are used.
class stack_slab {
 public:
  explicit stack_slab(std::size_t count) : bytes_(count * stack_bytes) {
    void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<char*>(mapped);
    madvise(base_, bytes_, MADV_NOHUGEPAGE);
  }
  stack_slab(const stack_slab&) = delete;
  stack_slab& operator=(const stack_slab&) = delete;
  ~stack_slab() { munmap(base_, bytes_); }

  /// A fresh context that will run `entry` on the stack of that number.
  ctx::fcontext_t make(std::size_t number, void (*entry)(ctx::transfer_t)) const {
    char* top = base_ + (number + 1) * stack_bytes - number * 64 % 2048;
    return ctx::make_fcontext(top, stack_bytes - 2048, entry);
  }

 private:
  static constexpr std::size_t stack_bytes = 64 * 1024;

  std::size_t bytes_;
  char* base_;
};

/// Contexts that run in a circle, each jumping to the next one; number 0 is the benchmark's own
/// stack. The address of the circle travels with the jumps, in a register: were it read from the
/// stack that a jump leads to, then with many stacks each jump would wait for memory before the
/// processor could begin the next one.
struct circle {
  std::vector<ctx::fcontext_t> contexts;
  std::size_t running = 0;
  std::int64_t jumps = 0;

  /// Keeps where the context that has just jumped here will go on.
  void arrive(ctx::fcontext_t from) {
    contexts[running > 0 ? running - 1 : contexts.size() - 1] = from;
  }
};

/// Jumps to the next context; returns the circle when it has come round.
circle* jump_on(circle* all) {
  all->running = all->running + 1 < all->contexts.size() ? all->running + 1 : 0;
  ++all->jumps;
  const ctx::transfer_t from = ctx::jump_fcontext(all->contexts[all->running], all);
  all = static_cast<circle*>(from.data);
  all->arrive(from.fctx);
  return all;
}

void run_in_circle(ctx::transfer_t from) {
  from = ctx::jump_fcontext(from.fctx, nullptr);  // back to fill(); what comes next is its turn
  auto* all = static_cast<circle*>(from.data);
  all->arrive(from.fctx);
  for (;;) all = jump_on(all);
}

/// Puts `count` contexts into the circle, each standing before its first turn.
void fill(circle& all, const stack_slab& slab, std::size_t count) {
  all.contexts.resize(count);
  for (std::size_t i = 1; i < count; ++i) {
    all.contexts[i] = ctx::jump_fcontext(slab.make(i, run_in_circle), nullptr).fctx;
  }
}

// One unit is one jump; `state.range(0)` contexts run in a circle, one of them the benchmark.
void jump_ns(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const stack_slab slab(count);
  circle all;
  fill(all, slab, count);
  const auto turns = std::max<std::int64_t>(1, 1000 / state.range(0));
  while (state.KeepRunningBatch(turns * state.range(0))) {
    for (std::int64_t i = 0; i < turns; ++i) jump_on(&all);
  }
  if (all.jumps != state.iterations()) state.SkipWithError("the work was not done");
}

void count_and_leave(ctx::transfer_t from) {
  ++*static_cast<std::int64_t*>(from.data);
  ctx::jump_fcontext(from.fctx, nullptr);
}

// One unit is a context made, entered and left. `state.range(0)` are made, then entered in turn.
void enter_and_leave_ns(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const stack_slab slab(count);
  std::vector<ctx::fcontext_t> contexts(count);
  std::int64_t entered = 0;
  const auto run_all = [&] {
    for (std::size_t i = 0; i < count; ++i) contexts[i] = slab.make(i, count_and_leave);
    for (const ctx::fcontext_t context : contexts) ctx::jump_fcontext(context, &entered);
  };
  run_all();
  while (state.KeepRunningBatch(state.range(0))) run_all();
  if (entered != state.iterations() + state.range(0)) state.SkipWithError("the work was not done");
}

// One unit is a jump there and one back that carries a number.
void round_trip_ns(benchmark::State& state) {
  const stack_slab slab(1);
  auto other = slab.make(0, [](ctx::transfer_t from) {
    for (;;) {
      ++*static_cast<std::int64_t*>(from.data);
      from = ctx::jump_fcontext(from.fctx, from.data);
    }
  });
  std::int64_t number = 0;
  for (auto _ : state) other = ctx::jump_fcontext(other, &number).fctx;
  if (number != state.iterations()) state.SkipWithError("the work was not done");
}

}  // namespace

BENCHMARK(jump_ns)->Name("bare:yield_2_fibers_ns")->Arg(2);
BENCHMARK(jump_ns)->Name("bare:yield_2_places_ns")->Arg(2);
BENCHMARK(jump_ns)->Name("bare:yield_100000_fibers_ns")->Arg(100000)->Iterations(1000000);
BENCHMARK(enter_and_leave_ns)->Name("bare:spawn_join_ns")->Arg(1);
BENCHMARK(enter_and_leave_ns)->Name("bare:batch_10000_per_fiber_ns")->Arg(10000);
BENCHMARK(round_trip_ns)->Name("bare:hand_over_round_trip_ns");
BENCHMARK(round_trip_ns)->Name("bare:condition_round_trip_ns");
BENCHMARK(round_trip_ns)->Name("bare:generator_next_ns");
BENCHMARK(jump_ns)->Name("bare:timeout_set_and_cancelled_ns")->Arg(2);
BENCHMARK(jump_ns)->Name("bare:wait_without_timeout_ns")->Arg(2);
